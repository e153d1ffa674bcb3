"""The app that Airflow mounts under ``/xray``, for users who may see the runs of cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import AfterValidator

from xray.airflow import config
from xray.airflow.addresses import (
    CASES,
    DEAD_LETTERS,
    OPEN_RELEASE,
    OPEN_REVIEW,
    QUARANTINE,
    REVIEW,
    WAITING,
)
from xray.airflow.forms import DAGS
from xray.airflow.letters import MAX_REASON
from xray.case import Buckets, manifest
from xray.case.pictures import View
from xray.errors import SettingsError
from xray.suffixes import landing_bucket
from xray.web import cases, dead_letters, pages, pictures, waiting
from xray.web.origin import from_our_page

BUCKET = r"^[a-z0-9][a-z0-9.-]{2,50}$"


def _landing(bucket: str) -> str:
    try:
        return landing_bucket(bucket)
    except SettingsError as error:
        raise ValueError(str(error)) from None  # Answered with HTTP 422.


Bucket = Annotated[str, Path(pattern=BUCKET), AfterValidator(_landing)]
ChosenBucket = Annotated[
    str,
    Query(alias="bucket", pattern=BUCKET, default_factory=config.bucket),
    AfterValidator(_landing),
]
CaseId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Claim = Annotated[int, Path(ge=1, lt=2**31)]
Reason = Annotated[str | None, Query(max_length=MAX_REASON)]
PageNumber = Annotated[int, Query(alias="page", ge=1, lt=2**31)]

may_see_cases = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=config.CASE_DAG)
may_open = {
    kind: requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=dag_id)
    for kind, dag_id in DAGS.items()
}
"""Asks whether the user may start runs of the DAG of each kind of form."""
may_replay = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=config.REPLAY_DAG)
"""Asks whether the user may start runs of ``xray_replay``; Airflow asks again at the start."""


def kinds_to_open(request: Request, user: GetUserDep) -> list[str]:
    """Return the kinds whose forms the user may open."""
    return [kind for kind, check in may_open.items() if _passes(check, request, user)]


def replays(request: Request, user: GetUserDep) -> bool:
    """Return whether the user may start a replay."""
    return _passes(may_replay, request, user)


def _passes(check: Callable[..., Any], request: Request, user: Any) -> bool:
    try:
        check(request, user)
    except HTTPException:
        return False
    return True


# Airflow does not put a plugin's app behind its login, so the app asks for it, on every route.
app = FastAPI(title="xray", openapi_url=None, dependencies=[Depends(may_see_cases)])


@app.get(REVIEW)
def review(bucket: Bucket, case_id: CaseId, claim: Claim, view: View) -> Response:
    """Serve a view of the annotated image of a case that waits for a review."""
    return pictures.stream(Buckets(bucket).staging, case_id, claim, view)


@app.get(QUARANTINE)
def quarantined(bucket: Bucket, case_id: CaseId, claim: Claim, view: View) -> Response:
    """Serve a view of the quarantined image of a case."""
    return pictures.stream(Buckets(bucket).quarantine, case_id, claim, view)


@app.get(WAITING)
async def list_waiting(
    bucket: ChosenBucket,
    kinds: Annotated[list[str], Depends(kinds_to_open)],
    number: PageNumber = 1,
) -> Response:
    """Serve the page with the cases that wait for a person."""
    return await waiting.show(bucket, number, kinds)


@app.post(OPEN_REVIEW, dependencies=[Depends(may_open[manifest.REVIEW]), Depends(from_our_page)])
async def open_review(bucket: ChosenBucket, case_id: CaseId, claim: Claim) -> Response:
    """Open the form of a case that waits for a review."""
    return await waiting.open_form(bucket, manifest.REVIEW, case_id, claim)


@app.post(OPEN_RELEASE, dependencies=[Depends(may_open[manifest.RELEASE]), Depends(from_our_page)])
async def open_release(bucket: ChosenBucket, case_id: CaseId, claim: Claim) -> Response:
    """Open the form of a case whose quarantined image waits for a decision."""
    return await waiting.open_form(bucket, manifest.RELEASE, case_id, claim)


@app.get(CASES)
def list_cases(chosen: Annotated[cases.Chosen, Query()]) -> Response:
    """Serve the page with all cases."""
    return cases.show(chosen)


@app.get(DEAD_LETTERS)
def list_dead_letters(
    with_replay: Annotated[bool, Depends(replays)], reason: Reason = None
) -> Response:
    """Serve the page with the newest dead letters."""
    return dead_letters.show(reason, may_replay=with_replay)


@app.get("/static/{name}")
def static(name: str) -> Response:
    """Serve a style sheet or a script of the pages."""
    if name not in pages.STATIC:
        raise HTTPException(404)
    return FileResponse(pages.FILES / name, headers=pages.HEADERS)
