"""DICOM files for the tests, about a person who is easily found again."""

from __future__ import annotations

import io
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
DX = uid.DigitalXRayImageStorageForPresentation


def dataset(pixels: npt.NDArray[Any], **elements: Any) -> Dataset:
    """A digital X-ray of ``pixels``, (rows, columns) or (rows, columns, 3); unsigned."""
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
    result.HighBit = result.BitsStored - 1
    return result


def written(source: Dataset, syntax: str = uid.ExplicitVRLittleEndian, **meta: Any) -> bytes:
    """The file's bytes."""
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
    """A file of ``pixels``, uncompressed."""
    return written(dataset(pixels, **elements))


def embedded(pixels: npt.NDArray[Any], frame: bytes, syntax: str, **elements: Any) -> bytes:
    """A file of ``pixels`` that has ``frame`` in their place."""
    source = dataset(pixels, **elements)
    source.PixelData = encapsulate([frame])
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    return written(source, syntax)


def coded(pixels: npt.NDArray[Any], form: str, **options: Any) -> bytes:
    """``pixels`` as Pillow encodes them: JPEG, or JPEG 2000 without a wrapper."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(stream, form, **({"no_jp2": True} if form == "JPEG2000" else {}), **options)
    return stream.getvalue()


def lossless(pixels: npt.NDArray[np.uint16 | np.uint8], syntax: str) -> bytes:
    """A file of grey ``pixels``, compressed by GDCM as JPEG Lossless or JPEG-LS."""
    import tempfile
    from pathlib import Path

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
