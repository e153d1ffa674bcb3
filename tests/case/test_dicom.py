"""Cases of DICOM images: what is published of them, on an S3 server"""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.case.test_quarantine import decide, held, request_of
from tests.support import KEYRING, SECRET
from tests.support.cases import BUCKET, KEY, objects, published, run_case, upload
from tests.support.dicom_files import SECRET as NAME
from tests.support.dicom_files import dicom, file_bytes
from xray.case import Work, quarantine
from xray.case.known import Kind, look_up
from xray.image import decode
from xray.pseudonym import Keyring
from xray.redaction import certificate_problem
from xray.settings import DicomForm, Policy, Settings
from xray.storage import ObjectStore

ALWAYS = Settings(anonymize=Policy.ALWAYS)


@pytest.fixture
def work(s3: Any, store: ObjectStore, sick: bytes) -> Work:
    """A case on a DICOM image."""
    pixels = np.asarray(decode(sick).pixels.convert("L"))
    data = dicom(pixels, StudyDate="20170802", PatientSex="F")
    return dataclasses.replace(upload(s3, store, data), settings=ALWAYS)


def with_settings(work: Work, token: str, **changes: Any) -> Work:
    return dataclasses.replace(
        work, settings=Settings(anonymize=Policy.ALWAYS, **changes), token=token
    )


def anonymized(s3: Any) -> tuple[str, bytes]:
    """The key and the bytes of the anonymised image, whose certificate holds."""
    found = objects(s3, f"{BUCKET}-anonymized")
    (key,) = (key for key in found if not key.endswith(".json"))
    data, kind, _ = found[key]
    assert certificate_problem(data, found[f"{key}.json"][0], KEYRING.secrets) is None
    assert kind == decode(data).format.content_type
    return key, data


def header(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def test_an_anonymised_dicom_image_is_dicom_and_names_nobody(s3: Any, work: Work) -> None:
    run_case(work)
    key, data = anonymized(s3)
    assert key.endswith(".dcm")
    for word in (NAME, "5120", "1948", "20170802", "A77", "1.2.3"):
        assert word.encode() not in data
    assert header(data).PatientIdentityRemoved == "YES"
    assert not header(data).StudyDate
    assert not header(data).PatientSex
    ((identified, *_),) = objects(s3, f"{BUCKET}-processed").values()
    assert header(identified).StudyInstanceUID == "1.2.3"
    before = published(s3)
    run_case(dataclasses.replace(work, token="store:7"))
    assert published(s3) == before, "a rerun gives the same bytes"


def test_a_structured_report_is_beside_the_annotated_image(s3: Any, work: Work) -> None:
    run_case(with_settings(work, "store:6", structured_report=True))
    found = objects(s3, f"{BUCKET}-processed")
    (key,) = (key for key in found if "-report" in key)
    data, kind, metadata = found[key]
    assert kind == "application/dicom"
    assert metadata["label"] == "Pneumonia"
    report, source = header(data), header(work.store.get(BUCKET, KEY).data)
    assert report.StudyInstanceUID == source.StudyInstanceUID
    known = look_up(work.store, BUCKET, work.case_id, KEYRING)
    assert set(known.pictures()) == {Kind.ORIGINAL, Kind.ANNOTATED, Kind.ANONYMIZED}
    run_case(with_settings(work, "store:7", structured_report=True))
    assert objects(s3, f"{BUCKET}-processed") == found, "a rerun gives the same bytes"
    run_case(with_settings(work, "store:8"))
    assert key not in objects(s3, f"{BUCKET}-processed"), "without the setting, it is gone"


def test_an_image_without_uids_has_no_report(s3: Any, store: ObjectStore, work: Work) -> None:
    dataset = header(work.store.get(BUCKET, KEY).data)
    del dataset.SeriesInstanceUID
    settings = Settings(structured_report=True, anonymize=Policy.NEVER)
    run_case(dataclasses.replace(upload(s3, store, file_bytes(dataset)), settings=settings))
    (key,) = objects(s3, f"{BUCKET}-processed")
    assert "-processed" in key


def test_settings_keep_dates_and_characteristics(s3: Any, work: Work) -> None:
    run_case(with_settings(work, "store:7", retain_dates=True, retain_characteristics=True))
    result = header(anonymized(s3)[1])
    assert result.PatientSex == "F"
    assert result.StudyDate < "20170802"
    codes = [code.CodeValue for code in result.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113107", "113108"]


def test_png_is_a_setting_and_replaces_the_dicom_of_before(s3: Any, work: Work) -> None:
    run_case(work)
    run_case(with_settings(work, "store:7", anonymized_dicom=DicomForm.PNG))
    key, data = anonymized(s3)
    assert key.endswith(".png")
    assert data.startswith(b"\x89PNG")
    assert len(objects(s3, f"{BUCKET}-anonymized")) == 2, "the image and its certificate"


def test_a_new_secret_gives_other_identifiers(s3: Any, work: Work) -> None:
    run_case(work)
    before = header(anonymized(s3)[1])
    keyring = Keyring(("another secret, newer and long enough", SECRET))
    run_case(dataclasses.replace(work, keyring=keyring, token="store:7"))
    found = objects(s3, f"{BUCKET}-anonymized")
    (data,) = (data for key, (data, *_) in found.items() if key.endswith(".dcm"))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert header(data)[keyword].value != before[keyword].value


@pytest.mark.parametrize(
    ("choice", "boxes"),
    [(quarantine.RELEASE_AS_IT_IS, []), (quarantine.MASK, [(100, 100, 300, 200)])],
)
def test_what_a_person_releases_is_dicom_of_the_same_patient(
    s3: Any, work: Work, unredactable: None, choice: str, boxes: Any
) -> None:
    run_case(work)
    ((withheld, *_),) = held(s3).values()
    assert NAME.encode() not in withheld
    decide(*request_of(work), choice, boxes)
    key, data = anonymized(s3)
    assert key.endswith(".dcm")
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "DeidentificationMethod"):
        assert header(data)[keyword].value == header(withheld)[keyword].value
    assert header(data).SOPInstanceUID != header(withheld).SOPInstanceUID
    before, after = (
        np.asarray(decode(one).pixels.crop((100, 100, 300, 200)), int) for one in (withheld, data)
    )
    assert bool(np.abs(before - after).max() > 3) is bool(boxes)
