"""A radiograph in a DICOM file, as a viewer shows it."""

from __future__ import annotations

import io

from xray.image.dicom.frames import read_frame
from xray.image.dicom.header import read_header
from xray.image.dicom.quiet import quietly
from xray.image.dicom.shades import display_image
from xray.image.dicom.write import study_elements
from xray.image.picture import Format, Limits, Picture


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
        return Picture(pixels, Format.DICOM, depth, study_elements(header.dataset))
