"""Manifests that were dropped under `inbox/` in the archive: each is checked, moved, and started or rejected, once."""
