"""Batches: many renders from one manifest, in one process, with their state in the ledger."""
