"""Cases that never were, for the index: as many as a hospital has in months, with their runs.

The share of each value is the same for any number of cases. Two things do not grow with the number:
the cases of the model :data:`RARE_MODEL`, and those that started by hand.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from xray.airflow.config import CASE_DAG
from xray.airflow.index.table import CASES, NAMELESS, State
from xray.case import RUN_PREFIX, Decision
from xray.case.manifest import RELEASE, REVIEW
from xray.settings import Label

DAYS = 180
"""Days since the first of the cases."""
OLD_MODEL, MODEL, RARE_MODEL = "1.0", "1.1", "1.1-rc1"
CHANGED = 90
"""Days since the model and the policy were changed: all images are anonymised since."""
BACKFILLED = 150
"""Days since the bucket's older images became cases; these were received in one day."""
RARE = 20
"""Cases of the rare model, and cases that started by hand."""
QUEUED = 0.002
"""Runs in the queue for each case."""

_LAST_DAY, _BURST, _BACKFILL = 0.025, 0.02, 0.12
"""The part of the cases that was received in the last day, in two hours of it, or by a backfill."""
_RUNNING, _WAITING, _FAILED = 0.001, 0.01, 0.01
"""The part of the cases that is under way, waits for a review, or has failed."""
_WAITS = timedelta(days=14)
"""How long a case may wait."""
_REFUSED, _REPLACED, _NAMELESS = 0.02, 0.03, 0.1
"""The part of the cases whose image the model refused, that a later case has replaced, or whose
object key names no patient."""
_ONE_ATTEMPT, _NOTIFIED = 0.97, 0.97
"""The part of the cases that had one attempt, and of those that a notification has started."""
_PER_PATIENT = 3
"""Cases of a patient, on average."""
_LABELS = {Label.NORMAL: 0.62, Label.PNEUMONIA: 0.3, Label.UNSURE: 0.08}
_RISKS = {Label.NORMAL: (0, 59), Label.PNEUMONIA: (81, 100), Label.UNSURE: (60, 80)}
"""The lowest and the highest risk of each label, in percent."""
_DECISIONS = {
    Decision.ANONYMIZED: 0.92,
    Decision.QUARANTINED: 0.05,
    Decision.SUPERSEDED: 0.025,
    Decision.DELETED: 0.005,
}
_FORMER_DECISIONS = {**_DECISIONS, Decision.ANONYMIZED: 0.46, Decision.PUBLISHED: 0.46}
"""What becomes of cases, and what became of them under the former policy."""
_COLUMNS = tuple(column.name for column in CASES.columns)


@dataclass(frozen=True, slots=True)
class Known:
    """What a benchmark asks for: it is there, with any number of cases."""

    case_id: str
    object: str
    patient: str
    half: str
    """The end of a page in the middle of all cases, as the address of the next page has it."""
    end: str
    """The same, after nine tenths of them."""


def add_cases(cursor: Any, number: int, now: datetime) -> Known:
    """Fill the empty index, and add the run of each case.

    Args:
        cursor: of a connection to Airflow's database, which is PostgreSQL.
        number: the number of cases, 500 at least.
        now: the time of the newest case.
    """
    rows = make_rows(number, now)
    lines = ("\t".join(_copied(row[name]) for name in _COLUMNS) for row in reversed(rows))
    cursor.copy_from(io.StringIO("\n".join(lines)), CASES.name, null=r"\N", columns=_COLUMNS)
    # As Airflow keeps them: a run of a case that waits has succeeded.
    state = "CASE WHEN state IN ('running', 'failed') THEN state ELSE 'success' END"
    _add_runs(cursor, f"run_id, received, {state} FROM {CASES.name}")
    queued = f"'{RUN_PREFIX}queued' || n, now(), 'queued' FROM generate_series(1, %s) AS n"
    _add_runs(cursor, queued, int(number * QUEUED))
    for table in (CASES.name, "dag_run"):
        cursor.execute(f"VACUUM ANALYZE {table}")
    known = next(row for row in rows[number // 3 :] if row["patient"])
    half, end = (_end_of_page(rows[int(number * part)]) for part in (0.5, 0.9))
    return Known(known["case_id"], known["object"], known["patient"], half, end)


def make_rows(number: int, now: datetime) -> list[dict[str, Any]]:
    """Return the rows of cases, the newest first; the same ones for the same arguments.

    Args:
        number: of cases, 500 at least.
        now: the time of the newest case.
    """
    chance = random.Random(number)  # noqa: S311 - no secret
    patients = [_digits(chance) for _ in range(number // _PER_PATIENT)]
    rows = [_finished(now - age, now, patients, chance) for age in sorted(_ages(number, chance))]
    running = int(number * _RUNNING)
    for row in rows[:running]:
        unknown = dict.fromkeys(("label", "risk", "refused", "model", "decision", "waits", "ended"))
        row.update(unknown, state=State.RUNNING.value, replaced=False, attempt=None)
    recent = [row for row in rows[running:] if now - row["received"] < _WAITS]
    for row in chance.sample(recent, int(number * _WAITING)):
        row.update(
            state=State.WAITING.value, waits=REVIEW, decision=None, **_score(Label.UNSURE, chance)
        )
    rest = [row for row in rows[running:] if row["state"] == State.FINISHED.value]
    for index, row in enumerate(chance.sample(rest, int(number * _FAILED))):
        row.update(state=State.FAILED.value, waits=None, decision=None)
        if index % 2:  # Before the image was classified.
            row.update(dict.fromkeys(("label", "risk", "refused", "model")))
    _set_rare(rows, now, chance)
    return rows


def _ages(number: int, chance: random.Random) -> Iterator[timedelta]:
    """Yield the age of each case."""
    running, last_day, burst, backfill = (
        int(number * part) for part in (_RUNNING, _LAST_DAY, _BURST, _BACKFILL)
    )
    for _ in range(running):
        yield timedelta(seconds=chance.uniform(0, 60))
    for _ in range(burst - running):
        yield timedelta(hours=chance.uniform(3, 5))
    for _ in range(last_day - burst):
        yield timedelta(hours=chance.uniform(0.1, 23.9))
    for _ in range(backfill):
        yield timedelta(days=BACKFILLED + chance.random())
    for _ in range(number - last_day - backfill):
        yield timedelta(days=chance.uniform(1, DAYS))


def _finished(
    received: datetime, now: datetime, patients: Sequence[str], chance: random.Random
) -> dict[str, Any]:
    """Return the row of a case that has ended well."""
    age, case_id = now - received, _digits(chance)
    started = received + timedelta(seconds=chance.uniform(0.1, 2))
    former = age > timedelta(days=CHANGED)
    decision = _chosen(_FORMER_DECISIONS if former else _DECISIONS, chance)
    row = {
        "case_id": case_id,
        "run_id": f"{RUN_PREFIX}{case_id}",
        "bucket": "xray-data-in",
        "origin": _origin(age, chance),
        "state": State.FINISHED.value,
        "received": received,
        "started": started,
        "ended": started + timedelta(seconds=chance.uniform(1, 9)),
        "attempt": 1 if chance.random() < _ONE_ATTEMPT else 2,
        **_score(_chosen(_LABELS, chance), chance),
        "model": OLD_MODEL if former else MODEL,
        "decision": decision,
        "waits": RELEASE if decision == Decision.QUARANTINED and age < _WAITS else None,
        "object": _digits(chance),
        "patient": None if chance.random() < _NAMELESS else chance.choice(patients),
        "replaced": decision == Decision.SUPERSEDED or chance.random() < _REPLACED,
    }
    return {**row, **NAMELESS} if decision == Decision.DELETED else row


def _score(label: str, chance: random.Random) -> dict[str, Any]:
    """Return what the model has found."""
    if chance.random() < _REFUSED:
        return {"label": Label.UNSURE.value, "risk": 0.7, "refused": "upside down"}
    return {
        "label": str(label),
        "risk": chance.randint(*_RISKS[Label(label)]) / 100,
        "refused": None,
    }


def _origin(age: timedelta, chance: random.Random) -> str:
    if timedelta(days=BACKFILLED) <= age < timedelta(days=BACKFILLED + 1):
        return "backfill"
    return "ceph" if chance.random() < _NOTIFIED else "reconcile"


def _set_rare(rows: Sequence[dict[str, Any]], now: datetime, chance: random.Random) -> None:
    """Give few cases the rare model, and few others the rare origin."""
    plain = [row for row in rows if row["model"] and row["origin"] == "ceph" and row["decision"]]
    old = [row for row in plain if row["model"] == OLD_MODEL]
    for row in chance.sample(old, RARE):
        row["model"] = RARE_MODEL
    for row in chance.sample(plain, RARE):
        row["origin"] = "manual"


def _chosen(shares: Mapping[Any, float], chance: random.Random) -> str:
    (value,) = chance.choices(list(shares), list(shares.values()))
    return str(value)


def _digits(chance: random.Random) -> str:
    return f"{chance.getrandbits(128):032x}"


def _copied(value: Any) -> str:
    """Return a value as COPY takes it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return r"\N" if value is None else str(value)


def _end_of_page(row: Mapping[str, Any]) -> str:
    return f"{row['received'].isoformat()}~{row['case_id']}"


def _add_runs(cursor: Any, values: str, *arguments: Any) -> None:
    """Add runs of cases from a query of their ids, their times and their states."""
    cursor.execute(
        "INSERT INTO dag_run (dag_id, run_type, clear_number, run_id, queued_at, run_after, "  # noqa: S608
        "start_date, created_at, updated_at, state) "
        "SELECT %s, 'manual', 0, run_id, at, at, at, at, at, state "
        f"FROM (SELECT {values}) AS run (run_id, at, state)",
        (CASE_DAG, *arguments),
    )
