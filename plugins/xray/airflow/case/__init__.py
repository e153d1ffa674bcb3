"""The steps of a case as Airflow tasks and operators."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = [
    "asking",
    "assets",
    "boxes",
    "metrics",
    "params",
    "release",
    "review",
    "summaries",
    "tasks",
    "told",
]
