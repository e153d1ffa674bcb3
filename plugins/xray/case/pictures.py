"""The pictures of a waiting image that a person is shown, rendered once by a task.

Airflow's API server streams the stored pictures and decodes none. Each :class:`View` has an object
of its own, so that no more than one view is in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from xray.storage import ObjectStore

if TYPE_CHECKING:
    from PIL import Image

    from xray.image import Picture

PREVIEW_SIDE = 1200
"""The most pixels of a preview's longer side, rulers included."""
_TILE_SIDE = 1024
"""The side of the squares in which greys are stretched, in pixels."""
_TILE_MARGIN = 128
"""The pixels around a square that have a part in its contrast."""


class View(StrEnum):
    """A way to see an image."""

    PREVIEW = "preview"
    """Reduced to :data:`PREVIEW_SIDE`, as JPEG."""
    FULL = "full"
    """Every pixel as it is in 8 bits, as PNG, which loses nothing."""
    STRETCHED = "stretched"
    """Full size in grey, with the same contrast everywhere, so that faint text is visible."""

    @property
    def content_type(self) -> str:
        """The media type of the view's object."""
        return "image/jpeg" if self is View.PREVIEW else "image/png"

    @property
    def file_name(self) -> str:
        """The last part of the key of the view's object."""
        return f"{self.value}.{self.content_type.removeprefix('image/')}"


def picture_name(case_id: str, claim: int, view: View) -> str:
    """Return the key of a view's object, in the staging or the quarantine bucket.

    Args:
        case_id: the case.
        claim: the number of the claim under which the case asks.
        view: the view.
    """
    return f"{case_id}/{claim}/{view.file_name}"


def is_picture(key: str) -> bool:
    """Return whether ``key`` is a view's, and not that of an image itself."""
    return key.rpartition("/")[2] in {view.file_name for view in View}


def render(picture: Picture, *, rulers: bool) -> Iterator[tuple[View, bytes]]:
    """Render each view of ``picture`` in turn.

    Args:
        picture: the image.
        rulers: whether the preview has rulers that count the pixels of the full image; it is in
            grey then.
    """
    for view in View:
        yield view, _rendered(picture, view, rulers)


def put_pictures(
    store: ObjectStore,
    bucket: str,
    case_id: str,
    claim: int,
    picture: Picture,
    *,
    rulers: bool,
) -> list[dict[str, Any]]:
    """Render and write each view of ``picture``, and return the manifest's entries for them.

    Args:
        store: the object store.
        bucket: the staging or the quarantine bucket.
        case_id: the case.
        claim: the number of the claim under which the case asks.
        picture: the image.
        rulers: see :func:`render`.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    entries = []
    for view, data in render(picture, rulers=rulers):
        key = picture_name(case_id, claim, view)
        etag: Any = store.put(bucket, key, data, content_type=view.content_type)
        entries.append(
            {
                "bucket": bucket,
                "key": key,
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "etag": etag,
            }
        )
    return entries


def _rendered(picture: Picture, view: View, rulers: bool) -> bytes:
    """Return the bytes of one view."""
    raise NotImplementedError
