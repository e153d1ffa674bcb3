"""Results as DICOM: Secondary Captures, of the same patient and study, or de-identified."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset

from xray.errors import ImageError
from xray.image.damage import decoding
from xray.image.dicom import deidentify
from xray.image.dicom.quiet import quietly
from xray.image.picture import Picture

STUDY_REQUIRED = (
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
)
"""The elements of the patient and the study that every instance has, empty where the value is
unknown (type 2, PS3.5, section 7.4.3)."""
_STUDY = ("SpecificCharacterSet", *STUDY_REQUIRED, "StudyDescription", "StudyInstanceUID")
"""The elements of the patient and the study that a result keeps of its source."""
_VIEW = (
    *("Modality", "BodyPartExamined", "ViewPosition"),
    *("PatientOrientation", "Laterality", "BurnedInAnnotation"),
)
"""The elements that say what the image shows."""
_KEPT = (*_STUDY, *_VIEW)
"""All elements that a result keeps of its source."""
_DERIVATION = "The risk of pneumonia, computed by a model, is printed on the image."
_DAMAGED_STUDY = (
    "The DICOM header is damaged where it names the patient or the study: export it again."
)


def study_elements(dataset: Dataset) -> Dataset:
    """Return the elements of ``dataset`` that a result keeps, and the instance's class and UID.

    Raises:
        ImageError: one of the elements is damaged, so that a result could not name its patient.
    """
    with decoding(_DAMAGED_STUDY):
        elements = [dataset[keyword] for keyword in _KEPT if keyword in dataset]
    if any(dictionary_VR(element.tag) != element.VR for element in elements):
        raise ImageError(_DAMAGED_STUDY)
    result = Dataset()
    with decoding(_DAMAGED_STUDY):
        for element in elements:
            result.add_new(element.tag, element.VR, element.value)
        result.SOPClassUID = uid.UID(dataset.get("SOPClassUID") or "")
        result.SOPInstanceUID = uid.UID(dataset.get("SOPInstanceUID") or "")
        # What cannot be written now could not be written into a result.
        pydicom.dcmwrite(io.BytesIO(), result, implicit_vr=False, little_endian=True)
    _add_what_may_be_kept(result, dataset)
    return result


def _add_what_may_be_kept(result: Dataset, dataset: Dataset) -> None:
    """Add what a de-identified header is made of; a damaged element is left out."""
    for keyword in deidentify.KEPT:
        with suppress(ImageError), decoding():
            if keyword in dataset and keyword not in result:
                element = dataset[keyword]
                if dictionary_VR(element.tag) == element.VR:
                    result.add_new(element.tag, element.VR, element.value)


def write_image(picture: Picture) -> bytes:
    """Encode ``picture`` as a Secondary Capture; equal pixels and headers give equal bytes.

    The UIDs are made from the source's UID and the pixels.

    Args:
        picture: a picture whose header is the result of :func:`study_elements` or of
            :func:`~xray.image.dicom.deidentify.deidentified`, or None.
    """
    header = Dataset() if picture.header is None else picture.header
    if header.get("DeidentificationMethod") == deidentify.METHOD:
        return write_deidentified(picture.pixels, header)
    pixels = np.ascontiguousarray(np.asarray(picture.pixels))
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    seeds = [str(header.get("SOPInstanceUID", "")), hashlib.sha256(content).hexdigest()]
    with quietly():
        result = Dataset()
        add_study(result, header, seeds)
        _add_view(result, header)
        result.SeriesInstanceUID = derived_uid("series", seeds)
        result.SeriesDescription = "Risk of pneumonia"
        result.SOPInstanceUID = derived_uid("instance", seeds)
        _add_derivation(result, header)
        return _secondary_capture(result, picture.pixels, picture.depth, content)


def write_deidentified(image: Image.Image, header: Dataset) -> bytes:
    """Encode an anonymised image as a Secondary Capture; equal arguments give equal bytes.

    Args:
        image: the redacted pixels, in mode L.
        header: the result of :func:`~xray.image.dicom.deidentify.deidentified`.
    """
    with quietly():
        result = Dataset()
        for element in header:
            result.add_new(element.tag, element.VR, element.value)
        content = np.asarray(image).tobytes()
        seeds = [str(header.SOPInstanceUID), hashlib.sha256(content).hexdigest()]
        result.SOPInstanceUID = derived_uid("instance", seeds)
        result.Modality = header.get("Modality") or "OT"
        _add_laterality(result)
        return _secondary_capture(result, image, 8, content)


def with_pixels(data: bytes, image: Image.Image) -> bytes:
    """Return a file of :func:`write_deidentified` with other pixels.

    Args:
        data: the file.
        image: the new pixels, in mode L and of the same size.
    """
    with quietly():
        header = pydicom.dcmread(io.BytesIO(data))
        del header.PixelData
        return write_deidentified(image, header)


def _secondary_capture(result: Dataset, image: Image.Image, depth: int, content: bytes) -> bytes:
    """Add what each Secondary Capture has, and the pixels, and return the file."""
    result.SeriesNumber = None
    result.InstanceNumber = 1
    result.SOPClassUID = uid.SecondaryCaptureImageStorage
    result.ImageType = ["DERIVED", "SECONDARY"]
    result.ConversionType = "WSD"  # a workstation
    _add_pixel_description(result, image, depth)
    result["PixelData"] = pydicom.DataElement(
        "PixelData", "OW" if image.mode == "I;16" else "OB", content + b"\0" * (len(content) % 2)
    )
    return file_bytes(result)


def add_study(result: Dataset, header: Dataset, seeds: list[str]) -> None:
    """Add the elements of the patient and the study.

    Args:
        result: where they are added.
        header: the result of :func:`study_elements`.
        seeds: what the UID of the study is made from if the source has none.
    """
    _copy(result, header, _STUDY)
    for keyword in STUDY_REQUIRED:
        if keyword not in result:
            setattr(result, keyword, None)
    result.StudyInstanceUID = header.get("StudyInstanceUID") or derived_uid("study", seeds)


def _add_view(result: Dataset, header: Dataset) -> None:
    """Add the elements that say what the image shows."""
    _copy(result, header, _VIEW)
    if "PatientOrientation" not in result:
        result.PatientOrientation = None
    _add_laterality(result)
    result.Modality = header.get("Modality") or "OT"


def _copy(result: Dataset, header: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword in header:
            element = header[keyword]
            result.add_new(element.tag, element.VR, element.value)


def _add_laterality(result: Dataset) -> None:
    """Add an empty Laterality if it is unknown. A part of the body such as CHEST has none."""
    if not result.get("Laterality"):
        result.Laterality = None
        if result.get("BodyPartExamined"):
            del result.Laterality


def _add_derivation(result: Dataset, header: Dataset) -> None:
    """Add what the result was made of, and how (PS3.3, section C.7.6.1.1)."""
    result.DerivationDescription = _DERIVATION
    source = Dataset()
    source.ReferencedSOPClassUID = header.get("SOPClassUID") or ""
    source.ReferencedSOPInstanceUID = header.get("SOPInstanceUID") or ""
    if source.ReferencedSOPClassUID and source.ReferencedSOPInstanceUID:
        result.SourceImageSequence = [source]


def _add_pixel_description(result: Dataset, image: Image.Image, depth: int) -> None:
    """Add the elements that say how the pixels are stored."""
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


def derived_uid(purpose: str, seeds: list[str]) -> uid.UID:
    """Return a UID that is the same for the same purpose and seeds."""
    return uid.generate_uid(entropy_srcs=[purpose, *seeds])


def file_bytes(result: Dataset) -> bytes:
    """Return the file of an instance, in Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = derived_uid("implementation", ["xray"])
    result.file_meta = meta
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, result, enforce_file_format=True)
    return stream.getvalue()
