"""What the Cases pages ask the index. Each query reads a bounded number of rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, or_, select
from sqlalchemy.engine import Connection, Row
from sqlalchemy.orm import Session

from xray.airflow import config
from xray.airflow.index.table import CASES, FILTERED, State
from xray.case import RUN_PREFIX, Decision

HOURS = 24
"""The hours that are summed up."""
SUMMED_UP = 2_000
"""The most cases that are summed up, the newest first."""
BINS = 10
"""The bins of the histogram of the risks."""
_RUN_ID = re.compile(rf"{RUN_PREFIX}([0-9a-f]{{32}})(__[0-9]+)?")
"""The id of the run of a case, or of its form; the case of a typed key has another one."""
_EQUAL = (*FILTERED, "object", "patient")
"""The fields of a filter that are equal to the column of their name."""
_DIGITS = "0123456789abcdefg"
"""The digits of an id in their order, and what comes after the last one."""


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
def session() -> Iterator[Session]:
    """Give a session with Airflow's database, and commit at the end.

    ``create_session`` is what Airflow's own plugins use; it is not part of its public interface.
    """
    from airflow.utils.session import create_session

    with create_session() as current:
        yield current


@contextmanager
def database() -> Iterator[Connection]:
    """Give a connection to Airflow's database, and commit at the end."""
    with session() as current:
        yield current.connection()


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
        # The first condition follows from the second, and lets the database begin there.
        query = query.where(CASES.c.received <= at, or_(CASES.c.received < at, same))
    query = query.order_by(CASES.c.received.desc(), CASES.c.case_id).limit(most)
    return connection.execute(query).all()


def row_of(connection: Connection, case_id: str) -> Row[Any] | None:
    """Return the row of a case; None if the index does not have it."""
    return connection.execute(select(CASES).where(CASES.c.case_id == case_id)).one_or_none()


def case_of_run(connection: Connection, run_id: str) -> str | None:
    """Return the id of the case that a run or its form is about; None if it is about none."""
    if match := _RUN_ID.fullmatch(run_id):
        return match[1]
    return connection.execute(select(CASES.c.case_id).where(CASES.c.run_id == run_id)).scalar()


def summary(connection: Connection, now: datetime) -> Summary:
    """Return what happened in the last hours.

    The database counts the cases: to read them one by one takes longer than the rest of the page.
    """
    oldest = [now - timedelta(hours=age) for age in range(1, HOURS + 1)]
    result = Summary()
    times = {f"hour_{age}": time for age, time in enumerate(oldest)}
    for state, decision, age, risk, number in connection.execute(_counted(SUMMED_UP), times):
        result.cases += number
        result.counts.update(dict.fromkeys(outcomes(state, decision), number))
        result.hours[HOURS - 1 - age] += number
        if risk is not None:
            result.risks[risk] += number
    return result


@cache
def _counted(most: int) -> Select[Any]:
    """Return the query that counts the newest cases, ``most`` at most.

    It counts them by state, decision, age in hours and bin of the risk. Its parameters are the
    times of one hour ago, two hours ago and so on.
    """
    times = [bindparam(f"hour_{age}", type_=CASES.c.received.type) for age in range(HOURS)]
    unknown = or_(CASES.c.risk.is_(None), CASES.c.refused.is_not(None))
    bins = [(CASES.c.risk < (number + 1) / BINS, number) for number in range(BINS - 1)]
    newest = (
        select(
            CASES.c.state,
            CASES.c.decision,
            case(*((CASES.c.received > time, age) for age, time in enumerate(times))).label("age"),
            case((unknown, None), *bins, else_=BINS - 1).label("risk"),
        )
        .where(CASES.c.received > times[-1])
        .order_by(CASES.c.received.desc())
        .limit(most)
        .subquery()
    )
    return select(*newest.c, func.count()).group_by(*newest.c)


def queued(connection: Connection) -> int:
    """Return the number of cases whose runs have not started."""
    from airflow.models.dagrun import DagRun

    query = select(func.count()).where(DagRun.dag_id == config.CASE_DAG, DagRun.state == "queued")
    return connection.execute(query).scalar_one()


def outcomes(state: str, decision: str | None) -> Iterator[str]:
    """Yield what became of a case, for the counters."""
    yield state
    if state == State.FINISHED and decision == Decision.ANONYMIZED:
        yield "anonymised"
    if state == State.FINISHED and decision == Decision.QUARANTINED:
        yield "quarantined"


def utc(time: datetime) -> datetime:
    """Return a time of the database with its zone, which SQLite does not keep."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _matching(query: Select[Any], chosen: Filter) -> Select[Any]:
    for name in _EQUAL:
        if value := getattr(chosen, name):
            query = query.where(CASES.c[name] == value)
    if chosen.case_id:
        last = _DIGITS[_DIGITS.index(chosen.case_id[-1]) + 1]
        beyond = chosen.case_id[:-1] + last
        # No LIKE: under most collations it cannot use the index.
        query = query.where(CASES.c.case_id >= chosen.case_id, CASES.c.case_id < beyond)
    if chosen.since:
        query = query.where(CASES.c.received >= chosen.since)
    if chosen.until:
        query = query.where(CASES.c.received < chosen.until)
    return query
