"""Images with text that an 8-bit view of all their values does not show, and other odd ones.

Each function takes an 8-bit grey picture with text on it, or one without text and the place of the
text, and returns a file.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import DataElement
from pydicom.dataset import Dataset

from tests.support.dicom_files import dataset, dicom, file_bytes, twelve_bits

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.bool_]


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


def sigmoid_shoulder(pixels: Pixels, text: Places, **elements: object) -> bytes:
    """Return a DICOM file with ``text`` where a sigmoid is almost flat: 4095 on 3800."""
    values = twelve_bits(pixels)
    values[:100] = 3800
    values[text] = 4095
    window = {"WindowCenter": 2048, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    return file_bytes(dataset(values, BitsStored=12, **{**window, **elements}))


def lookup_table_shoulder(pixels: Pixels, text: Places, **elements: object) -> bytes:
    """Return a DICOM file with ``text`` where a VOI LUT is almost flat: 4095 on 3600."""
    values = twelve_bits(pixels)
    values[:100] = 3600
    values[text] = 4095
    source = dataset(values, BitsStored=12, **elements)
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    levels = np.interp(np.arange(4096), [0, 600, 3500, 4095], [0, 300, 65235, 65535])
    table["LUTData"] = DataElement(0x00283006, "OW", np.rint(levels).astype("<u2").tobytes())
    source.VOILUTSequence = [table]
    return file_bytes(source)


def above_black(pixels: Pixels, text: Places, height: int) -> bytes:
    """Return a 16-bit PNG file with ``text`` of this ``height`` above a black border."""
    values = pixels.astype(np.uint16) * 257
    values[:100] = 0
    values[text] = height
    return saved(values, "PNG")


def few_levels_above_black(pixels: Pixels, text: Places, height: int) -> bytes:
    """Return an 8-bit PNG file with ``text`` of this ``height`` above a black border."""
    values = pixels.copy()
    values[:100] = 0
    values[text] = height
    return saved(values, "PNG")


def hue(pixels: Pixels, text: Places) -> bytes:
    """Return a PNG file with ``text`` in a colour that is as bright as its ground."""
    values = np.stack([pixels] * 3, axis=2)
    values[:100] = 130
    values[text] = 156, 111, 156
    return saved(values, "PNG")


def nearly_opaque(pixels: Pixels, text: Places) -> bytes:
    """Return a PNG file whose alpha is 255, and 252 where ``text`` is."""
    return saved(np.dstack([pixels, np.where(text, 252, 255).astype(np.uint8)]), "PNG")


def low_byte(pixels: Pixels, text: Places) -> bytes:
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
