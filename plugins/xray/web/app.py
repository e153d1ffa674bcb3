"""The app that Airflow mounts under ``/xray``, for users who may see the runs of cases."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Path, Response

from xray.airflow import config
from xray.airflow.addresses import QUARANTINE, REVIEW
from xray.case import Buckets
from xray.case.pictures import View
from xray.web import pictures

Bucket = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{2,50}$")]
CaseId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Claim = Annotated[int, Path(ge=1, lt=2**31)]

may_see_cases = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=config.CASE_DAG)

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
