"""xray.airflow.index.queries: what PostgreSQL finds among many cases, and how much it reads"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import psycopg2
import pytest
from airflow.models import import_all_models
from airflow.models.base import metadata as airflow_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection

from bench.index_rows import QUEUED, Known, add_cases, make_rows
from bench.page_requests import requests_of
from include.servers.embedded.database import Database
from xray.airflow.index import queries
from xray.airflow.index.manager import CaseIndexManager
from xray.web.cases import Chosen

NUMBER = 20_000
NOW = datetime.now(UTC)
MOST = 51
FEW_BLOCKS = 300
"""Blocks of 8 kB: the table and its indexes have more than 3,000."""
Row = dict[str, Any]
REQUESTS = list(requests_of(Known("0", "0", "0", "0", "0"), NOW))


@dataclass
class Filled:
    """A database with cases."""

    engine: Engine
    requests: dict[str, str]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """PostgreSQL with Airflow's tables, and the index as the migrations make it."""
    with Database(env=dict(os.environ), logs=tmp_path_factory.mktemp("logs")) as database:
        engine = create_engine(database.url)
        import_all_models()
        airflow_metadata.create_all(engine)
        script = ScriptDirectory(CaseIndexManager.migration_dir)
        with (
            engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            for revision in reversed(list(script.walk_revisions())):
                revision.module.upgrade()
        with closing(psycopg2.connect(database.url.replace("+psycopg2", ""))) as plain:
            plain.autocommit = True
            known = add_cases(plain.cursor(), NUMBER, NOW)
        yield Filled(engine, requests_of(known, NOW))
        engine.dispose()


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """The rows that the database was filled with."""
    return make_rows(NUMBER, NOW)


def matches(row: Row, chosen: Chosen) -> bool:
    """Whether the page that was asked for may show a case."""
    values = chosen.model_dump(exclude_none=True)
    since, until = values.pop("since", NOW - timedelta(days=999)), values.pop("until", NOW)
    before, case_id = values.pop("before", None), values.pop("case_id", "")
    if before:
        time, _, last = before.partition("~")
        end = datetime.fromisoformat(time)
        if not (row["received"] < end or (row["received"] == end and row["case_id"] > last)):
            return False
    return (
        since <= row["received"] < until
        and row["case_id"].startswith(case_id)
        and all(row[name] == value for name, value in values.items())
    )


def ask(connection: Connection, query: str) -> list[str]:
    """The ids of the cases on the page of a query."""
    chosen, before = Chosen(**dict(parse_qsl(query[1:]))), None
    if chosen.before:
        time, _, case_id = chosen.before.partition("~")
        before = datetime.fromisoformat(time), case_id
    found = queries.newest(connection, chosen.filter(), before, MOST)
    return [row.case_id for row in found]


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_finds_the_newest_cases_of_its_kind(
    filled: Filled, rows: list[Row], name: str
) -> None:
    query = filled.requests[name]
    chosen = Chosen(**dict(parse_qsl(query[1:])))
    found = [row for row in rows if matches(row, chosen)]
    found.sort(key=lambda row: (-row["received"].timestamp(), row["case_id"]))
    with filled.engine.connect() as connection:
        assert ask(connection, query) == [row["case_id"] for row in found[:MOST]]
    assert ("none" in name or "unknown" in name or "before" in name) == (not found)


def blocks(connection: Connection, query: str) -> int:
    """The blocks that the database reads for a query."""
    sent: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", keep)
    ask(connection, query)
    statement, parameters = sent[-1]
    plan = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters
    ).scalar_one()
    print(plan)
    top = plan[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_reads_a_large_part_of_the_table(filled: Filled, name: str) -> None:
    with filled.engine.connect() as connection:
        assert blocks(connection, filled.requests[name]) < FEW_BLOCKS


def test_the_start_of_an_id_is_found_by_the_index_under_any_collation(filled: Filled) -> None:
    with filled.engine.connect() as connection:
        # Under "C", which the database has, LIKE could use the index, too.
        connection.exec_driver_sql("CREATE COLLATION other (provider = libc, locale = 'C.UTF-8')")
        connection.exec_driver_sql(
            "ALTER TABLE xray_case ALTER COLUMN case_id TYPE varchar(32) COLLATE other"
        )
        connection.exec_driver_sql("ANALYZE xray_case")
        assert blocks(connection, filled.requests["case id: eight digits"]) < 10
        connection.rollback()


def test_the_newest_cases_of_a_day_are_summed_up(
    filled: Filled, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    day = [row for row in rows if NOW - row["received"] < timedelta(days=1)]
    assert len(day) == 500
    for most in (queries.SUMMED_UP, 300):
        monkeypatch.setattr(queries, "SUMMED_UP", most)
        counted = day[:most]
        with filled.engine.connect() as connection:
            found = queries.summary(connection, NOW)
        assert found.cases == len(counted)
        states = Counter(row["state"] for row in counted)
        assert {name: found.counts[name] for name in states} == states
        assert found.counts["anonymised"] == sum(
            row["state"] == "finished" and row["decision"] == "published and anonymised"
            for row in counted
        )
        ages = Counter(23 - (NOW - row["received"]) // timedelta(hours=1) for row in counted)
        assert found.hours == [ages[number] for number in range(24)]
        scored = [r for r in counted if r["risk"] is not None and not r["refused"]]
        bins = Counter(min(round(100 * row["risk"]) // 10, 9) for row in scored)
        assert found.risks == [bins[number] for number in range(10)]


def test_the_queue_is_counted(filled: Filled) -> None:
    with filled.engine.connect() as connection:
        assert queries.queued(connection) == int(NUMBER * QUEUED)
