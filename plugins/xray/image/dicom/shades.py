"""Stored values to the picture that a viewer shows.

Grey values pass the modality LUT or the rescale values, then the VOI LUT or the
window (PS3.4, section N.2). In the result, 0 is black and the largest value is
white. Padding is black, and the shutter covers what is outside of it. Colours
stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_windowing

from xray.errors import ImageError, ImageFault
from xray.image.damage import damaged, decoding
from xray.image.dicom import shutter
from xray.image.dicom.frames import Frame
from xray.image.dicom.header import Header
from xray.image.grey_range import value_range

_Values = npt.NDArray[np.float64]

_LINEAR = "LINEAR"
"""The VOI LUT Function of a file that names none."""
_FAR = 1e12
"""A value far outside of every window: it is shown black, or white."""


def display_image(header: Header, frame: Frame) -> tuple[Image.Image, int]:
    """Return the image that a viewer shows, and its depth in bits.

    The image is in mode RGB for colour (8 bits), and for grey in mode L (8 bits) or I;16
    (16 bits, for stored values of more than 8 bits).

    Raises:
        ImageError: the colours are stored in a way that is not read, or a lookup table, the
            rescale values or the window are damaged.
    """
    values = frame.values
    if values.ndim == 2 and frame.photometric in ("MONOCHROME1", "MONOCHROME2"):
        return _grey(header, frame)
    if values.ndim == 2 and frame.photometric == "PALETTE COLOR":
        return _colour(_through_palette(header, values)), 8
    if values.ndim == 3 and frame.photometric == "RGB":
        eight_bits = (values >> max(0, header.bits - 8)).clip(0, 255).astype(np.uint8)
        return _colour(eight_bits), 8
    raise ImageError(
        "The DICOM image's colours are stored in a way that is not read: export it as MONOCHROME2 "
        "or RGB.",
        fault=ImageFault.UNSUPPORTED,
    )


def _colour(values: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(values))


def _through_palette(header: Header, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if header.bits > 8 or "RedPaletteColorLookupTableData" not in header.dataset:
        raise ImageError(
            "The DICOM image has a palette that is not read (segmented, or of more than 256 "
            "colours): export it as MONOCHROME2 or RGB.",
            fault=ImageFault.UNSUPPORTED,
        )
    with decoding():
        colours = apply_color_lut(np.arange(2**header.bits, dtype=np.uint8), header.dataset)
    colours = colours[:, :3]
    if colours.dtype != np.uint8:
        colours = colours >> 8
    painted: npt.NDArray[np.uint8] = colours.astype(np.uint8)[_clip(values, 0, 2**header.bits - 1)]
    return painted


def _grey(header: Header, frame: Frame) -> tuple[Image.Image, int]:
    possible = _possible_range(header)
    values = _clip(frame.values, *possible)
    padding, shut = _padding(header, values), shutter.covered(header)
    low, high = possible
    if not _has_window(header.dataset):
        hidden = [mask for mask in (padding, shut) if mask is not None]
        native = values[~np.logical_or.reduce(hidden)] if hidden else values
        low, high = _shown_range(native, possible, is_padded=padding is not None)
        np.clip(values, low, high, out=values)
    # A table of the at most 65536 values costs less than a calculation for each pixel.
    shades = _shades(header, np.arange(low, high + 1, dtype=np.float64))
    if frame.photometric == "MONOCHROME1" or _is_inverse(header):
        shades = 1 - shades
    depth = 8 if header.bits <= 8 else 16
    levels = np.rint(shades * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
    grey = levels[values.astype(np.uint16) - np.uint16(low % 2**16)]
    if padding is not None:
        grey[padding] = 0
    if shut is not None:
        grey[shut] = round(shutter.shade(header) * (2**depth - 1))
    return Image.fromarray(grey), depth


def _is_inverse(header: Header) -> bool:
    """Return whether the smallest value is white by the Presentation LUT Shape.

    With MONOCHROME1, it says the same once more (PS3.3, section C.8.11.3.1.2).
    """
    with decoding():
        return bool(header.dataset.get("PresentationLUTShape") == "INVERSE")


def _possible_range(header: Header) -> tuple[int, int]:
    """Return the smallest and the largest value that the significant bits can store."""
    with decoding():
        signed = header.dataset.PixelRepresentation != 0
    bits = header.bits
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _shown_range(
    values: npt.NDArray[Any], possible: tuple[int, int], is_padded: bool
) -> tuple[int, int]:
    """Return the stored values between which everything is shown, for a file without a window.

    Of signed and of padded values, those between the smallest and the largest are shown: how many
    bits are stored says nothing about them.

    Args:
        values: the stored values, without padding.
        possible: the smallest and the largest value that can be stored.
        is_padded: whether there is padding.
    """
    if not values.size:
        return possible
    smallest, largest = int(values.min()), int(values.max())
    full = possible
    if is_padded or possible[0] < 0:
        full = smallest, largest
    elif possible[1] >= 2**12 > largest:
        # 12 bits in 16, as in xray.image.picture.significant_bits: nothing says what white is.
        full = 0, 2 ** max(8, largest.bit_length()) - 1
    low, high = (int(each) for each in value_range(values, full))
    return (low, high) if low < high else possible


def _padding(header: Header, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Return where the image is padded to a rectangle; None if nowhere.

    Padding is no part of the range of the values, and black in both polarities (PS3.3, section
    C.7.5.1.1.2).
    """
    with decoding():
        first = header.dataset.get("PixelPaddingValue")
        if first is None:
            return None
        last = header.dataset.get("PixelPaddingRangeLimit")
        ends = [_as_stored(int(each), header) for each in (first, first if last is None else last)]
    padding = (values >= min(ends)) & (values <= max(ends))
    return padding if padding.any() else None


def _as_stored(value: int, header: Header) -> int:
    """Return a padding value whose VR, US or SS, contradicts the Pixel Representation."""
    low, high = _possible_range(header)
    if value > high and low < 0:
        return value - 2**16
    return value + 2**16 if value < low == 0 else value


def _clip(values: npt.NDArray[Any], low: int, high: int) -> npt.NDArray[Any]:
    """Clip ``values``, whose type a compressed frame can make another one than the header's."""
    possible = np.iinfo(values.dtype)
    if low < possible.min or high > possible.max:
        raise damaged("the pixel data contradicts the Pixel Representation")
    return values.clip(low, high)


def _shades(header: Header, values: _Values) -> _Values:
    """Return the brightness, from 0 to 1, with which each stored value is shown."""
    dataset = header.dataset
    values = _through_modality(header, values)
    voi_table = _table(header, "VOILUTSequence")
    if voi_table is not None:
        values, dark, light = voi_table.look_up(values), 0.0, voi_table.white
    elif _has_window(dataset):
        dataset.VOILUTFunction = _voi_function(dataset)
        with decoding(), np.errstate(over="ignore"):  # the sigmoid of far values
            values = apply_windowing(values, dataset)
            dark, light = apply_windowing(np.array([-_FAR, _FAR]), dataset)
    else:
        dark, light = np.min(values), np.max(values)
    shades: _Values = (values - dark) / (light - dark) if light != dark else np.full(1, np.nan)
    if not np.isfinite(shades).all():
        raise ImageError(
            "The DICOM image's rescale values or window make all pixels alike: export it again."
        )
    return shades.clip(0, 1)


def _through_modality(header: Header, values: _Values) -> _Values:
    table = _table(header, "ModalityLUTSequence")
    if table is not None:
        return table.look_up(values)
    with decoding():
        slope, intercept = (
            header.dataset.get(keyword) for keyword in ("RescaleSlope", "RescaleIntercept")
        )
        if slope is None or intercept is None:
            return values
        slope, intercept = float(slope), float(intercept)
    return values * slope + intercept


def _has_window(dataset: Dataset) -> bool:
    """Return whether the file says which values are to be seen."""
    with decoding():
        if dataset.get("VOILUTSequence"):
            return True
        centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
        if centre is None or width is None:
            return False
        first = float(width if isinstance(width, float | int) else width[0])
    # Some files have a width of 0 and mean none; a linear window has a width of at least 1.
    return first >= 1 if _voi_function(dataset) == _LINEAR else first > 0


def _voi_function(dataset: Dataset) -> str:
    """Return the VOI LUT Function; of a file without one, or with an empty one, LINEAR.

    Raises:
        ImageError: the function is not one of the standard's (PS3.3, section C.11.2.1.3).
    """
    with decoding():
        name = str(dataset.get("VOILUTFunction") or _LINEAR).strip().upper()
    if name not in (_LINEAR, "LINEAR_EXACT", "SIGMOID"):
        raise ImageError(
            "The DICOM image's VOI LUT Function is none of LINEAR, LINEAR_EXACT and SIGMOID: "
            "export the image with one of these.",
            fault=ImageFault.UNSUPPORTED,
        )
    return name


def _table(header: Header, keyword: str) -> LookupTable | None:
    """Read the first lookup table of a sequence; None if there is none."""
    with decoding():
        items = header.dataset.get(keyword)
        if not items:
            return None
        count, first, bits = (int(part) for part in items[0].LUTDescriptor)
        count = count or 2**16
        data = items[0].LUTData
        if isinstance(data, bytes):
            order = "<" if header.syntax.is_little_endian else ">"
            data = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else "u1")
        entries = np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
    return LookupTable(entries[:count], first, bits)


class LookupTable:
    """A lookup table (PS3.3, section C.11.1).

    pydicom's own functions wrap the values of a table with 8 bits.

    Args:
        entries: the values that are looked up.
        first: the value for which the first entry stands.
        bits: the bits of an entry.

    Raises:
        ImageError: the table is damaged.
    """

    def __init__(self, entries: npt.NDArray[np.int64], first: int, bits: int) -> None:
        if not len(entries) or not -(2**15) <= first < 2**16 or not 8 <= bits <= 16:
            raise damaged("a lookup table has no entries, or a wrong descriptor")
        self.white = float(2**bits - 1)
        self._entries, self._first = entries, first

    def look_up(self, values: _Values) -> _Values:
        """Look up ``values``; those beyond either end give the first or the last entry."""
        if np.isnan(values).any():
            raise damaged("a lookup table is applied to values that are not numbers")
        index = np.rint(values - self._first).clip(0, len(self._entries) - 1)
        return self._entries[index.astype(np.int64)].astype(np.float64)
