"""JPEG, PNG and TIFF, read and written by Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from xray.errors import ImageError
from xray.image.damage import decoding
from xray.image.picture import Format, Limits, Picture, significant_bits

_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO = 262, 0
"""A tag of TIFF, and its value for images in which 0 is white (TIFF 6.0, section 8)."""


@dataclass(frozen=True, slots=True)
class RasterFormat:
    """A format that Pillow reads and writes."""

    form: Format
    signatures: tuple[bytes, ...]
    """The first bytes of a file; one of these."""
    save_options: Mapping[str, Any]
    """Arguments of Pillow's ``save``."""
    eight_bit_only: bool = False
    """Whether the format cannot store more than 8 bits per sample."""

    @property
    def anonymous_form(self) -> Format:
        """The same format: without metadata it names nobody."""
        return self.form

    def sniff(self, data: bytes) -> bool:
        """Return whether ``data`` starts like a file of this format."""
        return data.startswith(self.signatures)

    def read(self, data: bytes, limits: Limits) -> Picture:
        """Decode the first frame of ``data``.

        Raises:
            ImageError: the image exceeds the limits, is damaged, or is of a kind that
                Pillow cannot read.
        """
        with self._open(data, limits) as image:
            with decoding():
                frames = getattr(image, "n_frames", 1)
            limits.check(image.width, image.height, frames)
            with decoding():
                image.load()
                upright = ImageOps.exif_transpose(image)
                # Pillow applies this tag to 8 bits alone.
                tags: Any = getattr(image, "tag_v2", {})
                inverted = tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
        return _in_plain_mode(upright, self.form, inverted)

    def write(self, picture: Picture) -> bytes:
        """Encode ``picture`` without metadata; equal pixels give equal bytes."""
        pixels = picture.eight_bit() if self.eight_bit_only else picture.pixels
        stream = io.BytesIO()
        # A new image has no metadata that Pillow could write.
        Image.fromarray(np.asarray(pixels)).save(stream, self.form.value, **self.save_options)
        return stream.getvalue()

    def _open(self, data: bytes, limits: Limits) -> Image.Image:
        with decoding():
            try:
                return Image.open(io.BytesIO(data), formats=(self.form.value,))
            except UnidentifiedImageError:
                raise ImageError(
                    f"The {self.form} image is damaged, or of a kind that cannot be read: save it "
                    "again as 8 or 16 bit grey, or 8 bit RGB."
                ) from None
            except Image.DecompressionBombError:
                raise ImageError(
                    f"The image has more pixels than the limit max_pixels, {limits.max_pixels}, or "
                    "than can be decoded safely."
                ) from None


JPEG = RasterFormat(
    Format.JPEG,
    signatures=(b"\xff\xd8\xff",),
    save_options={"quality": 95, "subsampling": 0, "optimize": False},
    eight_bit_only=True,
)
PNG = RasterFormat(
    Format.PNG, signatures=(b"\x89PNG\r\n\x1a\n",), save_options={"compress_level": 6}
)
TIFF = RasterFormat(
    Format.TIFF,
    # Each byte order: TIFF, TIFF with the magic number's bytes swapped, BigTIFF.
    signatures=(b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"),
    save_options={"compression": "tiff_adobe_deflate"},
)


def _in_plain_mode(image: Image.Image, form: Format, inverted: bool) -> Picture:
    """Return the picture of ``image`` in mode L, RGB or I;16, with transparency over black."""
    if image.mode in ("L", "RGB"):
        return Picture(image, form)
    if image.mode in ("1", "LA"):
        return Picture(_over_black(_convert(image, "LA")).convert("L"), form)
    if image.mode.startswith("I;16"):
        return _sixteen_bit(np.asarray(image).astype(np.uint16), form, inverted)
    if image.mode in ("I", "F"):
        return _sixteen_bit(_stretch(np.asarray(image, dtype=np.float64)), form, inverted)
    if image.mode in ("RGBA", "PA", "P"):
        return Picture(_over_black(_convert(image, "RGBA")).convert("RGB"), form)
    return Picture(_convert(image, "RGB"), form)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert ``image``, with the palette or the transparent colour that the file gives."""
    with decoding():
        return image.convert(mode)


def _over_black(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(
        Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")
    )


def _sixteen_bit(values: npt.NDArray[np.uint16], form: Format, inverted: bool) -> Picture:
    depth = significant_bits(values)
    if inverted:
        values = (2**depth - 1 - values).astype(np.uint16)
    return Picture(Image.fromarray(values), form, depth)


def _stretch(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Map the range of ``values`` to 0 to 65535: 32-bit modes do not say which value is white."""
    if not np.isfinite(values).all():
        raise ImageError("The image holds values that are not numbers: export it again.")
    low, high = float(np.min(values)), float(np.max(values))
    unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.rint(unit * 65535).astype(np.uint16)
