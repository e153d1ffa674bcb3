"""A database with Airflow's tables and the index, in the memory of the test."""

from __future__ import annotations

from airflow.models import import_all_models
from airflow.models.base import metadata as airflow_metadata
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from xray.airflow.index.table import metadata


def new_database() -> Engine:
    """Create the tables of Airflow and of the index."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    # As Airflow's own engine does: otherwise SQLite takes part in no savepoint.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    import_all_models()
    airflow_metadata.create_all(engine)
    metadata.create_all(engine)
    return engine
