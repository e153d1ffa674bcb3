"""The metrics of cases, through Airflow's own (StatsD or OpenTelemetry).

The tasks of a case send them when an attempt of the case ends: when its results are published, when
a person has decided on its quarantined image, or when it has failed for good.

| metric | kind | meaning |
|---|---|---|
| `xray.cases.finished` | counter | attempts that ended with a decision |
| `xray.cases.failed` | counter | attempts that failed for good |
| `xray.cases.refused` | counter | images that the model's gate, the reader or the store refused |
| `xray.cases.risk` | counter | published results by risk, in ten bins |
| `xray.cases.shadow` | counter | published results by what the shadow model said of the image |
| `xray.cases.shadow_risk` | counter | published results by the shadow model's risk, in ten bins |
| `xray.cases.regions` | counter | regions removed from images |
| `xray.cases.anonymized` | counter | anonymised images published |
| `xray.cases.quarantined` | counter | images put into quarantine |
| `xray.cases.to_result` | timer | from an upload until its result was published |

Every tag has a closed list of values, except for the version of the model and the name of an
error, which only code adds to. No metric or tag holds data of an object. Airflow puts its own
prefix before each name. A metric that cannot be sent is logged, and never fails a case.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec

from xray.airflow.stats import process_stats
from xray.case import Decision, Outcome, Pinned, Scored, Source
from xray.errors import ImageError, ObjectError, StaleError
from xray.settings import Label
from xray.times import time_of

log = logging.getLogger(__name__)

PREFIX = "xray.cases."
OTHER = "other"
"""Stands for a value that is in no list."""
ORIGINS = ("aws", "ceph", "minio", "versitygw", "reconcile", "backfill", "manual")
"""Where cases come from: the dialects of notifications, the jobs, and a person."""
TIMED_ORIGINS = ORIGINS[:5]
"""The origins of cases that are to be done soon after the upload of their image."""
GATE_REASONS = (
    "blank",
    "turned left",
    "turned right",
    "upside down",
    "inverted",
    "unlike a chest X-ray",
    "unfamiliar",
)
"""Why the gate of the shipped model refuses an image. Other models may have other reasons."""
HEADER_REASONS = ("a view from the side", "another part of the body")
"""Why the header of a DICOM file says that the image is no frontal view of a chest."""
WORKER_DIED = "WorkerDied"
"""The error of an attempt whose worker left none."""
RELEASED, KEPT = "released", "kept"
"""A person's decisions on a quarantined image, beside the decisions of the pipeline."""
SETTLED = "metrics_settled"
"""The key of the XCom that holds the try of a task whose failure was dealt with here."""
_WITH_RESULT = {Decision.PUBLISHED, Decision.ANONYMIZED, Decision.QUARANTINED}
_BINS = 10
_P = ParamSpec("_P")


def _never_raising(function: Callable[_P, None]) -> Callable[_P, None]:
    @wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:
            # The message may quote what was to be sent.
            log.warning("A metric of the case was not sent (%s).", type(error).__name__)

    return wrapper


@_never_raising
def finished(
    source: Source,
    pinned: Pinned,
    scored: Scored,
    outcome: Outcome,
    redaction: dict[str, Any] | None,
) -> None:
    """Count an attempt that *store* has ended.

    Args:
        source: the object of the case.
        pinned: the result of *fetch*.
        scored: the result of *classify*, or of the review after it.
        outcome: the result of *store*.
        redaction: what was removed from the anonymised image; None if there is none.
    """
    decision = outcome.decision
    _count_decision(source, scored, decision.name.lower())
    if decision not in _WITH_RESULT:
        return
    model = _model(scored.model)
    if scored.refused:
        reason = _listed(scored.refused, GATE_REASONS + HEADER_REASONS)
        _count("refused", source="gate", reason=reason)
    else:
        _count("risk", bin=risk_bin(scored.risk), model=model)
    _count_shadow(scored)
    if redaction:
        _count("regions", redaction["regions"])
        _count("quarantined" if decision is Decision.QUARANTINED else "anonymized")
    if outcome.attempt == 1:
        _time(source, pinned, waited_for="review" if scored.review else "nobody")


@_never_raising
def decided(
    source: Source, pinned: Pinned, scored: Scored, decision: Decision, *, masked: int
) -> None:
    """Count a person's decision on a quarantined image.

    Args:
        source: the object of the case.
        pinned: the result of *fetch*.
        scored: the result of *classify*, or of the review after it.
        decision: what became of the image.
        masked: the number of boxes that the person has masked.
    """
    released = decision is Decision.ANONYMIZED
    _count_decision(source, scored, RELEASED if released else KEPT)
    if released:
        _count("regions", masked)
        _count("anonymized")
        _time(source, pinned, waited_for="release")


@_never_raising
def failed(ti: Any, error: BaseException | None) -> None:
    """Count an attempt that has failed for good, once.

    Both the task that failed and the failure callback of its DAG call this. The callback counts
    the attempt only if the task could not, because its worker died. An answer that came too late
    is no failure of a case, so that it is not counted.

    Args:
        ti: the task instance that failed.
        error: the failure; None in the callback.
    """
    if error is None and settled(ti):
        return
    if not isinstance(error, StaleError):
        name = type(error).__name__ if error else WORKER_DIED
        _count("failed", task_id=ti.task_id, error=name)
    if isinstance(error, ImageError):
        _count("refused", source="reader", reason=error.fault.value)
    elif isinstance(error, ObjectError) and ti.task_id == "fetch":
        _count("refused", source="store", reason="object")
    if error:
        ti.xcom_push(key=SETTLED, value=ti.try_number)


def settled(ti: Any) -> bool:
    """Return whether the task that failed has dealt with its failure itself."""
    return bool(ti.xcom_pull(task_ids=ti.task_id, key=SETTLED) == ti.try_number)


def risk_bin(risk: float) -> str:
    """Return the lower bound of the bin that a ``risk`` is in, such as ``0.9`` for 0.9 to 1."""
    return f"{min(int(risk * _BINS), _BINS - 1) / _BINS:.1f}"


def _count(name: str, number: int = 1, **tags: str) -> None:
    if number:
        process_stats().incr(PREFIX + name, number, tags=tags)


def _count_decision(source: Source, scored: Scored, decision: str) -> None:
    _count(
        "finished",
        label=_listed(scored.label, list(Label)),
        decision=decision,
        model=_model(scored.model),
        origin=_listed(source.origin, ORIGINS),
    )


def _count_shadow(scored: Scored) -> None:
    """Count what the shadow model said, if there is one: the review is no part of it."""
    shadow = scored.shadow
    if shadow is None:
        return
    if "problem" in shadow:
        _count("shadow", result="failed", model=OTHER)
        return
    own = scored.review["label_before"] if scored.review else scored.label
    model = _model(shadow["model"])
    _count("shadow", result="same_label" if shadow["label"] == own else "other_label", model=model)
    if not shadow["refused"]:
        _count("shadow_risk", bin=risk_bin(shadow["risk"]), model=model)


def _time(source: Source, pinned: Pinned, *, waited_for: str) -> None:
    """Record the time from the upload until now, unless the case is about an old object."""
    if source.origin not in TIMED_ORIGINS:
        return
    uploaded = time_of(source.event_time) or time_of(pinned.modified)
    if uploaded:
        passed = max(datetime.now(UTC) - uploaded, timedelta())
        process_stats().timing(PREFIX + "to_result", passed, tags={"waited_for": waited_for})


def _listed(value: str, known: Collection[str]) -> str:
    """Return a ``value`` as a tag; :data:`OTHER` if it is not ``known``: a person may type it."""
    return re.sub(r"\W", "_", value) if value in known else OTHER


def _model(version: str) -> str:
    return version if re.fullmatch(r"[\w.-]{1,64}", version) else OTHER
