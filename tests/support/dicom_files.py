"""DICOM files for the tests, about a person whose name is easily found in a text."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

NAME = "Ashgröve^Ada"
SECRET = "Ashgr"
"""A part of everything in these files that names the person."""
DX = uid.DigitalXRayImageStorageForPresentation


def dataset(pixels: npt.NDArray[Any], **elements: Any) -> Dataset:
    """Return a digital X-ray of ``pixels``, of shape (rows, columns) or (rows, columns, 3).

    ``elements`` are set by keyword in addition, or in place of these.
    """
    result = Dataset()
    result.SpecificCharacterSet = "ISO_IR 100"
    result.SOPClassUID = DX
    result.SOPInstanceUID = "1.2.3.4"
    result.StudyInstanceUID = "1.2.3"
    result.SeriesInstanceUID = "1.2.3.5"
    result.Modality = "DX"
    result.PatientName = NAME
    result.PatientID = "Ashgr-5120"
    result.PatientBirthDate = "19480226"
    result.PatientSex = "F"
    result.StudyDate = "20170802"
    result.AccessionNumber = "A77"
    result.ViewPosition = "PA"
    result.InstitutionName = "Ashgrove Hospital"
    result.PatientComments = "Ashgrove, comments"
    result.add_new(0x00091010, "LO", "Ashgrove, private")
    result.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    result.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        result.PlanarConfiguration = 0
    result.Rows, result.Columns = pixels.shape[:2]
    result.BitsAllocated = pixels.dtype.itemsize * 8
    result.BitsStored = result.BitsAllocated
    result.PixelRepresentation = int(pixels.dtype.kind == "i")
    content = pixels.tobytes()
    result["PixelData"] = pydicom.DataElement(
        0x7FE00010, "OW", content + b"\0" * (len(content) % 2)
    )
    for name, value in elements.items():
        setattr(result, name, value)
    if "HighBit" not in elements:
        result.HighBit = result.BitsStored - 1
    return result


def file_bytes(source: Dataset, syntax: str = uid.ExplicitVRLittleEndian, **meta: Any) -> bytes:
    """Return a DICOM file of ``source``, with ``meta`` in its file meta information."""
    source.file_meta = FileMetaDataset()
    source.file_meta.MediaStorageSOPClassUID = source.get("SOPClassUID") or DX
    source.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    source.file_meta.TransferSyntaxUID = syntax
    for name, value in meta.items():
        setattr(source.file_meta, name, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, source, enforce_file_format=True)
    return stream.getvalue()


def dicom(pixels: npt.NDArray[Any], **elements: Any) -> bytes:
    """Return an uncompressed file of ``pixels``."""
    return file_bytes(dataset(pixels, **elements))


def embedded(pixels: npt.NDArray[Any], frame: bytes, syntax: str, **elements: Any) -> bytes:
    """Return a file with the header of ``pixels`` and the compressed ``frame``."""
    source = dataset(pixels, **elements)
    source.PixelData = encapsulate([frame])
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    return file_bytes(source, syntax)


def compressed(pixels: npt.NDArray[Any], form: str, **options: Any) -> bytes:
    """Return ``pixels`` compressed by Pillow, as JPEG or as JPEG 2000 without a wrapper."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(stream, form, **({"no_jp2": True} if form == "JPEG2000" else {}), **options)
    return stream.getvalue()


def rle(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a file of ``pixels``, compressed as RLE; always the same bytes."""
    source = dataset(pixels)
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    source.compress(uid.RLELossless, generate_instance_uid=False)
    return file_bytes(source, uid.RLELossless)


def lossless(pixels: npt.NDArray[np.uint16 | np.uint8], syntax: str) -> bytes:
    """Return a file of grey ``pixels``, compressed by GDCM as JPEG Lossless or JPEG-LS."""
    import gdcm

    kinds = {
        uid.JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        uid.JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
        uid.JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
    }
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain.dcm", Path(folder) / "packed.dcm"
        plain.write_bytes(dicom(pixels))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(kinds[uid.UID(syntax)]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetFileName(str(packed))
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return packed.read_bytes()


def left_aligned_lossless(pixels: npt.NDArray[np.uint16], syntax: str) -> bytes:
    """Return a file of ``lossless`` whose header puts 12 bits at the top of 16."""
    source = pydicom.dcmread(io.BytesIO(lossless(pixels, syntax)))
    source.BitsStored, source.HighBit = 12, 15
    return file_bytes(source, syntax)


def with_voi_lut(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a file of ``pixels`` in 12 bits, and a VOI LUT that maps them back to 8 bits."""
    source = dataset(pixels.astype(np.uint16) * 16, BitsStored=12)
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 8]
    table["LUTData"] = pydicom.DataElement(
        0x00283006, "OW", (np.arange(4096) // 16).astype("<u2").tobytes()
    )
    source.VOILUTSequence = [table]
    return file_bytes(source)


def twelve_bits(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Return 8-bit ``pixels`` in 12 bits."""
    return np.rint(pixels * (4095 / 255)).astype(np.uint16)


def without_meta(source: Dataset, syntax: str) -> bytes:
    """Return a file of ``source`` alone, without preamble and file meta information."""
    stream = io.BytesIO()
    pydicom.dcmwrite(
        stream,
        source,
        implicit_vr=uid.UID(syntax).is_implicit_VR,
        little_endian=True,
        enforce_file_format=False,
    )
    return stream.getvalue()


Pixels = npt.NDArray[np.uint8]

VARIANTS: dict[str, Callable[[Pixels], bytes]] = {
    "8 bit": dicom,
    "12 bit": lambda p: dicom(twelve_bits(p), BitsStored=12),
    "16 bit": lambda p: dicom(p.astype(np.uint16) * 257),
    "12 bit stored as 16": lambda p: dicom(twelve_bits(p)),
    "MONOCHROME1, 8 bit": lambda p: dicom(255 - p, PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1, 12 bit": lambda p: dicom(
        4095 - twelve_bits(p), BitsStored=12, PhotometricInterpretation="MONOCHROME1"
    ),
    "a window": lambda p: dicom(
        p.astype(np.uint16) * 4 + 1000, BitsStored=12, WindowCenter=1510.5, WindowWidth=1021
    ),
    "two windows": lambda p: dicom(
        p.astype(np.uint16) * 4, BitsStored=12, WindowCenter=[510.5, 9], WindowWidth=[1021, 5]
    ),
    "rescaled": lambda p: dicom(
        p.astype(np.int16) - 100,
        RescaleSlope=2,
        RescaleIntercept=50,
        BitsStored=16,
        WindowCenter=105.5,
        WindowWidth=511,
    ),
    "a VOI LUT": with_voi_lut,
    "signed, no window": lambda p: dicom(p.astype(np.int16) * 100 - 9000),
    "left-aligned": lambda p: dicom(twelve_bits(p) << 4, BitsStored=12, HighBit=15),
    "padded": lambda p: dicom(
        np.where(p == 0, -2000, p.astype(np.int16) * 4), PixelPaddingValue=-2000
    ),
    "RLE": rle,
    "implicit": lambda p: file_bytes(dataset(p), uid.ImplicitVRLittleEndian),
    "JPEG": lambda p: embedded(p, compressed(p, "JPEG", quality=95), uid.JPEGBaseline8Bit),
    "JPEG 2000": lambda p: embedded(p, compressed(p, "JPEG2000"), uid.JPEG2000Lossless),
    "JPEG Lossless": lambda p: lossless(p, uid.JPEGLosslessSV1),
    "JPEG Lossless, 16 bit": lambda p: lossless(p.astype(np.uint16) * 257, uid.JPEGLossless),
    "JPEG-LS": lambda p: lossless(p, uid.JPEGLSLossless),
    "no preamble": lambda p: dicom(p)[132:],
    "no file meta information": lambda p: without_meta(dataset(p), uid.ExplicitVRLittleEndian),
    "neither, implicit": lambda p: without_meta(dataset(p), uid.ImplicitVRLittleEndian),
    "colour": lambda p: dicom(np.stack([p] * 3, axis=2)),
    "secondary capture": lambda p: dicom(p, SOPClassUID=uid.SecondaryCaptureImageStorage),
    "CR": lambda p: dicom(p, SOPClassUID=uid.ComputedRadiographyImageStorage),
}
"""The ways in which a DICOM file can hold the same 8-bit picture."""
