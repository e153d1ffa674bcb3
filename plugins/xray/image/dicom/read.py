"""A radiograph in a DICOM file, as a viewer shows it."""

from __future__ import annotations

import io

from PIL import Image

from xray.image.dicom.frames import read_frame
from xray.image.dicom.header import read_header
from xray.image.dicom.quiet import quietly
from xray.image.dicom.shades import display_image
from xray.image.dicom.view import no_frontal_chest
from xray.image.dicom.write import study_elements
from xray.image.picture import Format, Limits, Picture

_SQUARE = 0.01
"""The difference between the sides of a pixel that does not count, as a share."""


def read_image(data: bytes, limits: Limits) -> Picture:
    """Decode the radiograph in ``data``; of several frames, the first.

    The picture's header holds the elements that a result keeps.

    Raises:
        ImageError: the object is not a radiograph, exceeds the limits, is compressed in a way
            that is not read, has no pixel data, or is damaged.
    """
    with quietly():
        source = io.BytesIO(data)
        header = read_header(source, limits)
        frame = read_frame(header, source)
        pixels, depth = display_image(header, frame)
        pixels = _with_square_pixels(pixels, header.tallness, limits)
        return Picture(
            pixels,
            Format.DICOM,
            depth,
            header=study_elements(header.dataset),
            unfit=no_frontal_chest(header.dataset),
        )


def _with_square_pixels(image: Image.Image, tallness: float, limits: Limits) -> Image.Image:
    """Enlarge ``image`` along one side, so that its pixels are as tall as they are wide.

    Args:
        image: the image as it is stored.
        tallness: the height of a pixel, as a share of its width.
        limits: the largest image that is decoded.
    """
    width, height = image.size
    size = round(width * max(1, 1 / tallness)), round(height * max(1, tallness))
    if abs(tallness - 1) < _SQUARE or size == image.size:
        return image
    limits.check(*size, frames=1)
    return image.resize(size, Image.Resampling.BICUBIC)
