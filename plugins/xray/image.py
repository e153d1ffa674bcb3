"""Images: bytes in, a picture out, and back, within limits.

The content decides what an image is, never its name. Only JPEG, PNG and TIFF
decoders ever see the bytes, and the size is checked before a pixel is decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from xray.errors import ImageError


class Format(StrEnum):
    """The formats that are read and written."""

    JPEG = "JPEG"
    PNG = "PNG"
    TIFF = "TIFF"

    @property
    def content_type(self) -> str:
        """The media type."""
        return f"image/{self.value.lower()}"

    @property
    def suffix(self) -> str:
        """The file name's extension, with its dot."""
        return f".{self.value.lower()}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an image may cost."""

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 50_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image."""

    pixels: Image.Image
    """Mode L or RGB, upright (the EXIF orientation is applied)."""
    format: Format


_SAVE: dict[Format, dict[str, Any]] = {
    Format.JPEG: {"quality": 95, "subsampling": 0, "optimize": False},
    Format.PNG: {"compress_level": 6},
    Format.TIFF: {"compression": "tiff_adobe_deflate"},
}


def decode(data: bytes, *, limits: Limits | None = None) -> Picture:
    """The picture in ``data``.

    Raises:
        ImageError: empty, too large, not an image of a known format, more than
            one frame, or damaged. The sentence says which.
    """
    limits = limits or Limits()
    if not data:
        raise ImageError("The object is empty: upload the image again.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"The object has {len(data)} bytes; the limit max_bytes is {limits.max_bytes}."
        )
    try:
        with Image.open(io.BytesIO(data), formats=list(Format)) as image:
            _check(image, limits)
            image.load()
            return Picture(_plain(ImageOps.exif_transpose(image)), Format(str(image.format)))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            "The object is not an image: its content is neither JPEG, PNG nor TIFF."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(f"The image has more than {limits.max_pixels} pixels.") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file provokes
        raise ImageError(
            f"The image is truncated or damaged ({type(error).__name__} while decoding): "
            "upload it again."
        ) from None


def encode(picture: Picture) -> bytes:
    """The picture's bytes in its format: the same for the same pixels, and without metadata."""
    bare = Image.fromarray(np.asarray(picture.pixels))
    stream = io.BytesIO()
    bare.save(stream, picture.format.value, **_SAVE[picture.format])
    return stream.getvalue()


def _check(image: Image.Image, limits: Limits) -> None:
    """Refuse, from the header alone, what would cost too much or is no single picture."""
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ImageError(
            f"The image has {image.width} x {image.height} pixels; the limit max_pixels is "
            f"{limits.max_pixels}."
        )
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise ImageError(f"The image has {frames} frames; exactly one is processed.")


def _plain(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB; transparency over black."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("1", "LA"):
        return _over_black(image.convert("LA")).convert("L")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _stretched(np.asarray(image, dtype=np.float64))
    if image.mode in ("RGBA", "PA", "P"):
        return _over_black(image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _over_black(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(
        Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")
    )


def _stretched(values: np.ndarray) -> Image.Image:
    """Values of any range to 0 to 255: 32-bit modes do not say what their white is."""
    if not np.isfinite(values).all():
        raise ImageError("The image holds values that are not numbers.")
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8))
