"""xray.airflow.index.manager: the migrations create the table that the code uses"""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.utils.db_manager import RunDBManager
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from include.demo.stack import shared_settings
from xray.airflow.index.manager import CaseIndexManager
from xray.airflow.index.table import metadata


def test_the_migrations_create_the_table_of_the_code() -> None:
    script = ScriptDirectory(CaseIndexManager.migration_dir)
    with create_engine("sqlite://").begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            for revision in reversed(list(script.walk_revisions())):
                revision.module.upgrade()
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_that_of_this_version() -> None:
    script = ScriptDirectory(CaseIndexManager.migration_dir)
    assert list(CaseIndexManager.revision_heads_map.values())[-1:] == list(script.get_heads())


def test_airflow_accepts_the_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    option = "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS"
    monkeypatch.setenv(option, shared_settings("airflow.env")[option])
    managers = RunDBManager()
    managers.validate()
    assert {"xray_case", "alembic_version_xray"} <= managers.get_required_table_names()
    assert Path(CaseIndexManager.alembic_file).exists()
