"""xray.image.dicom.deidentify: who it is cannot be found, and what belongs together stays so."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2024b as profile
from PIL import Image
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from tests.support.dicom_files import SECRET, Pixels, dataset, dicom, file_bytes
from tests.support.programs import dicom_errors
from xray.image import decode
from xray.image.dicom import Retained, deidentified, write_deidentified
from xray.image.dicom.deidentify import METHOD

KEY = "a secret of the tests, long enough"
ALL = Retained(dates=True, device=True, characteristics=True)
SERIES = {
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.5",
    "StudyDate": "20170802",
    "PatientID": "Ashgr-5120",
}
VALUES = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"), "ASHGR"),
    **{"DA": "19480226", "TM": "112233.5", "DT": "19480226112233", "AS": "069Y", "UI": "1.2.9.9"},
    **dict.fromkeys(("DS", "IS"), "5120"),
    **dict.fromkeys(("FD", "FL"), 5120.5),
    **dict.fromkeys(("US", "UL", "SS", "SL"), 5120),
    **dict.fromkeys(("OB", "OW", "UN"), b"ASHGRO"),
}
"""A value of each VR that is not in a result by chance."""


def made_of(data: bytes, retained: Retained = Retained(), secret: str = KEY) -> bytes:  # noqa: B008
    """Return the de-identified form of a file, with its pixels as they are."""
    picture = decode(data)
    header = deidentified(picture.header, secret, retained)
    return write_deidentified(picture.eight_bit().convert("L"), header)


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


@pytest.fixture(scope="module")
def small(demo_images: list[Path]) -> Pixels:
    with Image.open(demo_images[0]) as image:
        return np.asarray(image.convert("L").resize((88, 66)))


@pytest.mark.parametrize("retained", [Retained(), ALL])
def test_nothing_tells_who_it_is(small: Pixels, retained: Retained) -> None:
    source = dicom(small, StudyDescription="Ashgrove", BodyPartExamined="ASHGROVE ADA")
    result = made_of(source, retained)
    for word in (SECRET, "ASHGR", "Ada", "5120", "1948", "20170802", "A77", "1.2.3"):
        assert word.encode() not in result
    assert np.array_equal(decode(result).pixels, small)


def test_what_the_profile_removes_or_replaces_is_gone(small: Pixels) -> None:
    """With every attribute of the profile's table in the original."""
    source = dataset(small)
    tags = [(tag[0] << 16) + tag[1] for tag in profile.ALL_TAGS if len(tag) == 2 and tag[0] > 2]
    assert len(tags) > 500
    for tag in tags:
        vr = dictionary_VR(tag).split(" or ")[0]
        if vr != "SQ":
            source.add_new(tag, vr, VALUES[vr])
    original = file_bytes(source)
    result = read(made_of(original))
    left = [tag for tag in tags if tag in result and result[tag].value]
    assert all(result[tag].value != source[tag].value for tag in left)
    names = {result[tag].keyword for tag in left}
    assert names == {"PatientID", "PatientName"} | {
        f"{level}InstanceUID" for level in ("Study", "Series", "SOP")
    }


@pytest.mark.parametrize("retained", [Retained(), ALL])
@pytest.mark.parametrize("elements", [{}, {"BodyPartExamined": "CHEST"}])
def test_a_validator_finds_no_error(
    small: Pixels, real: bool, retained: Retained, elements: dict[str, Any]
) -> None:
    assert dicom_errors(made_of(dicom(small, **elements), retained), real) == []


def test_it_says_that_and_how_it_was_deidentified(small: Pixels) -> None:
    result = read(made_of(dicom(small)))
    assert (result.PatientIdentityRemoved, result.BurnedInAnnotation) == ("YES", "NO")
    assert result.DeidentificationMethod == METHOD
    codes = [code.CodeValue for code in result.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101"]
    assert result.LongitudinalTemporalInformationModified == "REMOVED"
    result = read(made_of(dicom(small), ALL))
    codes = [code.CodeValue for code in result.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113107", "113108", "113109"]
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"


def test_what_belongs_together_stays_together(small: Pixels) -> None:
    other = 255 - small
    one, same_series, other_series, other_study, other_patient = (
        read(made_of(dicom(pixels, **SERIES | elements)))
        for pixels, elements in (
            (small, {}),
            (other, {"SOPInstanceUID": "1.2.3.6"}),
            (small, {"SeriesInstanceUID": "1.2.3.7"}),
            (small, {"StudyInstanceUID": "1.2.8"}),
            (small, {"PatientID": "Ashgr-9", "StudyInstanceUID": "1.2.9"}),
        )
    )
    assert one.PatientID == other_study.PatientID != other_patient.PatientID
    assert one.StudyInstanceUID == other_series.StudyInstanceUID != other_study.StudyInstanceUID
    assert one.SeriesInstanceUID == same_series.SeriesInstanceUID
    assert one.SeriesInstanceUID != other_series.SeriesInstanceUID
    assert one.SOPInstanceUID != same_series.SOPInstanceUID


def test_two_instances_without_a_uid_are_two(small: Pixels) -> None:
    one, other = (
        read(made_of(dicom(pixels, SOPInstanceUID=None))) for pixels in (small, 255 - small)
    )
    assert one.SOPInstanceUID != other.SOPInstanceUID


def test_a_patient_without_an_id_is_known_by_name_and_birth(small: Pixels) -> None:
    nobody = {"PatientID": None, "PatientName": None, "PatientBirthDate": None}
    named, renamed, unknown, other = (
        read(made_of(dicom(small, **{"PatientID": None} | elements))).PatientID
        for elements in (
            {},
            {"PatientName": "Birkwood^Bruno"},
            nobody,
            nobody | {"StudyInstanceUID": "1.2.8"},
        )
    )
    assert len({named, renamed, unknown, other}) == 4


def test_the_same_original_gives_the_same_bytes_and_another_secret_others(small: Pixels) -> None:
    source = dicom(small)
    assert made_of(source, ALL) == made_of(source, ALL)
    one, other = read(made_of(source)), read(made_of(source, secret="another secret, long enough"))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[keyword].value != other[keyword].value


def test_the_time_between_the_studies_of_a_patient_stays(small: Pixels) -> None:
    first, second, elsewhere = (
        read(made_of(dicom(small, StudyTime="101112", **SERIES | elements), ALL))
        for elements in (
            {},
            {"StudyDate": "20180105"},
            {"PatientID": "Ashgr-9"},
        )
    )
    dates = [
        datetime.datetime.strptime(one.StudyDate, "%Y%m%d") for one in (first, second, elsewhere)
    ]
    assert dates[1] - dates[0] == datetime.date(2018, 1, 5) - datetime.date(2017, 8, 2)
    assert first.StudyDate != "20170802"
    assert dates[2] != dates[0], "each patient's dates are moved by another number of days"
    assert first.StudyTime == "101112"


def test_options_keep_what_they_say(small: Pixels) -> None:
    elements = {
        "PatientSex": "F",
        "PatientAge": "004Y",
        "Manufacturer": "Müller & Co",
        "DeviceSerialNumber": "S-77",
    }
    bare = read(made_of(dicom(small, **elements)))
    assert not any(bare.get(keyword) for keyword in elements)
    kept = read(made_of(dicom(small, **elements), ALL))
    assert {keyword: kept[keyword].value for keyword in elements} == elements


def test_a_value_that_a_person_could_have_typed_is_left_out(small: Pixels) -> None:
    elements = {
        "PatientSex": "ADA",
        "PatientAge": "ADA",
        "Laterality": "ADA",
        "ViewPosition": "ADA",
        "PatientOrientation": ["L", "ADA"],
        "StudyDate": "ADA",
        "StudyTime": "ADA",
    }
    result = read(made_of(dicom(small, **elements), ALL))
    assert not any(result.get(keyword) for keyword in elements)
    assert b"ADA" not in made_of(dicom(small, **elements), ALL)
