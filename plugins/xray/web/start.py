"""The runs that a page starts: their ids and confs, with everything sealed that names an object.

The page's script sends them to Airflow's API with the login of the user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import HTTPException
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field, StringConstraints

from xray.airflow import config, connections
from xray.airflow.addresses import api_address
from xray.case import RUN_PREFIX, Source, patient_hash, seal_prefix
from xray.case.known import Known
from xray.errors import SettingsError, XrayError
from xray.notification import is_folder_marker
from xray.pseudonym import Keyring
from xray.settings import case_settings
from xray.storage import ListedObject
from xray.web.pages import HEADERS, page, status_of

PER_PAGE = 100
"""Objects and folders in one part of a listing, and cases that are started at once."""


def again(known: Known, settings: Mapping[str, Any]) -> JSONResponse:
    """Return the run of a new case of the same image.

    Args:
        known: what the store knows of the case.
        settings: of the new case, where they are not the deployment's.

    Raises:
        HTTPException: 404 if nothing names the object, 422 if a setting is wrong.
    """
    if known.source is None:
        raise HTTPException(404, "Nothing names the object of this case any more.")
    try:
        if unknown := sorted(set(settings) - set(case_settings())):
            raise SettingsError(f"A case has no setting {unknown[0]!r} of its own.")
        config.settings(settings)
    except SettingsError as error:
        raise HTTPException(422, str(error)) from None
    upload = f"again {datetime.now(UTC).isoformat()}"
    source = replace(known.source, origin="manual", sequencer=upload)
    case_id, run = prepared(source, config.keyring(), settings)
    return _answer({"case_id": case_id, "run": run})


def prepared(
    source: Source, keyring: Keyring, settings: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the id of a new case, and the body of the request to Airflow that starts its run."""
    conf = source.to_conf(keyring)
    case_id = conf["case_id"]
    run = {
        "dag_run_id": f"{RUN_PREFIX}{case_id}",
        "logical_date": None,
        "conf": {**conf, **(settings or {})},
    }
    return case_id, run


class Wanted(BaseModel):
    """What is searched for. It is in the body of a request, so that no log has it."""

    by: Literal["object", "patient"]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1024)]


def search(bucket: str, wanted: Wanted) -> JSONResponse:
    """Return the query of the page Cases for the cases of an object or of a patient."""
    keyring = config.keyring()
    if wanted.by == "object":
        found = Source(bucket=bucket, key=wanted.text).object_hash(keyring)
    else:
        found = patient_hash(keyring, bucket, wanted.text)
    return _answer({"address": f"?{wanted.by}={found}"})


def show(bucket: str, *, may_backfill: bool) -> HTMLResponse:
    """Return the page on which cases are started.

    Args:
        bucket: the bucket of the images.
        may_backfill: whether the user may start a backfill.
    """
    return page("start.html", 200, bucket=bucket, api=api_address(), may_backfill=may_backfill)


class Place(BaseModel):
    """A folder of the bucket, and which part of it."""

    prefix: Annotated[str, StringConstraints(max_length=1024, pattern="^(.*/)?$")] = ""
    after: Annotated[str | None, StringConstraints(max_length=4096)] = None


def list_folder(bucket: str, place: Place) -> JSONResponse:
    """Return a part of a folder: its folders, and its objects with their cases in the index."""
    with _answered():
        store, keyring = connections.object_store(), config.keyring()
        folder = store.folder(bucket, place.prefix, most=PER_PAGE, after=place.after)
    objects = [one for one in folder.objects if not is_folder_marker(one.key, one.size)]
    return _answer(
        {
            "folders": folder.folders,
            "objects": [
                {
                    "key": one.key,
                    "size": one.size,
                    "modified": one.modified.isoformat(timespec="seconds"),
                    "cases": "?object=" + Source(bucket=bucket, key=one.key).object_hash(keyring),
                }
                for one in objects
            ],
            "next": folder.next,
        }
    )


class Keys(BaseModel):
    """The objects whose cases are to be started."""

    keys: Annotated[
        list[Annotated[str, StringConstraints(max_length=1024)]],
        Field(min_length=1, max_length=PER_PAGE),
    ]


def start_cases(bucket: str, chosen: Keys) -> JSONResponse:
    """Return the runs of the cases of objects, the same that a backfill starts."""
    runs = []
    with _answered():
        store, keyring = connections.object_store(), config.keyring()
        for key in chosen.keys:
            head = store.head(bucket, key)
            if head is None:
                raise HTTPException(404, "An object is no longer there: reload the page.")
            entry = ListedObject(key, head.etag, head.size, head.modified)
            runs.append(prepared(Source.from_listing(bucket, entry, "backfill"), keyring))
    return _answer({"runs": [{"case_id": case_id, "run": run} for case_id, run in runs]})


def start_backfill(bucket: str, place: Place) -> JSONResponse:
    """Return the run of a backfill of a folder."""
    sealed = seal_prefix(config.keyring(), bucket, place.prefix) if place.prefix else None
    return _answer({"run": {"logical_date": None, "conf": {"bucket": bucket, "sealed": sealed}}})


def _answer(values: Mapping[str, Any]) -> JSONResponse:
    return JSONResponse(values, headers=HEADERS)


@contextmanager
def _answered() -> Iterator[None]:
    """Answer a failure of the store with a sentence."""
    try:
        yield
    except XrayError as error:
        raise HTTPException(status_of(error), str(error)) from None
