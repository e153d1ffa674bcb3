"""The index of the cases: a table in Airflow's database, behind the Cases pages.

The index holds nothing that names a person or an object, and no exact risk. It can be made again
from the audit trail, which stays the truth.
"""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = ["manager", "queries", "rebuild", "rows", "run_listener", "runs", "table"]
