"""What the Cases pages ask the index. Each query reads a bounded number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.engine import Connection, Row

from xray.airflow import config
from xray.airflow.index.table import CASES, State
from xray.case import Decision

HOURS = 24
"""The hours that are summed up."""
SUMMED_UP = 2_000
"""The most cases that are summed up, the newest first."""
BINS = 10
"""The bins of the histogram of the risks."""
_EQUAL = ("state", "label", "decision", "waits", "model", "origin", "object", "patient")
"""The fields of a filter that are equal to the column of their name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which cases are shown; None for all."""

    state: str | None = None
    label: str | None = None
    decision: str | None = None
    waits: str | None = None
    model: str | None = None
    origin: str | None = None
    case_id: str | None = None
    """The start of the id of the case."""
    object: str | None = None
    patient: str | None = None
    """Keyed hashes of the object key and of the patient."""
    since: datetime | None = None
    until: datetime | None = None
    """The case was received at or after ``since``, and before ``until``."""


@dataclass(slots=True)
class Summary:
    """The cases of the last :data:`HOURS` hours, the newest :data:`SUMMED_UP` of them."""

    cases: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """By what became of them, as :func:`outcomes` names it."""
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)
    """Cases received in each hour, the oldest first."""
    risks: list[int] = field(default_factory=lambda: [0] * BINS)
    """Cases in each bin of the risk."""


@contextmanager
def database() -> Iterator[Connection]:
    """Give a connection to Airflow's database, and commit at the end.

    ``create_session`` is what Airflow's own plugins use; it is not part of its public interface.
    """
    from airflow.utils.session import create_session

    with create_session() as session:
        yield session.connection()


def newest(
    connection: Connection, chosen: Filter, before: tuple[datetime, str] | None, most: int
) -> Sequence[Row[Any]]:
    """Return cases, the newest first.

    Args:
        connection: to Airflow's database.
        chosen: which cases.
        before: only cases that come after the one that was received at this time and has this id.
        most: the number of cases, at most.
    """
    query = _matching(select(CASES), chosen)
    if before:
        at, case_id = before
        same = and_(CASES.c.received == at, CASES.c.case_id > case_id)
        query = query.where(or_(CASES.c.received < at, same))
    query = query.order_by(CASES.c.received.desc(), CASES.c.case_id).limit(most)
    return connection.execute(query).all()


def summary(connection: Connection, now: datetime) -> Summary:
    """Return what happened in the last hours."""
    columns = ("received", "state", "decision", "waits", "risk", "refused")
    query = (
        select(*(CASES.c[name] for name in columns))
        .where(CASES.c.received > now - timedelta(hours=HOURS))
        .order_by(CASES.c.received.desc())
        .limit(SUMMED_UP)
    )
    result = Summary()
    for row in connection.execute(query):
        result.cases += 1
        result.counts.update(outcomes(row))
        age = int((now - utc(row.received)) / timedelta(hours=1))
        if 0 <= age < HOURS:
            result.hours[HOURS - 1 - age] += 1
        if row.risk is not None and not row.refused:
            result.risks[min(int(row.risk * BINS), BINS - 1)] += 1
    return result


def queued(connection: Connection) -> int:
    """Return the number of cases whose runs have not started."""
    from airflow.models.dagrun import DagRun

    query = select(func.count()).where(DagRun.dag_id == config.CASE_DAG, DagRun.state == "queued")
    return connection.execute(query).scalar_one()


def outcomes(row: Any) -> Iterator[str]:
    """Yield what became of a case, for the counters."""
    yield row.state
    if row.state == State.FINISHED and row.decision == Decision.ANONYMIZED:
        yield "anonymised"
    if row.state == State.FINISHED and row.decision == Decision.QUARANTINED:
        yield "quarantined"


def utc(time: datetime) -> datetime:
    """Return a time of the database with its zone, which SQLite does not keep."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _matching(query: Select[Any], chosen: Filter) -> Select[Any]:
    for name in _EQUAL:
        if value := getattr(chosen, name):
            query = query.where(CASES.c[name] == value)
    if chosen.case_id:
        query = query.where(CASES.c.case_id.startswith(chosen.case_id, autoescape=True))
    if chosen.since:
        query = query.where(CASES.c.received >= chosen.since)
    if chosen.until:
        query = query.where(CASES.c.received < chosen.until)
    return query
