"""The pictures of a waiting image that a person is shown, rendered once by a task.

Airflow's API server streams the stored pictures and decodes none. Each :class:`View` has an object
of its own, so that no more than one view is in memory at a time.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from xray.storage import ObjectStore

if TYPE_CHECKING:
    from PIL import Image

    from xray.image import Picture

PREVIEW_SIDE = 1200
"""The most pixels of a preview's longer side, rulers included."""
THUMBNAIL_SIDE = 96
"""The most pixels of a thumbnail's longer side: text on an image is too small to be read there."""
THUMBNAILS = "thumbnails/"
"""What the key of a thumbnail starts with, in the bucket of the manifests."""
THUMBNAIL_TYPE = "image/jpeg"
"""The media type of a thumbnail."""
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


def thumbnail_key(case_id: str) -> str:
    """Return the key of the thumbnail of a case, in the bucket of the manifests."""
    return f"{THUMBNAILS}{case_id}.jpg"


def thumbnail(picture: Picture) -> bytes:
    """Return a small JPEG of an image, at most :data:`THUMBNAIL_SIDE` pixels wide and high."""
    from PIL import ImageOps

    small = ImageOps.contain(picture.eight_bit(), (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.info.clear()
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=75)
    return stream.getvalue()


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
        yield view, rendered(picture, view, rulers=rulers)


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
        etag = store.put(bucket, key, data, content_type=view.content_type)
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


def rendered(picture: Picture, view: View, *, rulers: bool = False) -> bytes:
    """Return the bytes of one view: see :func:`render`."""
    from xray.image import draw_rulers

    image = picture.eight_bit()
    if view is View.STRETCHED:
        image = _stretched(image.convert("L"))
    elif view is View.PREVIEW and rulers:
        image = draw_rulers(image, PREVIEW_SIDE)
    elif view is View.PREVIEW:
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    image.info.clear()  # Pillow writes a colour profile into the file, and browsers apply it.
    stream = io.BytesIO()
    if view is View.PREVIEW:
        image.save(stream, "JPEG", quality=90)
    else:
        image.save(stream, "PNG")
    return stream.getvalue()


def _stretched(image: Image.Image) -> Image.Image:
    """Return an image in mode L with the contrast in which the redaction looks for faint text.

    The image is processed in squares, because several of its arrays hold floats.
    """
    import numpy as np
    from PIL import Image

    from xray.redaction import equalize_contrast

    result = Image.new("L", image.size)
    for top in range(0, image.height, _TILE_SIDE):
        for left in range(0, image.width, _TILE_SIDE):
            x, y = max(0, left - _TILE_MARGIN), max(0, top - _TILE_MARGIN)
            right = min(image.width, left + _TILE_SIDE + _TILE_MARGIN)
            bottom = min(image.height, top + _TILE_SIDE + _TILE_MARGIN)
            tile = equalize_contrast(np.asarray(image.crop((x, y, right, bottom))))
            inner = tile[top - y :, left - x :][:_TILE_SIDE, :_TILE_SIDE]
            result.paste(Image.fromarray(inner), (left, top))
    return result
