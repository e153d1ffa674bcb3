"""Images: bytes in, a picture out, and back, within limits.

The content decides what an image is, never its name. Only JPEG, PNG, TIFF and
DICOM decoders ever see the bytes, and the size is checked before a pixel is
decoded.

Grey keeps what it has beyond 8 bits, in Pillow's mode I;16; :func:`eight_bit`
is the view of it for whatever wants 8.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from xray.errors import ImageError


class Format(StrEnum):
    """The formats that are read and written."""

    JPEG = "JPEG"
    PNG = "PNG"
    TIFF = "TIFF"
    DICOM = "DICOM"

    @property
    def content_type(self) -> str:
        """The media type."""
        kind = "application" if self is Format.DICOM else "image"
        return f"{kind}/{self.value.lower()}"

    @property
    def suffix(self) -> str:
        """The file name's extension, with its dot."""
        return ".dcm" if self is Format.DICOM else f".{self.value.lower()}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an image may cost."""

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_frames: int = 1
    """Of more than one frame or page, the first is processed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image."""

    pixels: Image.Image
    """Mode L, RGB or I;16, upright (the EXIF orientation is applied)."""
    format: Format
    depth: int = 8
    """How many bits of a pixel's value count: 2**depth - 1 is white."""
    header: Any = field(default=None, repr=False, compare=False)
    """A DICOM image's patient and study elements; None for every other format."""

    def eight_bit(self) -> Image.Image:
        """A copy of the pixels in mode L or RGB."""
        return eight_bit(self.pixels, self.depth)


_PILLOW = (Format.JPEG, Format.PNG, Format.TIFF)
_SAVE: dict[Format, dict[str, Any]] = {
    Format.JPEG: {"quality": 95, "subsampling": 0, "optimize": False},
    Format.PNG: {"compress_level": 6},
    Format.TIFF: {"compression": "tiff_adobe_deflate"},
}
_SIGNATURES = {
    b"\xff\xd8\xff": Format.JPEG,
    b"\x89PNG\r\n\x1a\n": Format.PNG,
    b"II*\0": Format.TIFF,
    b"MM\0*": Format.TIFF,
}
_WHITE_IS_ZERO = 262, 0
"""TIFF's tag PhotometricInterpretation, and the value for which 0 is white."""


def decode(data: bytes, *, limits: Limits | None = None) -> Picture:
    """The picture in ``data``.

    Raises:
        ImageError: empty, too large, not an image of a known format, too many
            frames, damaged, or a DICOM object that is no radiograph. The sentence
            says which.
    """
    limits = limits or Limits()
    if not data:
        raise ImageError("The object is empty: upload the image again.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"The object has {len(data)} bytes; the limit max_bytes is {limits.max_bytes}."
        )
    try:
        return _read_dicom(data, limits) if data[128:132] == b"DICM" else _read(data, limits)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"The image has more pixels than the limit max_pixels, {limits.max_pixels}, or than "
            "can be decoded safely."
        ) from None
    except Exception as error:  # a decoder raises whatever a damaged file provokes
        raise ImageError(
            f"The image is truncated or damaged ({type(error).__name__} while decoding): "
            "upload it again."
        ) from None


def encode(picture: Picture) -> bytes:
    """The picture's bytes in its format: the same for the same pixels, and without metadata.

    Of a DICOM picture's header the patient and the study are kept, and nothing else.
    """
    if picture.format is Format.DICOM:
        from xray.image import dicom

        return dicom.write(picture.pixels, picture.depth, picture.header)
    pixels = picture.eight_bit() if picture.format is Format.JPEG else picture.pixels
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(stream, picture.format.value, **_SAVE[picture.format])
    return stream.getvalue()


def anonymous(picture: Picture) -> Picture:
    """``picture`` in a form whose bytes say nothing about a person: DICOM becomes PNG.

    The pixels are the same; what is written in them stays.
    """
    form = Format.PNG if picture.format is Format.DICOM else picture.format
    return replace(picture, format=form, header=None)


def eight_bit(image: Image.Image, depth: int | None = None) -> Image.Image:
    """A copy of ``image`` (mode L, RGB or I;16) in mode L or RGB.

    Args:
        image: the picture.
        depth: the bits that count in mode I;16; :func:`significant_bits` if None.
    """
    if image.mode != "I;16":
        return image.copy()
    values = np.asarray(image)
    white = 2 ** (depth or significant_bits(values)) - 1
    table = np.rint(np.arange(2**16).clip(0, white) * (255 / white)).astype(np.uint8)
    return Image.fromarray(table[values])


def significant_bits(values: npt.NDArray[np.uint16]) -> int:
    """How many bits count in 16-bit ``values``.

    All, unless 12 are enough: detectors give 12, and a file that has them in 16 says
    so nowhere. It would be black if the largest number were white.
    """
    most = int(values.max())
    return 16 if most >= 2**12 else max(8, most.bit_length())


def _read(data: bytes, limits: Limits) -> Picture:
    with Image.open(io.BytesIO(data), formats=_PILLOW) as image:
        _check(image.width, image.height, getattr(image, "n_frames", 1), limits)
        image.load()
        # A JPEG with more pictures behind the first one calls itself MPO.
        form = Format.JPEG if image.format == "MPO" else Format(str(image.format))
        return _plain(ImageOps.exif_transpose(image), form, _is_inverted(image))


def _read_dicom(data: bytes, limits: Limits) -> Picture:
    from xray.image import dicom  # it loads pydicom, which no other format needs

    image, depth, header = dicom.read(
        data, lambda width, height, frames: _check(width, height, frames, limits)
    )
    return Picture(image, Format.DICOM, depth, header)


def _unidentified(data: bytes) -> ImageError:
    for signature, form in _SIGNATURES.items():
        if data.startswith(signature):
            return ImageError(
                f"The {form} image is damaged, or of a kind that cannot be read: save it again as "
                "8 or 16 bit grey, or 8 bit RGB."
            )
    return ImageError(
        "The object is not an image: its content is neither JPEG, PNG, TIFF nor DICOM."
    )


def _check(width: int, height: int, frames: int, limits: Limits) -> None:
    """Refuse, from the header alone, what would cost too much."""
    if width * height > limits.max_pixels:
        raise ImageError(
            f"The image has {width} x {height} pixels; the limit max_pixels is {limits.max_pixels}."
        )
    if frames > limits.max_frames:
        raise ImageError(
            f"The image has {frames} frames; the limit max_frames is {limits.max_frames}: "
            "upload each image by itself."
        )


def _plain(image: Image.Image, form: Format, inverted: bool) -> Picture:
    """The image in mode L, RGB or I;16; transparency over black."""
    if image.mode in ("L", "RGB"):
        return Picture(image, form)
    if image.mode in ("1", "LA"):
        return Picture(_over_black(image.convert("LA")).convert("L"), form)
    if image.mode.startswith("I;16"):
        return _sixteen_bit(np.asarray(image).astype(np.uint16), form, inverted)
    if image.mode in ("I", "F"):
        return _sixteen_bit(_stretched(np.asarray(image, dtype=np.float64)), form, inverted)
    if image.mode in ("RGBA", "PA", "P"):
        return Picture(_over_black(image.convert("RGBA")).convert("RGB"), form)
    return Picture(image.convert("RGB"), form)


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF of more than 8 bits, for which Pillow does not care."""
    tag, white_is_zero = _WHITE_IS_ZERO
    tags: Any = getattr(image, "tag_v2", {})
    return bool(tags.get(tag) == white_is_zero)


def _sixteen_bit(values: npt.NDArray[np.uint16], form: Format, inverted: bool) -> Picture:
    depth = significant_bits(values)
    if inverted:
        values = (2**depth - 1 - values).astype(np.uint16)
    return Picture(Image.fromarray(values), form, depth)


def _over_black(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(
        Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")
    )


def _stretched(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Values of any range to 0 to 65535: 32-bit modes do not say what their white is."""
    if not np.isfinite(values).all():
        raise ImageError("The image holds values that are not numbers: export it again.")
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.rint(unit * 65535).astype(np.uint16)
