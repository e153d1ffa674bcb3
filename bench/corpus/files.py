"""Files in the formats that X-rays arrive in, of any depth and colour."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from bench.lettering import Pixels


def raster(pixels: Pixels | Image.Image, form: str, **options: Any) -> bytes:
    """Return a PNG, JPEG or TIFF file of ``pixels``."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def dicom(pixels: Pixels, **elements: Any) -> bytes:
    """Return a digital X-ray without a window.

    Args:
        pixels: shape (rows, columns) or (rows, columns, 3), of 8 or 16 bits, signed or not.
        elements: set by keyword in addition to the usual ones, or in place of them.
    """
    result = Dataset()
    result.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    result.SOPInstanceUID, result.StudyInstanceUID, result.SeriesInstanceUID = "1.2.3.4", "1.2", "1"
    result.Modality = "DX"
    result.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    result.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        result.PlanarConfiguration = 0
    result.Rows, result.Columns = pixels.shape[:2]
    result.BitsAllocated = result.BitsStored = pixels.dtype.itemsize * 8
    result.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        setattr(result, name, value)
    result.HighBit = result.BitsStored - 1
    content = pixels.tobytes()
    content += b"\0" * (len(content) % 2)
    result["PixelData"] = pydicom.DataElement(0x7FE00010, "OW", content)
    result.file_meta = FileMetaDataset()
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    result.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, result, enforce_file_format=True)
    return stream.getvalue()


def lookup_table(entries: Pixels, first: int = 0) -> list[Dataset]:
    """Return a VOI LUT Sequence of one table with ``entries`` of 16 bits."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 2**16, first, 16]
    item["LUTData"] = pydicom.DataElement(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    return [item]
