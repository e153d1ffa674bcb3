"""What people are told of a case: see :mod:`xray.airflow.notices`.

A task calls these functions last, after what they say is true: a try that is repeated before its
end then tells nothing twice.
"""

from __future__ import annotations

import logging
from typing import Any

from xray.airflow import notices
from xray.airflow.case import metrics
from xray.airflow.notices import Event
from xray.case import Decision, Outcome, Pinned, Scored, Work
from xray.case.manifest import RELEASE, REVIEW
from xray.case.requests import Waiting
from xray.settings import Label

log = logging.getLogger(__name__)

WAITS = {
    REVIEW: (
        Event.REVIEW,
        "The case waits for a review: see Required Actions, or the page Waiting.",
    ),
    RELEASE: (
        Event.QUARANTINED,
        "Text on the image could not be removed, so no anonymised copy was published: decide on it "
        "in Required Actions, or on the page Waiting.",
    ),
}
"""For each kind of request, the event and what is said."""


def failed(ti: Any, reason: str, *, pinned: Pinned | None, by_task: bool) -> None:
    """Tell people that a case has failed for good.

    Args:
        ti: the task instance that failed.
        reason: why, in one sentence that names no patient.
        pinned: the result of *fetch*, if there is one.
        by_task: whether the task itself calls this. If the failure callback of the DAG does, and
            the task has told the failure itself, nothing is told.
    """
    if by_task or not _settled(ti):
        _tell(
            Event.FAILED,
            ti,
            f"{ti.task_id} failed: {reason}",
            case_id=pinned.case_id if pinned else None,
        )


def published(ti: Any, work: Work, scored: Scored, outcome: Outcome) -> None:
    """Tell people of a published result whose label is Pneumonia.

    Args:
        ti: the task instance at work.
        work: the case.
        scored: the result of *classify*, or of the review after it.
        outcome: the result of *store*.
    """
    nothing = outcome.decision in (Decision.SUPERSEDED, Decision.DELETED)
    if outcome.label == Label.PNEUMONIA and not nothing:
        sentence = "A result with the label Pneumonia was published."
        _tell(Event.HIGH_RISK, ti, sentence, **_facts(work, scored))


def waits(ti: Any, work: Work, waiting: Waiting) -> None:
    """Tell people that a case waits for them."""
    event, sentence = WAITS[waiting.request.kind]
    _tell(event, ti, sentence, **_facts(work, waiting.scored))


def _facts(work: Work, scored: Scored) -> dict[str, Any]:
    """Return what a notice says of a case. The exact risk would identify the image."""
    risk = None if scored.refused else work.settings.rounded(scored.risk)
    return {"case_id": work.case_id, "label": scored.label, "risk": risk}


def _tell(event: Event, ti: Any, sentence: str, **facts: Any) -> None:
    notices.tell(event, dag_id=ti.dag_id, run_id=ti.run_id, sentence=sentence, **facts)


def _settled(ti: Any) -> bool:
    try:
        return metrics.settled(ti)
    except Exception as error:
        log.warning("It is not known whether the failure was told (%s).", type(error).__name__)
        return False
