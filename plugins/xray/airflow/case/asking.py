"""Lets a case wait for a person: it is asked for, its form is offered, and people are told.

A task may be repeated at any point, and asks once all the same: the request is that of the case's
claim, and its form is one run.
"""

from __future__ import annotations

from typing import Any

from xray.airflow import api, config, forms
from xray.airflow.case import told
from xray.case import Pinned, Scored, Work, review
from xray.case.manifest import RELEASE, REVIEW
from xray.case.requests import Waiting
from xray.errors import StaleError

WAITS = "Waits for a review: see Required Actions, or the page Waiting."


def ask_for_review(ti: Any, work: Work, pinned: Pinned, scored: Scored) -> bool:
    """Let a case wait for a review, and return whether it waits.

    It does not if a later case of the same object has taken over: the case then goes on to its end,
    where it is recorded as superseded. People are told last, so that hardly any retry tells them
    again.

    Args:
        ti: the task instance at work, which skips the rest of its run if the case waits.
        work: the case.
        pinned: the result of *fetch*.
        scored: the result of *classify*.

    Raises:
        ObjectError: the object was deleted or replaced after it was fetched.
        TransientError: the store cannot answer now.
    """
    try:
        request = review.ask_for_review(work, pinned, scored)
    except StaleError:
        return False
    waiting = Waiting(source=work.source, pinned=pinned, scored=scored, request=request)
    forms.offer(waiting)
    api.set_note(ti.run_id, WAITS)
    ti.xcom_push(key=config.WAITS_FOR, value=REVIEW)
    told.waits(ti, work, waiting)
    return True


def offer_release(work: Work, pinned: Pinned, scored: Scored) -> Waiting | None:
    """Offer the form of a quarantined image, and return what waits.

    The case waits since its image was put into quarantine. None if it does so no longer, because
    another case of the object has taken over.

    Args:
        work: the case.
        pinned: the result of *fetch*.
        scored: the result of *classify*, or of the review after it.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    request = work.manifest.read()[0].waiting
    if request is None or (request.kind, request.case_id) != (RELEASE, work.case_id):
        return None
    waiting = Waiting(source=work.source, pinned=pinned, scored=scored, request=request)
    forms.offer(waiting)
    return waiting
