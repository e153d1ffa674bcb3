"""Runs the migrations of the index; Alembic loads this file."""

from __future__ import annotations

from airflow import settings
from alembic import context

from xray.airflow.index.manager import CaseIndexManager


def _run(**options: object) -> None:
    context.configure(
        target_metadata=CaseIndexManager.metadata,
        version_table=CaseIndexManager.version_table_name,
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run(url=settings.SQL_ALCHEMY_CONN, literal_binds=True)
else:
    with settings.engine.connect() as connection:
        _run(connection=connection)
