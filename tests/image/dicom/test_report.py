"""xray.image.dicom.report: the structured report says what the annotated image says."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from tests.support.dicom_files import DX, NAME, SECRET, VARIANTS, Pixels, dataset, dicom, file_bytes
from tests.support.programs import dicom_errors
from xray.image import decode
from xray.image.dicom.report import write_report
from xray.settings import Label

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PIXELS = np.zeros((64, 64), np.uint8)


def report(data: bytes | None = None, label: Label = Label.PNEUMONIA, **changes: Any) -> bytes:
    """A report about an image."""
    values = {"risk": 0.93124, "model": "model-1", "caption": "Pneumonia, risk=93.12%", "at": AT}
    source = decode(data or dicom(PIXELS))
    written = write_report(source.header, label, **(values | changes))
    assert written
    return written


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def items(dataset: Dataset) -> dict[str, Any]:
    """The items of the tree by the meaning of their names: code, number or text."""
    found = {}
    for item in dataset.get("ContentSequence", ()):
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        if item.ValueType == "CODE":
            found[name] = item.ConceptCodeSequence[0].CodeMeaning
        elif item.ValueType == "NUM":
            found[name] = float(item.MeasuredValueSequence[0].NumericValue)
        elif item.ValueType in ("TEXT", "UIDREF"):
            found[name] = item.get("TextValue") or item.get("UID")
        found |= items(item)
    return found


def test_the_report_says_what_the_annotated_image_says() -> None:
    data = report()
    result, tree = read(data), items(read(data))
    assert result.SOPClassUID == uid.ComprehensiveSRStorage
    assert result.Modality == "SR"
    assert tree["Finding"] == "Pneumonia"
    assert tree["Presence"] == "Present"
    assert tree["Certainty of Finding"] == 93.12
    assert tree["Comment"] == "Pneumonia, risk=93.12%"
    assert tree["Device Observer Model Name"] == tree["Algorithm Version"] == "model-1"
    assert result.VerificationFlag == "UNVERIFIED"
    (template,) = highdicom.sr.srread(io.BytesIO(data)).content.get_image_measurement_groups()
    assert template.finding_type.value == "233604007"


@pytest.mark.parametrize(
    ("label", "presence"), [(Label.NORMAL, "Absent"), (Label.UNSURE, "Indeterminate")]
)
def test_the_label_is_the_presence(label: Label, presence: str) -> None:
    assert items(read(report(label=label)))["Presence"] == presence


def test_a_refused_image_has_no_certainty() -> None:
    tree = items(read(report(label=Label.UNSURE, refused=True, caption="Unsure, upside down")))
    assert "Certainty of Finding" not in tree
    assert tree["Comment"] == "Unsure, upside down"


def test_the_report_is_in_the_study_of_its_image() -> None:
    result = read(report())
    assert (result.StudyInstanceUID, str(result.PatientName)) == ("1.2.3", NAME)
    assert result.SeriesInstanceUID != "1.2.3.5"
    (study,) = result.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (image,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.3", "1.2.3.5")
    assert (image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID) == (DX, "1.2.3.4")
    assert "PatientComments" not in result
    assert not any(element.tag.is_private for element in result)


def test_equal_arguments_give_equal_bytes() -> None:
    assert report() == report(at=AT.astimezone(timezone(timedelta(hours=5))))
    assert read(report()).ContentTime == "050607"
    for change in ({"caption": "Pneumonia, risk=93.13%"}, {"model": "model-2"}):
        assert read(report()).SOPInstanceUID != read(report(**change)).SOPInstanceUID


@pytest.mark.parametrize("way", ["8 bit", "colour", "CR", "secondary capture"])
def test_a_validator_finds_no_error(chest8: Pixels, real: bool, way: str) -> None:
    for options in ({}, {"refused": True, "label": Label.UNSURE}):
        assert dicom_errors(report(VARIANTS[way](chest8), **options), real) == []


def test_values_that_break_a_rule_are_kept_as_the_annotated_image_keeps_them(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    data = dicom(PIXELS, PatientID="5" * 100, PatientBirthDate="unknown", StudyTime="noon")
    result = read(report(data))
    assert (result.PatientID, result.StudyTime) == ("5" * 100, "noon")
    assert not recwarn.list
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "missing", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_an_image_without_uids_has_no_report(missing: str) -> None:
    source = dataset(PIXELS)
    header = decode(file_bytes(source)).header
    delattr(header, missing)
    assert write_report(header, Label.NORMAL, 0.1, model="m", caption="c", at=AT) is None
