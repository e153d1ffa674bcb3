"""DICOM: a radiograph's pixels as a viewer shows them, and a result that names its study.

A file is read in steps, each of which costs no more than the one before has
allowed: the transfer syntax, the header, the image's size, then the pixels.
pydicom's messages quote elements' values, which name patients, so none of them
is logged or passed on, and no sentence here holds a value of the file.

The pixels are grey as they are meant to be seen: through the modality LUT and
the VOI LUT or window, 0 black, all bits white.
"""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom import config, uid
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_windowing
from pydicom.pixels.utils import as_pixel_options

from xray.errors import ImageError
from xray.image.dicom import codecs

Check = Callable[[int, int, int], None]
"""Raises ImageError if width, height or number of frames are more than allowed."""
_Grey = npt.NDArray[np.float64]

_PREFIX = 132
"""The preamble and the word DICM."""
_HEADER_BYTES = 4 * 1024 * 1024
"""What stands before the pixels: parsed, it can take a hundred times its size in memory."""
_PIXEL_GROUP = 0x7FE00000
_PIXEL_DATA = 0x7FE00010
_PIXEL_ELEMENTS = (_PIXEL_GROUP, 0x7FE00001, 0x7FE00002, _PIXEL_DATA)
"""The group's length, the two tables of where frames begin, the pixels."""
_FAR = 1e12
"""Beyond every value that a window could tell from the next."""

_DECODERS = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.RLELossless: "pydicom",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEG2000Lossless: "pillow",
    uid.JPEG2000: "pillow",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "gdcm",
    uid.JPEGLSNearLossless: "gdcm",
}
"""The transfer syntaxes that are read, and by which of pydicom's plugins."""
_RADIOGRAPHS = {
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
}
"""The classes that are read."""
_KEPT = (
    "SpecificCharacterSet",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "Modality",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "BodyPartExamined",
    "ViewPosition",
    "StudyInstanceUID",
    "StudyID",
    "PatientOrientation",
    "Laterality",
)
"""What a result has of its source: whose it is, of which study, and what it shows."""
_ALWAYS = (
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientOrientation"),
)
"""What every image has, empty where it is unknown (DICOM's type 2)."""

# Values that break a rule are common and harmless; what pydicom says of them is not.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
_logger = logging.getLogger("pydicom")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False


def read(data: bytes, check: Check) -> tuple[Image.Image, int, Dataset]:
    """The image in a DICOM file, its depth in bits, and the elements that a result keeps.

    The image's mode is L or I;16, or RGB for colour; of several frames it is the first.

    Raises:
        ImageError: no radiograph, too large, compressed in a way that is not read, or
            without pixels.
        Exception: whatever pydicom raises for damaged files.
    """
    with _quietly():
        source = io.BytesIO(data)
        dataset = _header(source, data)
        _check_class(dataset)
        _check_size(dataset, check)
        _add_pixels(dataset, source)
        pixels, bits = _pixels(dataset)
        image, depth = _grey(dataset, pixels, bits) if pixels.ndim == 2 else (_colour(pixels), 8)
        return image, depth, _kept(dataset)


def write(image: Image.Image, depth: int, header: Dataset | None) -> bytes:
    """A Secondary Capture of ``image`` (mode L, RGB or I;16): the same for the same pixels.

    ``header`` is what :func:`read` gave; its uids are made from the source's and the pixels.
    """
    header = header if header is not None else Dataset()
    pixels = np.ascontiguousarray(np.asarray(image))
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    seeds = [str(header.get("SOPInstanceUID", "")), hashlib.sha256(content).hexdigest()]
    with _quietly():
        result = _copy(header)
        for keyword in _ALWAYS:
            if keyword not in result:
                setattr(result, keyword, None)
        result.Modality = header.get("Modality") or "OT"
        result.StudyInstanceUID = header.get("StudyInstanceUID") or _uid("study", seeds)
        result.SeriesInstanceUID = _uid("series", seeds)
        result.SeriesNumber = None
        result.InstanceNumber = 1
        result.SOPClassUID = uid.SecondaryCaptureImageStorage
        result.SOPInstanceUID = _uid("instance", seeds)
        result.ImageType = ["DERIVED", "SECONDARY"]
        result.ConversionType = "WSD"
        _describe(result, image, depth)
        result["PixelData"] = pydicom.DataElement(
            _PIXEL_DATA,
            "OW" if pixels.dtype == np.uint16 else "OB",
            content + b"\0" * (len(content) % 2),
        )
        return _file(result)


@contextmanager
def _quietly() -> Iterator[None]:
    """No warning gets out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _header(source: io.BytesIO, data: bytes) -> Dataset:
    """Every element before the pixels; ``source`` is left where they begin.

    pydicom's own function for that would inflate a deflated file, however large it gets.
    """
    source.seek(_PREFIX)
    meta = read_dataset(source, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    syntax = _transfer_syntax(meta)
    start = source.tell()
    head = io.BytesIO(data[start : start + _HEADER_BYTES])
    dataset = read_dataset(
        head,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, *_: tag >= _PIXEL_GROUP,
    )
    source.seek(start + head.tell())
    dataset.file_meta = FileMetaDataset(meta)
    return dataset


def _transfer_syntax(meta: Dataset) -> uid.UID:
    syntax = uid.UID(meta.get("TransferSyntaxUID") or "")
    if not syntax:
        raise ImageError("The DICOM file names no transfer syntax: export it again.")
    if syntax not in _DECODERS:
        raise ImageError(
            f"The DICOM image is stored as {_name(syntax, 'an unknown transfer syntax')}, which is "
            "not read: export it as Explicit VR Little Endian or JPEG Lossless."
        )
    return syntax


def _name(value: uid.UID, unknown: str) -> str:
    """A uid's name, if DICOM's dictionary has one: anything else could be a patient's."""
    name = value.name
    return unknown if name == str(value) else name


def _check_class(dataset: Dataset) -> None:
    """Refuse what is no radiograph, or not yet one for the eye."""
    meta = dataset.file_meta.get("MediaStorageSOPClassUID")
    kind = uid.UID(dataset.get("SOPClassUID") or meta or "")
    if (
        kind == uid.DigitalXRayImageStorageForProcessing
        or dataset.get("PresentationIntentType") == "FOR PROCESSING"
    ):
        raise ImageError(
            "The DICOM image is raw, for processing: send the one that is for presentation."
        )
    if kind not in _RADIOGRAPHS:
        raise ImageError(
            f"The DICOM object is of the class {_name(kind, 'unknown')}; Computed Radiography, "
            "Digital X-Ray for presentation and Secondary Capture are processed."
        )


def _check_size(dataset: Dataset, check: Check) -> None:
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageError("The DICOM object has no image: its Rows and Columns are missing.")
    width, height = int(dataset.Columns), int(dataset.Rows)
    if width < 1 or height < 1:
        raise ImageError(f"The DICOM image has {width} x {height} pixels: export it again.")
    check(width, height, int(dataset.get("NumberOfFrames") or 1))
    if int(dataset.BitsStored) > 16:
        raise ImageError(
            f"The DICOM image has {int(dataset.BitsStored)} bits per pixel; at most 16 are read."
        )


def _add_pixels(dataset: Dataset, source: io.BytesIO) -> None:
    """Read the pixels' element; of compressed ones, keep the first frame and check it."""
    syntax = dataset.file_meta.TransferSyntaxUID
    group = source.read(2)
    source.seek(-len(group), io.SEEK_CUR)
    tail = read_dataset(
        source,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        # A sequence among the pixels is never right, and takes a hundred times its size.
        stop_when=lambda tag, vr, _: tag not in _PIXEL_ELEMENTS or vr in ("SQ", "UN"),
    )
    if "PixelData" not in tail and group in (b"\xe0\x7f", b"\x7f\xe0"):
        raise EOFError  # pydicom passes over an element that the file's end cuts
    if not tail.get("PixelData"):
        raise ImageError(
            "The DICOM object has no pixel data, or was cut off before it: send the whole image."
        )
    dataset[_PIXEL_DATA] = tail[_PIXEL_DATA]
    if not syntax.is_encapsulated:
        return
    offsets = None
    if "ExtendedOffsetTable" in tail and "ExtendedOffsetTableLengths" in tail:
        offsets = tail.ExtendedOffsetTable, tail.ExtendedOffsetTableLengths
    frames = int(dataset.get("NumberOfFrames") or 1)
    frame = get_frame(tail.PixelData, 0, extended_offsets=offsets, number_of_frames=frames)
    _check_frame(dataset, frame, syntax)
    # What was checked is what is decoded.
    dataset.PixelData = encapsulate([frame])
    dataset.NumberOfFrames = 1


def _check_frame(dataset: Dataset, frame: bytes, syntax: uid.UID) -> None:
    """Refuse a compressed frame that would become larger than the header says."""
    width, height = int(dataset.Columns), int(dataset.Rows)
    if syntax == uid.RLELossless:
        if not _unpacks_to(frame, width * height):
            raise ImageError("The DICOM image's RLE data is longer than its size: export it again.")
        return
    is_2000 = syntax in uid.JPEG2000TransferSyntaxes
    found = _size_of_jpeg_2000(frame) if is_2000 else _size_of_jpeg(frame)
    if found != (width, height):
        raise ImageError(
            f"The DICOM image's header says {width} x {height} pixels, the JPEG inside says "
            f"{found[0]} x {found[1]}: export it again."
        )


def _size_of_jpeg(frame: bytes) -> tuple[int, int]:
    """Width and height from the frame header of a JPEG, JPEG Lossless or JPEG-LS stream."""
    sizes, at = [], 2
    while True:
        while frame[at + 1] == 0xFF:  # a marker may be padded
            at += 1
        marker, length = struct.unpack_from(">xBH", frame, at)
        if frame[at] != 0xFF or marker == 0xDA:
            break
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            sizes.append(struct.unpack_from(">HH", frame, at + 5)[::-1])
        at += 2 + length
    if len(sizes) != 1:  # of two, this and the decoder might take a different one
        raise ValueError
    width, height = sizes[0]
    return width, height


def _size_of_jpeg_2000(frame: bytes) -> tuple[int, int]:
    """Width and height that the decoder will make room for."""
    with Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as image:
        size = image.size
    right, bottom, left, top = struct.unpack_from(
        ">4I", frame, frame.index(b"\xff\x4f\xff\x51") + 8
    )
    # A wrapper may say something else than the stream in it: then the larger counts.
    return max(size[0], right - left), max(size[1], bottom - top)


def _unpacks_to(frame: bytes, length: int) -> bool:
    """Whether no segment of an RLE frame unpacks to much more than ``length`` bytes."""
    count, *starts = struct.unpack_from("<16L", frame)
    for start, end in zip(starts[:count], [*starts[1:count], len(frame)], strict=False):
        at, total = start, 0
        end = min(end, len(frame))
        while at < end and total <= length + 256:
            byte = frame[at]
            if byte < 128:
                total, at = total + byte + 1, at + byte + 2
            else:  # 128 itself means nothing
                total, at = total + (257 - byte if byte > 128 else 0), at + (2 if byte > 128 else 1)
        if total > length + 256:
            return False
    return True


def _pixels(dataset: Dataset) -> tuple[npt.NDArray[Any], int]:
    """The first frame's stored values, (rows, columns) or (rows, columns, 3), and their bits."""
    pixels, kind = _decoded(dataset)
    bits = int(dataset.BitsStored)
    if kind == "PALETTE COLOR":
        return _through_palette(dataset, pixels, bits), 8
    if pixels.ndim == 3 and kind == "RGB":
        return (pixels >> max(0, bits - 8)).clip(0, 255).astype(np.uint8), 8
    if pixels.ndim == 2 and kind in ("MONOCHROME1", "MONOCHROME2"):
        return pixels, bits
    raise ImageError(
        "The DICOM image's colours are stored in a way that is not read: export it as MONOCHROME2 "
        "or RGB."
    )


def _decoded(dataset: Dataset) -> tuple[npt.NDArray[Any], str]:
    """The first frame's values, and their photometric interpretation."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if _DECODERS[syntax] == "gdcm":
        return codecs.decode(
            dataset.PixelData, syntax, **as_pixel_options(dataset, pixel_keyword="PixelData")
        )
    pixels, found = get_decoder(syntax).as_array(
        dataset, index=0, decoding_plugin=_DECODERS[syntax]
    )
    return pixels, str(found["photometric_interpretation"])


def _through_palette(
    dataset: Dataset, pixels: npt.NDArray[Any], bits: int
) -> npt.NDArray[np.uint8]:
    if bits > 8 or "RedPaletteColorLookupTableData" not in dataset:
        raise ImageError(
            "The DICOM image has a palette that is not read (segmented, or of more than 256 "
            "colours): export it as MONOCHROME2 or RGB."
        )
    colours = apply_color_lut(np.arange(2**bits, dtype=np.uint8), dataset)[:, :3]
    if colours.dtype != np.uint8:
        colours = colours >> 8
    painted: npt.NDArray[np.uint8] = colours.astype(np.uint8)[pixels.clip(0, 2**bits - 1)]
    return painted


def _colour(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels))


def _grey(dataset: Dataset, pixels: npt.NDArray[Any], bits: int) -> tuple[Image.Image, int]:
    """The image as it is meant to be seen, and its depth: 8, or 16 for more than 8 bits."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if dataset.PixelRepresentation == 0:
        low, high = 0, 2**bits - 1
    if not _has_window(dataset) and bits > 12 and pixels.min() >= 0 and pixels.max() < 2**12:
        # 12 bits in 16, as in xray.image: nothing else says what white is.
        low, high = 0, 2 ** max(8, int(pixels.max()).bit_length()) - 1
    # There are at most 65536 values: what each becomes is cheaper to say than what each pixel does.
    shades = _shades(dataset, np.arange(low, high + 1, dtype=np.float64))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shades = 1 - shades
    depth = 8 if bits <= 8 else 16
    levels = np.rint(shades * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
    return Image.fromarray(levels[pixels.clip(low, high).astype(np.int32) - low]), depth


def _shades(dataset: Dataset, values: _Grey) -> _Grey:
    """How bright, 0 to 1, each stored value is shown."""
    values = _through_modality(dataset, values)
    if "VOILUTSequence" in dataset and dataset.VOILUTSequence:
        table = _Table(dataset, dataset.VOILUTSequence[0])
        values, dark, light = table.applied(values), 0.0, table.white
    elif _has_window(dataset):
        with np.errstate(over="ignore"):  # of the sigmoid
            values = apply_windowing(values, dataset)
            dark, light = apply_windowing(np.array([-_FAR, _FAR]), dataset)
    else:
        dark, light = values.min(), values.max()
    shades: _Grey = (values - dark) / (light - dark) if light != dark else np.full(1, np.nan)
    if not np.isfinite(shades).all():
        raise ImageError(
            "The DICOM image's rescale values or window make all pixels alike: export it again."
        )
    return shades.clip(0, 1)


def _through_modality(dataset: Dataset, values: _Grey) -> _Grey:
    if "ModalityLUTSequence" in dataset and dataset.ModalityLUTSequence:
        return _Table(dataset, dataset.ModalityLUTSequence[0]).applied(values)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is None or intercept is None:
        return values
    return values * float(slope) + float(intercept)


def _has_window(dataset: Dataset) -> bool:
    """Whether anything says which values are to be seen."""
    if "VOILUTSequence" in dataset and dataset.VOILUTSequence:
        return True
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centre is None or width is None:
        return False
    first = width if isinstance(width, float | int) else width[0]
    return float(first) >= 1  # some files have a width of 0 and mean none


class _Table:
    """A lookup table of the file (pydicom's own functions wrap the values of one with 8 bits)."""

    def __init__(self, dataset: Dataset, item: Dataset) -> None:
        count, self._first, bits = (int(part) for part in item.LUTDescriptor)
        if not 8 <= bits <= 16:
            raise ValueError
        self.white = float(2**bits - 1)
        count = count or 2**16
        entries = item.LUTData
        if isinstance(entries, bytes):
            wide = len(entries) >= 2 * count
            order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
            entries = np.frombuffer(entries, f"{order}u2" if wide else "u1")
        self._entries = (np.atleast_1d(np.asarray(entries, np.int64)) & 0xFFFF)[:count]

    def applied(self, values: _Grey) -> _Grey:
        """``values`` looked up; those outside of the table become its first or last entry."""
        index = np.rint(values - self._first).clip(0, len(self._entries) - 1)
        return self._entries[index.astype(np.int64)].astype(np.float64)


def _kept(dataset: Dataset) -> Dataset:
    """What a result is to have of its source.

    Raises:
        ImageError: one of the elements is damaged: a result could not name its patient.
    """
    try:
        kept = _copy(dataset)
        kept.SOPInstanceUID = uid.UID(dataset.get("SOPInstanceUID") or "")
        pydicom.dcmwrite(io.BytesIO(), kept, implicit_vr=False, little_endian=True)
    except Exception:
        raise ImageError(
            "The DICOM header is damaged where it names the patient or the study: export it again."
        ) from None
    return kept


def _copy(dataset: Dataset) -> Dataset:
    result = Dataset()
    for keyword in _KEPT:
        if keyword in dataset:
            element = dataset[keyword]
            if dictionary_VR(element.tag) != element.VR:
                raise ValueError
            result.add_new(element.tag, element.VR, element.value)
    return result


def _describe(result: Dataset, image: Image.Image, depth: int) -> None:
    """The elements that say how the pixels are stored."""
    grey = image.mode != "RGB"
    result.SamplesPerPixel = 1 if grey else 3
    result.PhotometricInterpretation = "MONOCHROME2" if grey else "RGB"
    if not grey:
        result.PlanarConfiguration = 0
    result.Rows, result.Columns = image.height, image.width
    result.BitsAllocated = 16 if image.mode == "I;16" else 8
    result.BitsStored = depth
    result.HighBit = depth - 1
    result.PixelRepresentation = 0


def _uid(of: str, seeds: list[str]) -> uid.UID:
    return uid.generate_uid(entropy_srcs=[of, *seeds])


def _file(result: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation", ["xray"])
    result.file_meta = meta
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, result, enforce_file_format=True)
    return stream.getvalue()
