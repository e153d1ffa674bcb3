"""Jobs that an operator starts: backfill, reconcile, sweep and replay."""
