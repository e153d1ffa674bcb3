"""xray.image.dicom.write: the result names its patient and study, and nothing else gets out."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid

from tests.support.dicom_files import (
    DX,
    NAME,
    SECRET,
    VARIANTS,
    Pixels,
    dataset,
    dicom,
    file_bytes,
)
from tests.support.programs import dicom_errors
from xray.errors import ImageError
from xray.image import Format, Picture, anonymous, decode, encode, print_caption
from xray.redaction import redact


@pytest.mark.parametrize(
    ("way", "mode", "bits"),
    [
        ("8 bit", "L", 8),
        ("12 bit", "I;16", 16),
        ("16 bit", "I;16", 16),
        ("colour", "RGB", 8),
    ],
)
def test_the_annotated_result_is_of_the_same_kind(
    chest8: Pixels, way: str, mode: str, bits: int
) -> None:
    picture = decode(VARIANTS[way](chest8))
    assert picture.pixels.mode == mode
    drawn = print_caption(picture.pixels, "Pneumonia, risk=93.12%", picture.depth)
    data = encode(Picture(drawn, picture.format, picture.depth, picture.header))
    assert data == encode(Picture(drawn, picture.format, picture.depth, picture.header))
    result = pydicom.dcmread(io.BytesIO(data))
    assert result.SOPClassUID == uid.SecondaryCaptureImageStorage
    assert list(result.ImageType) == ["DERIVED", "SECONDARY"]
    assert (result.Columns, result.Rows) == picture.pixels.size
    assert (result.BitsAllocated, result.BitsStored) == (bits, bits)
    assert str(result.PatientName) == NAME, "it is of the same patient and the same study"
    assert result.StudyInstanceUID == "1.2.3"
    assert result.SOPInstanceUID != "1.2.3.4"
    (source,) = result.SourceImageSequence
    assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == (DX, "1.2.3.4")
    assert "PatientComments" not in result
    assert "InstitutionName" not in result
    assert not any(element.tag.is_private for element in result)
    again = decode(data)
    assert np.array_equal(np.asarray(again.pixels), np.asarray(drawn))


@pytest.mark.parametrize("way", ["8 bit", "12 bit", "colour", "CR", "secondary capture"])
def test_a_validator_finds_no_error(chest8: Pixels, real: bool, way: str) -> None:
    for source in _sources(chest8, way):
        assert dicom_errors(encode(decode(source)), real) == []


def _sources(pixels: Pixels, way: str) -> list[bytes]:
    """Return a file, one that says which part of the body it shows, and one that names nobody."""
    nameless = dataset(pixels)
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "Modality"):
        delattr(nameless, keyword)
    chest = dicom(pixels, BodyPartExamined="CHEST", Laterality=None)
    return [VARIANTS[way](pixels), chest, file_bytes(nameless)]


def test_another_picture_is_another_instance(chest8: Pixels) -> None:
    picture = decode(dicom(chest8))
    uids = set()
    for text in ("Normal, risk=1.00%", "Unsure, risk=70.00%"):
        drawn = print_caption(picture.pixels, text)
        data = encode(Picture(drawn, Format.DICOM, 8, picture.header))
        uids.add(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID)
    assert len(uids) == 2


@pytest.mark.parametrize("way", ["8 bit", "12 bit", "colour"])
def test_an_anonymised_one_is_a_bare_png(chest8: Pixels, way: str) -> None:
    source = VARIANTS[way](chest8)
    assert SECRET.encode() in source
    picture = anonymous(decode(source))
    data = encode(Picture(redact(picture.pixels).image, picture.format, picture.depth))
    assert data.startswith(b"\x89PNG")
    for word in (SECRET, "Ada", "5120", "1948", "1.2.3", "A77"):
        assert word.encode() not in data
    assert Image.open(io.BytesIO(data)).mode == picture.pixels.mode


def test_a_damaged_patient_element_is_refused(chest8: Pixels) -> None:
    source = dataset(chest8)
    del source.PatientID
    source.add_new("PatientID", "IS", "5120")
    with pytest.raises(ImageError, match="damaged where it names the patient or the study"):
        decode(file_bytes(source))
