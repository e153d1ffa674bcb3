"""JPEG, PNG and TIFF, read and written by Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from xray.errors import ImageError, ImageFault
from xray.image.damage import decoding
from xray.image.grey_range import sixteen_bit, value_range
from xray.image.picture import Format, Limits, Picture, significant_bits

_ColourKey = int | tuple[int, ...]

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
            colour_key = _colour_key(image)
            with decoding():
                image.load()
                upright = ImageOps.exif_transpose(image)
                # Pillow applies this tag to 8 bits alone.
                tags: Any = getattr(image, "tag_v2", {})
                inverted = tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
        return _in_plain_mode(upright, self.form, inverted, colour_key)

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
                    "than can be decoded safely.",
                    fault=ImageFault.TOO_LARGE,
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


def _in_plain_mode(
    image: Image.Image, form: Format, inverted: bool, colour_key: _ColourKey | None
) -> Picture:
    """Return the picture of ``image`` in mode L, RGB or I;16, with transparency over black."""
    if image.mode == "1":
        image = _convert(image, "L")
    if image.mode in ("L", "RGB"):
        return Picture(_without_key(image, colour_key), form)
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        if colour_key is not None:
            values[values == colour_key] = 0
        return _sixteen_bit(values, form, inverted)
    if image.mode in ("I", "F"):
        return _thirty_two_bit(np.asarray(image), form, inverted)
    if image.mode == "LA":
        return Picture(_over_black(image).convert("L"), form)
    if image.mode in ("RGBA", "PA", "P"):
        return Picture(_over_black(_convert(image, "RGBA")).convert("RGB"), form)
    return Picture(_convert(image, "RGB"), form)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert ``image``, with the palette that the file gives."""
    with decoding():
        return image.convert(mode)


def _over_black(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(
        Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")
    )


def _colour_key(image: Image.Image) -> _ColourKey | None:
    """Return the value that a PNG file says is transparent, as the decoded pixels will have it.

    Args:
        image: an opened image, whose pixels are not yet loaded.
    """
    key = image.info.get("transparency")
    if key is None or image.mode not in ("1", "L", "I;16", "RGB"):
        return None
    # Pillow gives the value of the file, but changes the pixels to 8 bits.
    tiles: Any = getattr(image, "tile", ())
    stored = str(tiles[0].args) if tiles else ""
    if image.mode == "RGB":
        return tuple(part >> 8 if stored == "RGB;16B" else part for part in key)
    return int(key) * {"L;2": 85, "L;4": 17}.get(stored, 1)


def _without_key(image: Image.Image, key: _ColourKey | None) -> Image.Image:
    """Return an image in mode L or RGB with black in place of the colour ``key``."""
    if key is None:
        return image
    values = np.array(image)
    is_key = values == np.array(key)
    values[is_key.all(axis=2) if image.mode == "RGB" else is_key] = 0
    return Image.fromarray(values)


def _sixteen_bit(values: npt.NDArray[np.uint16], form: Format, inverted: bool) -> Picture:
    depth = significant_bits(values)
    white = 2**depth - 1
    shown = value_range(values, (0, white))
    if shown != (0, white):
        table = sixteen_bit(np.arange(2**16).reshape(1, -1), *shown)[0]
        values, depth, white = table[values], 16, 2**16 - 1
    if inverted:
        values = np.uint16(white) - values
    return Picture(Image.fromarray(values), form, depth)


def _thirty_two_bit(values: npt.NDArray[Any], form: Format, inverted: bool) -> Picture:
    """Return the picture of 32-bit ``values``: their modes do not say which value is white."""
    if not np.isfinite(values).all():
        raise ImageError("The image holds values that are not numbers: export it again.")
    shown = value_range(values, (float(values.min()), float(values.max())))
    grey = sixteen_bit(values, *shown)
    return Picture(Image.fromarray(~grey if inverted else grey), form, 16)
