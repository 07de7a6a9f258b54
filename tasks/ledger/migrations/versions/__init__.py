"""One module per step from an older ledger to a newer one."""
