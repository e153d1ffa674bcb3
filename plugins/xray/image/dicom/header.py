"""The header of a DICOM file: the elements before the pixel data, and what they must say.

The header is read in steps: the transfer syntax, the other elements, the class
of the object, the size of the image. Each step costs no more than the step
before has allowed. No message here quotes a value that could name a patient.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from pydicom import uid
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from xray.errors import ImageError, ImageFault
from xray.image.damage import decoding
from xray.image.picture import Limits

PIXEL_GROUP = 0x7FE00000
"""The first tag of the group that holds the pixel data."""
PLUGINS = {
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
"""The transfer syntaxes that are read, each with the pydicom plugin that decodes it."""

_PREFIX_BYTES = 132
"""The length of the preamble and of the prefix DICM (PS3.10, section 7.1)."""
_MAX_HEADER_BYTES = 4 * 1024 * 1024
"""The most bytes that are parsed; the parsed header can take a hundred times as much memory."""
_RADIOGRAPHS = {
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
}
"""The SOP classes that are read."""


_SIZES = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""The elements that give the height and the width of a pixel; the first that has both counts."""
_MAX_TALLNESS = 4
"""The largest share that is taken for that of a pixel, and not for damage."""
_NEEDED = ("PhotometricInterpretation", "BitsAllocated", "PixelRepresentation")
"""The elements that nothing stands for."""
_POLARITY = {"IDENTITY": "MONOCHROME2", "INVERSE": "MONOCHROME1"}
"""The Photometric Interpretation that goes with each Presentation LUT Shape (PS3.3, section
C.8.11.3.1.2)."""


@dataclass(frozen=True, slots=True)
class Header:
    """The checked header of a radiograph."""

    dataset: Dataset
    """Every element before the pixel data, and the file meta information."""
    syntax: uid.UID
    """The transfer syntax."""
    width: int
    """The number of columns."""
    height: int
    """The number of rows."""
    frames: int
    bits: int
    """The significant bits of a stored value (Bits Stored); at most 16."""
    bits_below: int
    """The bits of a pixel cell below the significant ones, by the High Bit (PS3.5, section 8.1.1);
    0 in every file since 2006."""
    tallness: float
    """The height of a pixel, as a share of its width."""


def read_header(source: io.BytesIO, limits: Limits) -> Header:
    """Read and check every element before the pixel data.

    Args:
        source: a DICOM file; it is left where the pixel data begins.
        limits: the largest image that is decoded.

    Raises:
        ImageError: the header is damaged, the object is not a radiograph, the image exceeds
            the limits, or the transfer syntax is not read.
    """
    dataset, syntax = _read_elements(source)
    _check_class(dataset)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageError(
            "The DICOM object has no image: its Rows and Columns are missing.",
            fault=ImageFault.NOT_AN_IMAGE,
        )
    _complete(dataset)
    with decoding():
        width, height = int(dataset.Columns), int(dataset.Rows)
        frames = int(dataset.get("NumberOfFrames") or 1)
        bits = int(dataset.BitsStored)
        bits_below = _bits_below(dataset, bits)
    limits.check(width, height, frames)
    if bits > 16:
        raise ImageError(
            f"The DICOM image has {bits} bits per pixel; at most 16 are read.",
            fault=ImageFault.UNSUPPORTED,
        )
    return Header(dataset, syntax, width, height, frames, bits, bits_below, _tallness(dataset))


def _read_elements(source: io.BytesIO) -> tuple[Dataset, uid.UID]:
    """Read the elements before the pixel data, and the transfer syntax.

    pydicom's own function for this would inflate a deflated file to any size. Some old archives
    hold files without the preamble, or without all file meta information.
    """
    if source.read(_PREFIX_BYTES)[-4:] != b"DICM":
        source.seek(0)
    with decoding():
        meta = read_dataset(source, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        syntax = uid.UID(meta.get("TransferSyntaxUID") or "")
    start = source.tell()
    if not meta:
        syntax = _guess_syntax(source.read(6))
        source.seek(start)
    _check_syntax(syntax)
    head = io.BytesIO(source.read(_MAX_HEADER_BYTES))
    with decoding():
        dataset = read_dataset(
            head,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, *_: tag >= PIXEL_GROUP,
        )
        dataset.file_meta = FileMetaDataset(meta)
    source.seek(start + head.tell())
    return dataset, syntax


def _guess_syntax(element: bytes) -> uid.UID:
    """Return the transfer syntax of a file without file meta information.

    Args:
        element: the first bytes of the first element: its tag of 4 bytes and, if the syntax is
            explicit, the 2 letters of its VR.
    """
    if len(element) < 6:
        return uid.UID("")
    return uid.ExplicitVRLittleEndian if element[4:].isalpha() else uid.ImplicitVRLittleEndian


def _complete(dataset: Dataset) -> None:
    """Add what the header lacks and the rest of it tells.

    Raises:
        ImageError: the header lacks an element without which the pixels mean nothing.
    """
    with decoding():
        if "PhotometricInterpretation" not in dataset and dataset.get("SamplesPerPixel", 1) == 1:
            shape = str(dataset.get("PresentationLUTShape") or "")
            if shape in _POLARITY:
                dataset.PhotometricInterpretation = _POLARITY[shape]
        lacks = [keyword for keyword in _NEEDED if dataset.get(keyword) in (None, "")]
    if lacks:
        names = " and ".join(dictionary_description(keyword) for keyword in lacks)
        raise ImageError(
            f"The DICOM header lacks {names}: without it, nothing says what the pixels show. "
            "Export the image again."
        )
    with decoding():
        if dataset.get("SamplesPerPixel") is None:
            is_grey = dataset.PhotometricInterpretation in (*_POLARITY.values(), "PALETTE COLOR")
            dataset.SamplesPerPixel = 1 if is_grey else 3
        if dataset.get("BitsStored") is None:
            high_bit = dataset.get("HighBit")
            dataset.BitsStored = dataset.BitsAllocated if high_bit is None else high_bit + 1


def _bits_below(dataset: Dataset, bits: int) -> int:
    """Return the bits below the significant ones; 0 for a High Bit that contradicts the others."""
    high_bit = dataset.get("HighBit")
    if high_bit is None or not bits <= int(high_bit) + 1 <= int(dataset.BitsAllocated):
        return 0
    return int(high_bit) + 1 - bits


def _tallness(dataset: Dataset) -> float:
    """Return the height of a pixel as a share of its width; 1 if the header does not say it.

    Raises:
        ImageError: the sizes are no numbers, or differ more than those of any detector.
    """
    with decoding():
        known = (dataset.get(keyword) for keyword in _SIZES)
        pairs = (each for each in known if isinstance(each, MultiValue) and len(each) == 2)
        height, width = (float(each) for each in next(pairs, (1, 1)))
        tallness = height / width
    if not 1 / _MAX_TALLNESS <= tallness <= _MAX_TALLNESS:
        raise ImageError(
            "The DICOM header gives pixels that are far from square: export the image again."
        )
    return tallness


def _check_syntax(syntax: uid.UID) -> None:
    if not syntax:
        raise ImageError("The DICOM file names no transfer syntax: export it again.")
    if syntax not in PLUGINS:
        raise ImageError(
            f"The DICOM image is stored as {_name(syntax, 'an unknown transfer syntax')}, which is "
            "not read: export it as Explicit VR Little Endian or JPEG Lossless.",
            fault=ImageFault.UNSUPPORTED,
        )


def _check_class(dataset: Dataset) -> None:
    """Refuse an object other than a radiograph, and a radiograph that is not for presentation."""
    with decoding():
        meta = dataset.file_meta.get("MediaStorageSOPClassUID")
        sop_class = uid.UID(dataset.get("SOPClassUID") or meta or "")
        intent = dataset.get("PresentationIntentType")
    if sop_class == uid.DigitalXRayImageStorageForProcessing or intent == "FOR PROCESSING":
        raise ImageError(
            "The DICOM image is raw, for processing: send the one that is for presentation.",
            fault=ImageFault.NOT_A_RADIOGRAPH,
        )
    if sop_class not in _RADIOGRAPHS:
        raise ImageError(
            f"The DICOM object is of the class {_name(sop_class, 'unknown')}; only Computed "
            "Radiography, Digital X-Ray for presentation and Secondary Capture are processed.",
            fault=ImageFault.NOT_A_RADIOGRAPH,
        )


def _name(value: uid.UID, unknown: str) -> str:
    """Return the name of a UID in the DICOM dictionary: any other value could name a patient."""
    name = value.name
    return unknown if name == str(value) else name
