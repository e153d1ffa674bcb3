"""The jobs that an operator starts: ask, backfill, checkpoint, forget, reconcile, sweep, replay."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = ["ask", "backfill", "checkpoint", "forget", "reconcile", "replay", "sweep"]
