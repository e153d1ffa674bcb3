"""The app that Airflow mounts under ``/xray``, for users who may see the runs of cases."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Body, Depends, FastAPI, HTTPException, Path, Query, Response
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import AfterValidator

from xray.airflow import config
from xray.airflow.addresses import (
    AGAIN,
    CASE,
    CASES,
    DEAD_LETTERS,
    OPEN_RELEASE,
    OPEN_REVIEW,
    PICTURE,
    QUARANTINE,
    REVIEW,
    RUN,
    SEARCH,
    START,
    START_BACKFILL,
    START_CASES,
    START_FOLDER,
    THUMBNAIL,
    WAITING,
)
from xray.airflow.index import queries
from xray.airflow.letters import MAX_REASON
from xray.case import Buckets, manifest
from xray.case.known import Kind
from xray.case.pictures import View
from xray.errors import SettingsError
from xray.suffixes import landing_bucket
from xray.web import case, cases, dead_letters, pages, pictures, start, viewed, waiting
from xray.web.origin import from_our_page
from xray.web.rights import (
    actions,
    images_shown,
    kinds_to_open,
    may_backfill,
    may_open,
    may_replay,
    may_see_cases,
    may_see_images,
    may_start_cases,
    whether,
)

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


_MAY_START = [Depends(may_see_images), Depends(may_start_cases)]

# Airflow does not put a plugin's app behind its login, so the app asks for it, on every route.
app = FastAPI(title="xray", openapi_url=None, dependencies=[Depends(may_see_cases)])


@app.get(REVIEW, dependencies=[Depends(may_see_images)])
def review(user: GetUserDep, bucket: Bucket, case_id: CaseId, claim: Claim, view: View) -> Response:
    """Serve a view of the annotated image of a case that waits for a review."""
    viewed.log.record(user, case_id, manifest.REVIEW)
    return pictures.of_waiting_case(Buckets(bucket).staging, case_id, claim, view)


@app.get(QUARANTINE, dependencies=[Depends(may_see_images)])
def quarantined(
    user: GetUserDep, bucket: Bucket, case_id: CaseId, claim: Claim, view: View
) -> Response:
    """Serve a view of the quarantined image of a case."""
    viewed.log.record(user, case_id, manifest.RELEASE)
    return pictures.of_waiting_case(Buckets(bucket).quarantine, case_id, claim, view)


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
def list_cases(
    chosen: Annotated[cases.Chosen, Query()],
    images: Annotated[bool, Depends(images_shown)],
    may_start: Annotated[bool, Depends(whether(may_start_cases))],
) -> Response:
    """Serve the page with all cases."""
    return cases.show(chosen, images=images, may_start=may_start)


@app.post(SEARCH, dependencies=[Depends(may_see_images), Depends(from_our_page)])
def search(bucket: ChosenBucket, wanted: start.Wanted) -> Response:
    """Find the cases of an object or of a patient."""
    return start.search(bucket, wanted)


@app.get(START, dependencies=_MAY_START)
def show_start(
    bucket: ChosenBucket, with_backfill: Annotated[bool, Depends(whether(may_backfill))]
) -> Response:
    """Serve the page on which cases are started from the listing of the bucket."""
    return start.show(bucket, may_backfill=with_backfill)


@app.post(START_FOLDER, dependencies=[*_MAY_START, Depends(from_our_page)])
def list_folder(bucket: ChosenBucket, place: start.Place) -> Response:
    """List a folder of the bucket."""
    return start.list_folder(bucket, place)


@app.post(START_CASES, dependencies=[*_MAY_START, Depends(from_our_page)])
def prepare_cases(bucket: ChosenBucket, chosen: start.Keys) -> Response:
    """Return the runs of the cases of objects."""
    return start.start_cases(bucket, chosen)


@app.post(START_BACKFILL, dependencies=[*_MAY_START, Depends(from_our_page)])
def prepare_backfill(bucket: ChosenBucket, place: start.Place) -> Response:
    """Return the run of a backfill of a folder."""
    return start.start_backfill(bucket, place)


@app.get(CASE)
def show_case(
    case_id: CaseId,
    images: Annotated[bool, Depends(images_shown)],
    allowed: Annotated[set[str], Depends(actions)],
) -> Response:
    """Serve the page of a case."""
    return case.show(case_id, images=images, actions=allowed)


@app.get(RUN)
def show_case_of_run(run_id: str) -> Response:
    """Lead to the page of the case that a run is about."""
    with queries.database() as connection:
        case_id = queries.case_of_run(connection, run_id)
    if case_id is None:
        return case.none()
    return RedirectResponse(f"../cases/{case_id}", headers=pages.HEADERS)


@app.get(PICTURE, dependencies=[Depends(may_see_images)])
def picture(user: GetUserDep, case_id: CaseId, picture: Kind, view: View) -> Response:
    """Serve a picture of a case."""
    known = case.known(case_id)
    viewed.log.record(user, case_id, picture.value)
    return pictures.of_case(known, picture, view)


@app.get(THUMBNAIL, dependencies=[Depends(may_see_images)])
def thumbnail(user: GetUserDep, bucket: Bucket, case_id: CaseId) -> Response:
    """Serve the thumbnail of a case."""
    viewed.log.record(user, case_id, "thumbnail")
    return pictures.thumbnail(Buckets(bucket).manifests, case_id)


@app.post(AGAIN, dependencies=[Depends(may_start_cases), Depends(from_our_page)])
def prepare_again(case_id: CaseId, settings: Annotated[dict[str, Any], Body()]) -> Response:
    """Return the run of a new case of the same image, with other settings."""
    return start.again(case.known(case_id), settings)


@app.get(DEAD_LETTERS)
def list_dead_letters(
    with_replay: Annotated[bool, Depends(whether(may_replay))], reason: Reason = None
) -> Response:
    """Serve the page with the newest dead letters."""
    return dead_letters.show(reason, may_replay=with_replay)


@app.get("/static/{name}")
def static(name: str) -> Response:
    """Serve a style sheet or a script of the pages."""
    if name not in pages.STATIC:
        raise HTTPException(404)
    return FileResponse(pages.FILES / name, headers=pages.HEADERS)
