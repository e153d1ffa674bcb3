"""The page of a case: its pictures, its steps, its audit trail, and what may be done with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import HTTPException
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import SQLAlchemyError

from xray.airflow import config, connections
from xray.airflow.addresses import QUARANTINE as QUARANTINE_PICTURE
from xray.airflow.addresses import REVIEW as REVIEW_PICTURE
from xray.airflow.addresses import (
    api_address,
    picture_address,
    ui_run_address,
    ui_task_address,
)
from xray.airflow.api import ACTIVE_STATES
from xray.airflow.forms import DAGS, form_run_id
from xray.airflow.index import queries, runs
from xray.airflow.index.runs import CaseRun, Step
from xray.airflow.index.table import State
from xray.case import quarantine, review
from xray.case.known import Kind, Known, look_up
from xray.case.manifest import RELEASE, REVIEW, Request
from xray.case.pictures import View
from xray.errors import XrayError
from xray.settings import case_settings
from xray.web import trail
from xray.web.cases import NO_INDEX, shown
from xray.web.pages import page

log = logging.getLogger(__name__)

CHOICES = {REVIEW: review.CHOICES, RELEASE: quarantine.RELEASE_CHOICES}
"""The choices of each kind of form."""
CAPTIONS = {
    Kind.ORIGINAL: "Original",
    Kind.ANNOTATED: "Annotated",
    Kind.EVIDENCE: "Evidence",
    Kind.ANONYMIZED: "Anonymised",
    Kind.QUARANTINED: "In quarantine",
}
"""What the page calls each picture."""
_PICTURE_PATHS = {REVIEW: REVIEW_PICTURE, RELEASE: QUARANTINE_PICTURE}


@dataclass(slots=True, kw_only=True)
class Found:
    """What Airflow and the store say of a case."""

    case_id: str
    row: Any
    """Of the index; None if the case has not begun."""
    run: CaseRun | None
    """The case's own run; None if Airflow does not have it any more."""
    known: Known | None = None
    """None if the store was not asked, or does not answer."""
    problem: str = ""
    """Why the store has not answered."""


def find(case_id: str, *, ask_store: bool) -> Found:
    """Return what is known of a case.

    Args:
        case_id: the case.
        ask_store: whether to read its audit trail and its manifest.

    Raises:
        HTTPException: 404 if there is no such case.
        SQLAlchemyError: Airflow's database does not answer.
    """
    with queries.database() as connection:
        row = queries.row_of(connection, case_id)
        run = runs.own_run(connection, case_id, row.run_id if row else None)
    if row is None and run is None:
        raise HTTPException(404, "There is no such case.")
    found = Found(case_id=case_id, row=row, run=run)
    if ask_store:
        bucket = row.bucket if row else run.conf.get("bucket") if run else None
        try:
            found.known = look_up(
                connections.object_store(),
                bucket or config.bucket(),
                case_id,
                config.keyring(),
                run.conf if run else None,
            )
        except XrayError as error:
            found.problem = str(error)
    return found


def known(case_id: str) -> Known:
    """Return what the store knows of a case.

    Raises:
        HTTPException: 404 if there is no such case, 503 if the store does not answer.
    """
    found = find(case_id, ask_store=True)
    if found.known is None:
        raise HTTPException(503, found.problem)
    return found.known


def show(case_id: str, *, images: bool, actions: Collection[str]) -> HTMLResponse:
    """Return the page.

    Args:
        case_id: the case.
        images: whether the user may see identified images and object keys.
        actions: what the user may do: see :func:`xray.web.rights.actions`.
    """
    try:
        found = find(case_id, ask_store=images)
        all_runs = _runs(found)
    except SQLAlchemyError as error:
        log.warning("The case cannot be read (%s).", type(error).__name__)
        return _page(503, problem=NO_INDEX, case_id=case_id)
    except HTTPException as error:
        return _page(404, problem=str(error.detail), case_id=case_id)
    now = datetime.now(UTC)
    run, asked = found.run, found.known.waiting if found.known else None
    return _page(
        200,
        problem="",
        case_id=case_id,
        case=shown(found.row, now) if found.row else None,
        run=run,
        run_address=ui_run_address(run.dag_id, run.run_id) if run else "",
        runs=[_shown_run(one) for one in all_runs],
        live=_live(found.row, all_runs),
        images=images,
        store_problem=found.problem,
        known=found.known,
        pictures=_pictures(found),
        events=trail.in_words(found.known.trail) if found.known else [],
        trail_text=_pretty(list(found.known.trail)) if found.known else "",
        certificate=_certificate(found),
        form=_form(found.known, asked, actions) if found.known and asked else None,
        actions=actions,
        schemas=case_settings(),
    )


def none() -> HTMLResponse:
    """Return the page in place of that of a case that is not there."""
    return _page(404, problem="This run is no case.", case_id="")


def _page(status: int, **values: Any) -> HTMLResponse:
    return page("case.html", status, root="../", api=api_address(), **values)


def _runs(found: Found) -> list[CaseRun]:
    """Return the run of a case, and those of its forms as far as they are known."""
    forms: list[CaseRun] = []
    if found.known:
        with queries.database() as connection:
            forms = runs.form_runs(connection, found.case_id, found.known.claims)
    return [*([found.run] if found.run else []), *forms]


def _live(row: Any, all_runs: Iterable[CaseRun]) -> bool:
    """Return whether the page may change without the user."""
    if row is None or row.waits or row.state in (State.RUNNING, State.WAITING):
        return True
    return any(one.state in ACTIVE_STATES for one in all_runs)


def _shown_run(run: CaseRun) -> dict[str, Any]:
    titles = {config.CASE_DAG: "The case", **{dag: f"Form: {kind}" for kind, dag in DAGS.items()}}
    return {
        "title": titles[run.dag_id],
        "address": ui_run_address(run.dag_id, run.run_id),
        "state": run.state,
        "note": run.note,
        "steps": [_shown_step(run, step) for step in run.steps],
    }


def _shown_step(run: CaseRun, step: Step) -> dict[str, Any]:
    seconds, skipped = None, step.state == "skipped"
    if step.started and step.ended and not skipped:
        seconds = max(timedelta(), step.ended - step.started).total_seconds()
    tries = range(0) if skipped else range(1, step.tries + 1)
    return {
        "name": step.task_id,
        "state": step.state or "not yet",
        "seconds": seconds,
        "logs": [
            (number, ui_task_address(run.dag_id, run.run_id, step.task_id, number))
            for number in tries
        ],
    }


def _pictures(found: Found) -> list[dict[str, str]]:
    """Return the captions and the addresses of the pictures of a case."""
    if found.known is None:
        return []
    shown_pictures = [
        {
            "caption": CAPTIONS[kind],
            **{view.value: f"{found.case_id}/pictures/{kind.value}/{view.value}" for view in View},
        }
        for kind in Kind
        if kind in found.known.pictures()
    ]
    asked = found.known.waiting
    if asked and asked.kind == REVIEW:
        shown_pictures.append({"caption": "For the review", **_asked_pictures(found.known, asked)})
    return shown_pictures


def _asked_pictures(known_case: Known, asked: Request) -> dict[str, str]:
    """Return the addresses of the pictures that a form shows."""
    path, bucket = _PICTURE_PATHS[asked.kind], known_case.buckets.landing
    return {
        view.value: picture_address(path, bucket, asked.case_id, asked.claim, view) for view in View
    }


def _form(known_case: Known, asked: Request, actions: Collection[str]) -> dict[str, Any]:
    """Return what the page says of the decision that the case waits for."""
    return {
        "kind": asked.kind,
        "claim": asked.claim,
        "since": datetime.fromisoformat(asked.since),
        "until": datetime.fromisoformat(asked.until) if asked.until else None,
        "choices": CHOICES[asked.kind],
        "agreed": asked.agreed,
        "may_answer": asked.kind in actions,
        "bucket": known_case.buckets.landing,
        "dag": DAGS[asked.kind],
        "run": form_run_id(asked.marker),
        "picture": _asked_pictures(known_case, asked)[View.FULL.value],
    }


def _certificate(found: Found) -> str:
    """Return the certificate of the anonymised image as a text; empty if there is none."""
    place = found.known.certificate() if found.known else None
    if place is None:
        return ""
    try:
        data = connections.object_store().get(place.bucket, place.key).data
        return _pretty(json.loads(data))
    except (XrayError, ValueError):
        return "The certificate cannot be read."


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
