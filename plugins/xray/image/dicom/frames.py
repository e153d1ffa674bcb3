"""The pixel data of a DICOM file: the first frame, checked and decoded.

A compressed frame is checked before it is decoded: it must not become larger
than the header says, whatever its own headers say (a decompression bomb).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options

from xray.errors import ImageError
from xray.image.damage import damaged, decoding
from xray.image.dicom import codecs
from xray.image.dicom.header import PIXEL_GROUP, PLUGINS, Header

_PIXEL_DATA = 0x7FE00010
_PIXEL_ELEMENTS = (PIXEL_GROUP, 0x7FE00001, 0x7FE00002, _PIXEL_DATA)
"""The group length, the Extended Offset Table and its lengths, the Pixel Data."""
_RLE_HEADER = struct.Struct("<16L")
"""The number of segments and their offsets (PS3.5, section G.5)."""
_RLE_MARGIN = 256
"""Bytes by which an RLE segment may exceed its size, for its padding."""
_START_OF_SCAN = 0xDA
_START_OF_FRAME = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""The JPEG markers that precede the size: SOF55 of JPEG-LS, and SOF0 to SOF15."""
_JPEG_2000_START = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ, with which a JPEG 2000 codestream begins."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame."""

    values: npt.NDArray[Any]
    """The stored values, integers of shape (rows, columns) or (rows, columns, 3)."""
    photometric: str
    """The Photometric Interpretation of the values."""


def read_frame(header: Header, source: io.BytesIO) -> Frame:
    """Read, check and decode the first frame.

    Args:
        header: the checked header.
        source: the file, where :func:`~xray.image.dicom.header.read_header` left it.

    Raises:
        ImageError: there is no pixel data, it is damaged, or it is larger than the header
            says.
    """
    tail = _read_pixel_elements(header, source)
    with decoding():
        header.dataset[_PIXEL_DATA] = tail[_PIXEL_DATA]
    if header.syntax.is_encapsulated:
        with decoding():
            frame = get_frame(
                tail.PixelData,
                0,
                extended_offsets=_extended_offsets(tail),
                number_of_frames=header.frames,
            )
        _check_frame(header, frame)
        with decoding():
            # Only the frame that was checked is decoded.
            header.dataset.PixelData = encapsulate([frame])
            header.dataset.NumberOfFrames = 1
    return _decode(header)


def _read_pixel_elements(header: Header, source: io.BytesIO) -> Dataset:
    """Read the elements of the pixel data's group."""
    group = source.read(2)
    source.seek(-len(group), io.SEEK_CUR)
    with decoding():
        tail = read_dataset(
            source,
            header.syntax.is_implicit_VR,
            header.syntax.is_little_endian,
            # A sequence is never valid here, and would take a hundred times its size in memory.
            stop_when=lambda tag, vr, _: tag not in _PIXEL_ELEMENTS or vr in ("SQ", "UN"),
        )
        has_pixels = bool(tail.get("PixelData"))
    # pydicom passes over an element that the end of the file cuts off.
    if "PixelData" not in tail and group in (b"\xe0\x7f", b"\x7f\xe0"):
        raise damaged("the pixel data is cut off")
    if not has_pixels:
        raise ImageError(
            "The DICOM object has no pixel data, or was cut off before it: send the whole image."
        )
    return tail


def _extended_offsets(tail: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" in tail and "ExtendedOffsetTableLengths" in tail:
        return tail.ExtendedOffsetTable, tail.ExtendedOffsetTableLengths
    return None


def _check_frame(header: Header, frame: bytes) -> None:
    """Refuse a compressed frame that would become larger than the header says."""
    if header.syntax == uid.RLELossless:
        if not _rle_fits(frame, header.width * header.height):
            raise ImageError("The DICOM image's RLE data is longer than its size: export it again.")
        return
    is_2000 = header.syntax in uid.JPEG2000TransferSyntaxes
    width, height = _size_of_jpeg_2000(frame) if is_2000 else _size_of_jpeg(frame)
    if (width, height) != (header.width, header.height):
        raise ImageError(
            f"The DICOM image's header says {header.width} x {header.height} pixels, the JPEG "
            f"inside says {width} x {height}: export it again."
        )


def _size_of_jpeg(frame: bytes) -> tuple[int, int]:
    """Return the width and height in the header of a JPEG, JPEG Lossless or JPEG-LS stream.

    Raises:
        ImageError: the header is cut off, or has no size, or more than one: the decoder might
            use another one than the one checked.
    """
    sizes, at = [], 2
    while True:
        while frame[at + 1 : at + 2] == b"\xff":  # fill bytes may precede a marker
            at += 1
        # The marker, the segment's length and, in a frame header, precision, height and width.
        segment = frame[at : at + 9]
        if len(segment) < 4:
            raise damaged("the JPEG header is cut off")
        marker, length = struct.unpack_from(">xBH", segment)
        if segment[0] != 0xFF or marker == _START_OF_SCAN:
            break
        if marker in _START_OF_FRAME:
            if len(segment) < 9:
                raise damaged("the JPEG header is cut off")
            height, width = struct.unpack_from(">HH", segment, 5)
            sizes.append((width, height))
        at += 2 + length
    if len(sizes) != 1:
        raise damaged(f"the JPEG header has {len(sizes)} sizes")
    return sizes[0]


def _size_of_jpeg_2000(frame: bytes) -> tuple[int, int]:
    """Return the width and height for which the decoder reserves memory.

    The wrapper may say something else than the codestream in it: the larger size counts.
    """
    with decoding(), Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as image:
        size = image.size
    start = frame.find(_JPEG_2000_START)
    fields = frame[start + 8 : start + 24]
    if start < 0 or len(fields) < 16:
        raise damaged("the JPEG 2000 header is cut off")
    right, bottom, left, top = struct.unpack(">4I", fields)
    return max(size[0], right - left), max(size[1], bottom - top)


def _rle_fits(frame: bytes, size: int) -> bool:
    """Return whether each segment of an RLE frame unpacks to about ``size`` bytes at most."""
    if len(frame) < _RLE_HEADER.size:
        raise damaged("the RLE header is cut off")
    count, *starts = _RLE_HEADER.unpack_from(frame)
    most = size + _RLE_MARGIN
    for start, following in zip(starts[:count], [*starts[1:count], len(frame)], strict=False):
        at, total = start, 0
        end = min(following, len(frame))
        while at < end and total <= most:
            byte = frame[at]
            if byte < 128:  # that many literal bytes, and one more
                total, at = total + byte + 1, at + byte + 2
            elif byte > 128:  # the next byte, repeated
                total, at = total + 257 - byte, at + 2
            else:  # no operation
                at += 1
        if total > most:
            return False
    return True


def _decode(header: Header) -> Frame:
    if not header.bits_below:
        return _decode_cells(header)
    # pydicom ignores the High Bit, and clears every bit above Bits Stored.
    header.dataset.BitsStored = header.bits + header.bits_below
    frame = _decode_cells(header)
    if _is_right_aligned(header, frame.values):
        return frame
    return Frame(frame.values >> header.bits_below, frame.photometric)


def _is_right_aligned(header: Header, values: npt.NDArray[Any]) -> bool:
    """Return whether the values are in the lowest bits, against the High Bit.

    The samples of a JPEG stream can be, and some writers give a wrong High Bit.
    """
    below = 2**header.bits_below - 1
    return bool((values & below).any() and not (values >> header.bits).any())


def _decode_cells(header: Header) -> Frame:
    """Decode the pixel cells; the bits below the significant ones are still in them."""
    if header.syntax == uid.JPEGExtended12Bit and header.bits > 8:
        # GDCM decodes it, and finds the kind of JPEG in the frame. pydicom lets GDCM decode it only
        # as another kind.
        return _decode_apart(header, uid.JPEGLossless)
    plugin = PLUGINS[header.syntax]
    if plugin == "gdcm":
        return _decode_apart(header, header.syntax)
    try:
        with decoding():
            values, properties = get_decoder(header.syntax).as_array(
                header.dataset, index=0, decoding_plugin=plugin
            )
    except ImageError:
        if header.syntax not in uid.JPEG2000TransferSyntaxes:
            raise
        # Pillow refuses some frames that GDCM decodes.
        return _decode_apart(header, header.syntax)
    return Frame(values, str(properties["photometric_interpretation"]))


def _decode_apart(header: Header, syntax: uid.UID) -> Frame:
    """Decode the pixel cells with GDCM, in a process of its own."""
    with decoding():
        options = as_pixel_options(header.dataset, pixel_keyword="PixelData")
        content = header.dataset.PixelData
    return Frame(*codecs.decode(content, syntax, **options))
