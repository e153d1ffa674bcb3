"""The pictures of waiting cases, streamed from the store to the browser.

A task has rendered them (:mod:`xray.case.pictures`). The API server decodes none, and holds one
chunk of each picture that it sends.
"""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from fastapi.responses import StreamingResponse

from xray.airflow import connections
from xray.case.pictures import View, picture_name
from xray.errors import NotFoundError, ObjectError, TransientError
from xray.storage import ObjectStream

CONTENT_TYPES = frozenset(view.content_type for view in View)
"""The media types that are served."""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The pictures show a patient: no cache may keep them."""


class PictureResponse(StreamingResponse):
    """A response that closes the stored object however it ends: a browser may go away early."""

    def __init__(self, stored: ObjectStream) -> None:
        super().__init__(
            stored.chunks,
            media_type=stored.content_type,
            headers={**HEADERS, "Content-Length": str(stored.size)},
        )
        self.stored = stored

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the picture."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.stored.close()


def stream(bucket: str, case_id: str, claim: int, view: View) -> PictureResponse:
    """Return the response with a picture of a waiting case.

    Args:
        bucket: the staging or the quarantine bucket.
        case_id: the case.
        claim: the number of the claim under which the case asks.
        view: the view of the image.

    Raises:
        HTTPException: 404 if there is no such picture or it may not be read, 503 if the store is
            down.
    """
    try:
        stored = connections.object_store().stream(bucket, picture_name(case_id, claim, view))
    except NotFoundError:
        raise HTTPException(
            404,
            "This picture is no longer there: the form that showed it was answered or withdrawn.",
            headers=HEADERS,
        ) from None
    except TransientError as error:
        raise HTTPException(503, str(error), headers=HEADERS) from None
    except ObjectError as error:
        raise HTTPException(404, str(error), headers=HEADERS) from None
    if stored.content_type not in CONTENT_TYPES:
        stored.close()
        raise HTTPException(404, "The stored object is not a picture.", headers=HEADERS)
    return PictureResponse(stored)
