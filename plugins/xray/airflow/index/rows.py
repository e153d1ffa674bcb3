"""What the index says of a case, from the results of its tasks. Nothing here asks Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from xray.airflow import config
from xray.airflow.index.table import NAMELESS, State
from xray.case import RUN_PREFIX, Decision
from xray.case.manifest import RELEASE

Row = dict[str, Any]
"""Values by the names of the columns of :data:`xray.airflow.index.table.CASES`."""


def added(
    case_id: str, run_id: str | None, conf: Mapping[str, Any], received: datetime | None
) -> Row:
    """Return what a new row has beside its values.

    Args:
        case_id: the case.
        run_id: the run of the case; None if only its form is known.
        conf: of the run.
        received: when Airflow has received the run.
    """
    return {
        "run_id": run_id or f"{RUN_PREFIX}{case_id}",
        "bucket": conf.get("bucket") or config.bucket(),
        "origin": conf.get("origin") or "manual",
        "state": State.FINISHED.value,
        "received": received,
        "replaced": False,
    }


def begun(run_id: str, at: datetime | None) -> Row:
    """Return the values of a case whose run has started."""
    running = State.RUNNING.value
    return {"run_id": run_id, "state": running, "started": at, "ended": None, "waits": None}


def ended(results: Mapping[str, Any], at: datetime | None) -> Row:
    """Return the values of a case whose run has ended without a failure.

    A person may have ended the run before its case has an outcome.

    Args:
        results: of the tasks that have succeeded.
        at: when the run has ended.
    """
    outcome = results.get("store")
    if not outcome:
        waits = results.get(config.WAITS_FOR)
        state = State.WAITING if waits else State.FINISHED
        return {**_known(results), "state": state.value, "ended": at, "waits": waits}
    decision = Decision(outcome["decision"])
    if decision is Decision.DELETED:
        last = {"state": State.FINISHED.value, "ended": at, "attempt": outcome["attempt"]}
        return {**NAMELESS, **last, "decision": decision.value}
    return {
        **_known(results),
        "state": State.FINISHED.value,
        "ended": at,
        "attempt": outcome["attempt"],
        "label": outcome["label"],
        "risk": outcome["risk"],
        "decision": decision.value,
        "waits": RELEASE if decision is Decision.QUARANTINED else None,
        "replaced": decision is Decision.SUPERSEDED,
    }


def failed(results: Mapping[str, Any], at: datetime | None) -> Row:
    """Return the values of a case whose run has failed."""
    return {**_known(results), "state": State.FAILED.value, "ended": at, "waits": None}


def released(decision: str) -> Row:
    """Return the values of a case after a person's decision on its quarantined image."""
    return {"decision": decision, "waits": None}


def sentence(row: Row) -> str:
    """Return the outcome of a case as the note of its run: ``Pneumonia, 99 %, published``."""
    if not row.get("label"):
        return str(row["decision"])
    finding = row.get("refused") or in_percent(row["risk"])
    return f"{row['label']}, {finding}, {row['decision']}"


def in_percent(risk: float) -> str:
    """Return a rounded risk as a text, such as ``99 %``."""
    return f"{100 * risk:.0f} %"


def _known(results: Mapping[str, Any]) -> Row:
    """Return what *fetch* and *classify* have found out."""
    fetched, classified = results.get("fetch") or {}, results.get("classify") or {}
    names = {name: fetched[name] for name in ("object", "patient") if fetched.get(name)}
    if not classified:
        return names
    shown = ("label", "risk", "refused", "model")
    return {**names, **{name: classified[name] for name in shown if name in classified}}
