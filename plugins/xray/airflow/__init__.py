"""The adapters between this package and Airflow: tasks, operators, the sensor, the API client."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = [
    "addresses",
    "api",
    "blocked",
    "case",
    "config",
    "connections",
    "deferred",
    "deployment",
    "executor",
    "forms",
    "index",
    "jobs",
    "letters",
    "listener",
    "notices",
    "preload",
    "retry",
    "session",
    "stats",
    "store_check",
    "trigger",
    "unexpected",
    "watch",
]
