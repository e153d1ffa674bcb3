"""Creates the table of the index with Airflow's own tables: ``airflow db migrate``.

The option ``[database] external_db_managers`` names :class:`CaseIndexManager`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.utils.db_manager import BaseDBManager

from xray.airflow.index.table import metadata

FOLDER = Path(__file__).parent


class CaseIndexManager(BaseDBManager):
    """The tables of this package in Airflow's database."""

    metadata = metadata
    version_table_name = "alembic_version_xray"
    migration_dir = str(FOLDER / "migrations")
    alembic_file = str(FOLDER / "alembic.ini")
    supports_table_dropping = True
    """The index can be made again."""
    revision_heads_map: dict[str, Any] = {"0.2.0": "0002"}  # noqa: RUF012 - as in the base class
