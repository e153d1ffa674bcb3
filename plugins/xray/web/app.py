"""The app that Airflow mounts under ``/xray``, for users who may see the runs of cases."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Path, Response

from xray.airflow import config
from xray.airflow.addresses import PREVIEW, QUARANTINE
from xray.web import pictures

Bucket = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{2,50}$")]
CaseId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]

may_see_cases = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=config.CASE_DAG)

# Airflow does not put a plugin's app behind its login, so the app asks for it, on every route.
app = FastAPI(title="xray", openapi_url=None, dependencies=[Depends(may_see_cases)])


@app.get(PREVIEW)
def preview(bucket: Bucket, case_id: CaseId) -> Response:
    """Serve the annotated image of a case that waits for a review."""
    return pictures.preview(bucket, case_id)


@app.get(QUARANTINE)
def quarantined(bucket: Bucket, case_id: CaseId) -> Response:
    """Serve the quarantined image of a case, with rulers."""
    return pictures.quarantined(bucket, case_id)
