"""The jobs that an operator starts: ask, backfill, checkpoint, reconcile, sweep and replay."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = ["ask", "backfill", "checkpoint", "reconcile", "replay", "sweep"]
