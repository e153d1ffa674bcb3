"""The pictures of cases that wait for a person: read from the store, sent without caching."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import HTTPException, Response

from xray.airflow import connections
from xray.case import Buckets, quarantine, review
from xray.errors import NotFoundError, TransientError, XrayError
from xray.storage import ObjectStore


def preview(bucket: str, case_id: str) -> Response:
    """Return the annotated image of a case that waits for a review.

    Args:
        bucket: the bucket in which the image landed.
        case_id: the case.

    Raises:
        HTTPException: 404 if the case does not wait for a review, 503 if the store is down.
    """
    key = review.preview_key(case_id)
    return _respond(lambda store: store.get(Buckets(bucket).staging, key).data)


def quarantined(bucket: str, case_id: str) -> Response:
    """Return the quarantined image of a case, with rulers.

    Args:
        bucket: the bucket in which the image landed.
        case_id: the case.

    Raises:
        HTTPException: 404 if the image is not in quarantine, 503 if the store is down.
    """
    return _respond(lambda store: quarantine.quarantine_preview(store, Buckets(bucket), case_id))


def _respond(read_picture: Callable[[ObjectStore], bytes]) -> Response:
    try:
        content = read_picture(connections.object_store())
    except NotFoundError:
        raise HTTPException(404, "This case does not wait for a person.") from None
    except XrayError as error:
        raise HTTPException(503 if isinstance(error, TransientError) else 404, str(error)) from None
    # The picture shows a patient: no cache may keep it.
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type="image/jpeg", headers=headers)
