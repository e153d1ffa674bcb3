"""The picture of a case that waits for a person, for whoever may see its run in Airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Path, Response

from xray.airflow import config, connections
from xray.case import Buckets
from xray.case.quarantine import quarantine_preview
from xray.case.review import preview_key
from xray.errors import NotFoundError, TransientError, XrayError
from xray.storage import ObjectStore

# A plugin's app is not behind Airflow's login by itself: this asks for it, route by route.
may_see_cases = Depends(
    requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=config.CASE_DAG)
)

app = FastAPI(title="xray", openapi_url=None)


Bucket = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{2,50}$")]
CaseId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


@app.get("/preview/{bucket}/{case_id}", dependencies=[may_see_cases])
def preview(bucket: Bucket, case_id: CaseId) -> Response:
    """The annotated image of a case that waits for a review; 404 once the case has gone on."""
    return _shown(lambda store: store.get(Buckets(bucket).staging, preview_key(case_id)).data)


@app.get("/quarantine/{bucket}/{case_id}", dependencies=[may_see_cases])
def quarantined(bucket: Bucket, case_id: CaseId) -> Response:
    """A quarantined image, with rulers; 404 once it was decided on."""
    return _shown(lambda store: quarantine_preview(store, Buckets(bucket), case_id))


def _shown(picture: Callable[[ObjectStore], bytes]) -> Response:
    try:
        content = picture(connections.object_store())
    except NotFoundError:
        raise HTTPException(404, "This case waits for nobody.") from None
    except XrayError as error:
        raise HTTPException(503 if isinstance(error, TransientError) else 404, str(error)) from None
    # It shows a patient: no cache keeps it.
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type="image/jpeg", headers=headers)
