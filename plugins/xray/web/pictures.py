"""The pictures of cases, streamed from the store to the browser.

The API server decodes none, and holds one chunk of each picture that it sends. A picture that a
browser cannot show is rendered by :mod:`xray.web.rendering`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from fastapi import HTTPException, Response
from fastapi.responses import StreamingResponse

from xray.airflow import config, connections
from xray.case.known import Kind, Known
from xray.case.pictures import THUMBNAIL_TYPE, View, picture_name, thumbnail_key
from xray.errors import ImageError, NotFoundError, TransientError, XrayError
from xray.storage import ObjectStream
from xray.store_errors import PreconditionError
from xray.web import rendering

CONTENT_TYPES = frozenset(view.content_type for view in View)
"""The media types that are served."""
GONE = "This picture is no longer there: the form that showed it was answered or withdrawn."
ABSENT = "This picture is not there: it was deleted, or the case has not made it."
_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
"""How files begin that browsers can show."""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The pictures show a patient: no cache may keep them."""


class PictureResponse(StreamingResponse):
    """A response that closes the stored object however it ends: a browser may go away early."""

    def __init__(self, stored: ObjectStream, content_type: str, *first: bytes) -> None:
        super().__init__(
            chain(first, stored.chunks),
            media_type=content_type,
            headers={**HEADERS, "Content-Length": str(stored.size)},
        )
        self.stored = stored

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the picture."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.stored.close()


def of_waiting_case(bucket: str, case_id: str, claim: int, view: View) -> PictureResponse:
    """Return the response with a picture of a waiting case, which a task has rendered.

    Args:
        bucket: the staging or the quarantine bucket.
        case_id: the case.
        claim: the number of the claim under which the case asks.
        view: the view of the image.

    Raises:
        HTTPException: 404 if there is no such picture or it may not be read, 503 if the store is
            down.
    """
    with _answered(GONE):
        stored = connections.object_store().stream(bucket, picture_name(case_id, claim, view))
    if stored.content_type not in CONTENT_TYPES:
        stored.close()
        raise HTTPException(404, "The stored object is not a picture.", headers=HEADERS)
    return PictureResponse(stored, stored.content_type)


def thumbnail(bucket: str, case_id: str) -> Response:
    """Return the response with the thumbnail of a case.

    Its status is 204 if there is none: the list may be a moment older than the store, and 404 would
    be an error on the browser's console.

    Args:
        bucket: the bucket of the manifests.
        case_id: the case.

    Raises:
        HTTPException: 404 if it may not be read, 503 if the store is down.
    """
    with _answered(ABSENT):
        try:
            stored = connections.object_store().stream(bucket, thumbnail_key(case_id))
        except NotFoundError:
            return Response(status_code=204, headers=HEADERS)
    return PictureResponse(stored, THUMBNAIL_TYPE)


def of_case(known: Known, kind: Kind, view: View) -> Response:
    """Return the response with a picture of a case.

    A PNG or a JPEG is sent as it is stored, unless its greys are to be stretched. If there is no
    such picture, the answer for a preview is 204, as for a thumbnail: the page that shows it may be
    a moment older than the store.

    Args:
        known: what the store knows of the case.
        kind: the picture.
        view: the view of it.

    Raises:
        HTTPException: 404 if there is no such picture or it may not be read, 503 if the store is
            down.
    """
    place = known.pictures().get(kind)
    if place is None:
        return _absent(view)
    with _answered(ABSENT):
        try:
            stored = connections.object_store().stream(
                place.bucket, place.key, version_id=place.version_id, etag=place.etag
            )
        except (NotFoundError, PreconditionError):
            return _absent(view)
        try:
            first = next(stored.chunks, b"")
            content_type = next((kind for magic, kind in _MAGIC if first.startswith(magic)), None)
            if content_type and view is not View.STRETCHED:
                return PictureResponse(stored, content_type, first)
            settings = config.settings()
            if stored.size > settings.max_bytes:
                raise ImageError("The object is larger than the limit max_bytes.")
            data = b"".join((first, *stored.chunks))
        except BaseException:
            stored.close()
            raise
        stored.close()
        return Response(
            rendering.render(data, view, settings), media_type=view.content_type, headers=HEADERS
        )


def _absent(view: View) -> Response:
    """Return the answer if there is no such picture."""
    if view is View.PREVIEW:
        return Response(status_code=204, headers=HEADERS)
    raise HTTPException(404, ABSENT, headers=HEADERS)


@contextmanager
def _answered(absent: str) -> Iterator[None]:
    """Answer a failure of the store with HTTP 404 or 503, and a sentence."""
    try:
        yield
    except NotFoundError:
        raise HTTPException(404, absent, headers=HEADERS) from None
    except TransientError as error:
        raise HTTPException(503, str(error), headers=HEADERS) from None
    except XrayError as error:
        raise HTTPException(404, str(error), headers=HEADERS) from None
