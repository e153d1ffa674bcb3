"""The pages and pictures that the API server serves beside Airflow's own."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = [
    "app",
    "case",
    "cases",
    "dead_letters",
    "origin",
    "pages",
    "pictures",
    "rendering",
    "rights",
    "start",
    "trail",
    "viewed",
    "waiting",
]
