"""A deployment in an Airflow of its own: what is missing, and what creates it.

The commands ``python -m xray check`` and ``python -m xray setup``.
"""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = [
    "account",
    "check",
    "clients",
    "configured",
    "create",
    "sent",
    "setup",
    "stores",
    "table",
    "topics",
    "wanted",
]
