"""The picture of a case that waits for a review, for whoever may see its run in Airflow."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Path, Response

from xray.airflow import deployment
from xray.case import Buckets
from xray.errors import NotThereError, PassingError, XrayError
from xray.steps import preview_name

# A plugin's app is not behind Airflow's login by itself: this asks for it, route by route.
may_see_cases = Depends(
    requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=deployment.CASE_DAG)
)

app = FastAPI(title="xray", openapi_url=None)


@app.get("/preview/{bucket}/{case_id}", dependencies=[may_see_cases])
def preview(
    bucket: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{2,50}$")],
    case_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")],
) -> Response:
    """A waiting case's annotated image; 404 once the case has gone on."""
    try:
        content = deployment.object_store().read(Buckets(bucket).staging, preview_name(case_id))
    except NotThereError:
        raise HTTPException(404, "This case waits for no review.") from None
    except XrayError as error:
        raise HTTPException(503 if isinstance(error, PassingError) else 404, str(error)) from None
    # It shows a patient: no cache keeps it.
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(content.data, media_type="image/jpeg", headers=headers)
