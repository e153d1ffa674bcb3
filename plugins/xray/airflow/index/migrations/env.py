"""Runs the migrations of the index; Alembic loads this file."""

from __future__ import annotations

from airflow import settings
from alembic import context
from sqlalchemy.engine import Connection

from xray.airflow.index.manager import CaseIndexManager


def _run(connection: Connection | None) -> None:
    context.configure(
        connection=connection,
        url=None if connection else settings.SQL_ALCHEMY_CONN,
        literal_binds=connection is None,
        target_metadata=CaseIndexManager.metadata,
        version_table=CaseIndexManager.version_table_name,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run(None)
else:
    with settings.engine.connect() as connection:
        _run(connection)
