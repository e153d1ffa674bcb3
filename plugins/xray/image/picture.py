"""A decoded image, its format, and the limits on what is decoded.

Grey images keep their depth beyond 8 bits, in Pillow's mode I;16.
:func:`eight_bit` gives the 8-bit view of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.errors import ImageError, ImageFault
from xray.settings import Settings


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
        """The file name extension, with its dot."""
        return ".dcm" if self is Format.DICOM else f".{self.value.lower()}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest and the smallest image that is decoded."""

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 20_000_000
    max_frames: int = 1
    """The most frames or pages; only the first is processed."""
    min_side: int = 64
    """Pixels of the shorter side; a smaller image shows no chest, and has no room for a caption."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits that the settings give."""
        return cls(
            max_bytes=settings.max_bytes,
            max_pixels=settings.max_pixels,
            max_frames=settings.max_frames,
            min_side=settings.min_side,
        )

    def check(self, width: int, height: int, frames: int) -> None:
        """Check the size that an image's header gives, before any pixel is decoded.

        Raises:
            ImageError: the image has no pixels, too few or too many pixels, or too many frames.
        """
        if width < 1 or height < 1:
            raise ImageError(f"The image has {width} x {height} pixels: export it again.")
        if width * height > self.max_pixels:
            raise ImageError(
                f"The image has {width} x {height} pixels; the limit max_pixels is "
                f"{self.max_pixels}.",
                fault=ImageFault.TOO_LARGE,
            )
        if min(width, height) < self.min_side:
            raise ImageError(
                f"The image has {width} x {height} pixels; the shorter side must have at least "
                f"min_side, {self.min_side}: upload the X-ray in its original size.",
                fault=ImageFault.TOO_SMALL,
            )
        if frames > self.max_frames:
            raise ImageError(
                f"The image has {frames} frames; the limit max_frames is {self.max_frames}: "
                "upload each image as a file of its own.",
                fault=ImageFault.TOO_MANY_FRAMES,
            )


ANY_SIZE = Limits(max_bytes=2**40, max_pixels=2**40, min_side=1)
"""For images of this pipeline's own: their originals were checked against a case's limits."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image."""

    pixels: Image.Image
    """The pixels in mode L, RGB or I;16, upright (the EXIF orientation is applied)."""
    format: Format
    depth: int = 8
    """The number of significant bits of a pixel's value: 2**depth - 1 is white."""
    header: Any = field(default=None, repr=False, compare=False)
    """The patient and study elements of a DICOM image; None for every other format."""
    unfit: str | None = None
    """Why the file says that the image is no frontal view of a chest; None if it does not."""

    def eight_bit(self) -> Image.Image:
        """Return a copy of the pixels in mode L or RGB."""
        return eight_bit(self.pixels, self.depth)


def eight_bit(image: Image.Image, depth: int | None = None) -> Image.Image:
    """Return a copy of ``image`` in mode L or RGB.

    Args:
        image: an image in mode L, RGB or I;16.
        depth: the number of significant bits in mode I;16; by default
            :func:`significant_bits` of the image's values.
    """
    if image.mode != "I;16":
        return image.copy()
    values = np.asarray(image)
    white = 2 ** (depth or significant_bits(values)) - 1
    table = np.rint(np.arange(2**16).clip(0, white) * (255 / white)).astype(np.uint8)
    return Image.fromarray(table[values])


def significant_bits(values: npt.NDArray[np.uint16]) -> int:
    """Return the number of significant bits in 16-bit ``values``.

    Detectors deliver 12 bits, and a file that stores 12 bits in 16 does not say so.
    With 65535 as white such an image would be almost black. The result is therefore
    16 only if the largest value needs more than 12 bits; it is at least 8.
    """
    largest = int(np.max(values))
    return 16 if largest >= 2**12 else max(8, largest.bit_length())
