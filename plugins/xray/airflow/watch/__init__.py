"""The watch: measures what waits and what is overdue, and tells people of overdue cases."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = ["cases", "metrics", "overdue", "sensor", "stored", "trigger"]
