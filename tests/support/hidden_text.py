"""Images with text that an 8-bit view of all their values does not show, and other odd ones.

Each function takes an 8-bit grey picture with text on it, and returns a file.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.dicom_files import dataset, dicom, file_bytes, twelve_bits

Pixels = npt.NDArray[np.uint8]


def saved(pixels: npt.NDArray[np.generic], form: str) -> bytes:
    """Return ``pixels`` as a file of ``form``, written by Pillow."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def signed_without_window(pixels: Pixels) -> bytes:
    """Return a signed DICOM file: 16 bits, values from -30 to 225, and no window."""
    return dicom(pixels.astype(np.int16) - 30)


def undeclared_padding(pixels: Pixels) -> bytes:
    """Return a signed DICOM file whose first rows have the value -32768."""
    values = pixels.astype(np.int16) * 8 - 1000
    values[: len(values) // 4] = -32768
    return dicom(values)


def left_aligned(pixels: Pixels) -> bytes:
    """Return a DICOM file whose 12 bits are the highest of 16, as ACR-NEMA 2.0 allowed."""
    return dicom(twelve_bits(pixels) * np.uint16(16), BitsStored=12, HighBit=15)


def empty_voi_lut_function(pixels: Pixels) -> bytes:
    """Return a DICOM file with a window, and a VOI LUT Function without a value."""
    return dicom(
        twelve_bits(pixels),
        BitsStored=12,
        WindowCenter=2048,
        WindowWidth=4096,
        VOILUTFunction="",
    )


def sigmoid_shoulder(pixels: Pixels, text: npt.NDArray[np.bool_], **elements: object) -> bytes:
    """Return a DICOM file with ``text`` where a sigmoid is almost flat: 4095 on 3800."""
    values = twelve_bits(pixels)
    values[:100] = 3800
    values[text] = 4095
    window = {"WindowCenter": 2048, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    return file_bytes(dataset(values, BitsStored=12, **{**window, **elements}))


def low_byte(pixels: Pixels, text: npt.NDArray[np.bool_]) -> bytes:
    """Return a 16-bit PNG file with ``text`` in its low byte alone."""
    return saved((pixels.astype(np.uint16) << 8) + np.where(text, 128, 0).astype(np.uint16), "PNG")


def hot_pixel(pixels: Pixels) -> bytes:
    """Return a 16-bit PNG file with 8-bit values, and one pixel of 65535."""
    values = pixels.astype(np.uint16)
    values[5, 5] = 65535
    return saved(values, "PNG")


def sentinel(pixels: Pixels) -> bytes:
    """Return a 16-bit PNG file with 10-bit values, and a border of 65535."""
    values = pixels.astype(np.uint16) * 4
    values[: len(values) // 4] = 65535
    return saved(values, "PNG")


def far_floats(pixels: Pixels) -> bytes:
    """Return a TIFF file of floats from 0 to 1, with three pixels far outside."""
    values = pixels.astype(np.float32) / 255
    values[3, 3:6] = -1e6, 40, 1e30
    return saved(values, "TIFF")


def far_integers(pixels: Pixels) -> bytes:
    """Return a TIFF file of 32-bit integers from -128 to 127, with one pixel of two billion."""
    values = pixels.astype(np.int32) - 128
    values[3, 3] = 2 * 10**9
    return saved(values, "TIFF")
