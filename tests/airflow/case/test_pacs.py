"""Results that are sent to a real PACS, Orthanc, by the connection ``xray_pacs``."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from include.servers.real.orthanc import Orthanc
from tests.case.test_quarantine import decide, request_of
from tests.support import KEYRING
from tests.support.cases import (
    BUCKET,
    carried,
    objects,
    published,
    run_case,
    run_steps,
    upload,
)
from tests.support.dicom_files import SECRET as NAME
from tests.support.dicom_files import dicom
from tests.support.programs import need_orthanc
from xray import audit
from xray.airflow import connections
from xray.airflow.deployment import configured
from xray.airflow.deployment.table import Mark
from xray.case import Decision, Work, ending, publish, quarantine
from xray.errors import BlockedError, TransientError
from xray.image import decode
from xray.settings import Outputs, Policy, Settings
from xray.storage import ObjectStore


@pytest.fixture
def pacs(real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orthanc]:
    """Start an empty Orthanc, to which the connection leads."""
    need_orthanc(real)
    with Orthanc(tmp_path / "orthanc") as server:
        monkeypatch.setenv("AIRFLOW_CONN_XRAY_PACS", server.connection)
        yield server


@pytest.fixture
def original(demo_images: list[Path]) -> bytes:
    """A DICOM image with pneumonia, of a person with a name."""
    sick = next(path for path in demo_images if "Bruno" in path.name)
    return dicom(np.asarray(decode(sick.read_bytes()).pixels.convert("L")))


@pytest.fixture
def case(s3: Any, store: ObjectStore, original: bytes) -> Callable[..., Work]:
    """Return a function that returns the case of the DICOM image, with these settings.

    The image is anonymised only if that goes to the PACS, because a redaction takes seconds.
    """

    def work(outputs: Outputs, **settings: Any) -> Work:
        wanted = outputs is Outputs.ANONYMIZED_TO_PACS
        policy = Policy.ALWAYS if wanted else Policy.NEVER
        return dataclasses.replace(
            upload(s3, store, original),
            settings=Settings(outputs=outputs, anonymize=policy, **settings),
            request_to_pacs=connections.request_to_pacs,
        )

    return work


def last_record(work: Work) -> dict[str, Any]:
    return audit.records(work.store, work.buckets.audit, work.case_id, KEYRING.secrets)[-1]


def later_than(work: Work) -> Work:
    """A later case of the same object, which sends nothing."""
    source = dataclasses.replace(work.source, event_time="2026-01-02T00:00:00Z")
    settings = dataclasses.replace(work.settings, outputs=Outputs.BUCKETS)
    return dataclasses.replace(work, source=source, settings=settings, token="run-2:store:6")


def in_bucket(s3: Any, suffix: str) -> bytes:
    """The bytes of the one DICOM image in a bucket."""
    found = objects(s3, f"{BUCKET}-{suffix}")
    (data,) = (data for key, (data, *_) in found.items() if key.endswith((".dcm", ".jpeg")))
    return data


def test_the_annotated_image_is_in_the_study_of_the_original(
    s3: Any, pacs: Orthanc, case: Callable[..., Work], original: bytes
) -> None:
    work = case(Outputs.ANNOTATED_TO_PACS)
    run_case(work)
    (received,) = pacs.files()
    assert received == in_bucket(s3, "processed")
    header, source = (pydicom.dcmread(io.BytesIO(data)) for data in (received, original))
    assert header.StudyInstanceUID == source.StudyInstanceUID
    assert header.SeriesInstanceUID != source.SeriesInstanceUID
    assert last_record(work)["sent"] == [
        {
            "instance": header.SOPInstanceUID,
            "sha256": next(
                output["sha256"]
                for output in last_record(work)["outputs"]
                if output["bucket"].endswith("-processed")
            ),
            "size": len(received),
        }
    ]
    run_case(dataclasses.replace(work, token="run-1:store:7"))
    assert pacs.files() == [received], "a rerun stores nothing twice"


def test_the_structured_report_goes_with_the_annotated_image(
    s3: Any, pacs: Orthanc, case: Callable[..., Work]
) -> None:
    work = case(Outputs.ANNOTATED_TO_PACS, structured_report=True)
    run_case(work)
    stored = {data for data, *_ in objects(s3, f"{BUCKET}-processed").values()}
    assert set(pacs.files()) == stored
    assert len(stored) == 2
    assert len(last_record(work)["sent"]) == 2
    (study,) = pacs.rest("studies?expand")
    modalities = {
        pacs.rest(f"series/{name}")["MainDicomTags"]["Modality"] for name in study["Series"]
    }
    assert modalities == {"DX", "SR"}


def test_the_anonymised_image_names_nobody_in_the_pacs(
    s3: Any, pacs: Orthanc, case: Callable[..., Work]
) -> None:
    work = case(Outputs.ANONYMIZED_TO_PACS)
    run_case(work)
    (received,) = pacs.files()
    assert received == in_bucket(s3, "anonymized")
    (patient,) = pacs.rest("patients?expand")
    assert NAME not in json.dumps(patient)
    assert NAME.encode() not in received
    (sent,) = last_record(work)["sent"]
    assert sent["instance"] == pydicom.dcmread(io.BytesIO(received)).SOPInstanceUID


def test_an_image_goes_from_quarantine_to_the_pacs_when_it_is_released(
    s3: Any, pacs: Orthanc, case: Callable[..., Work], unredactable: None
) -> None:
    work = case(Outputs.ANONYMIZED_TO_PACS)
    outcome = run_case(work)
    assert outcome.decision is Decision.QUARANTINED
    assert pacs.files() == []
    assert "sent" not in last_record(work)
    decide(*request_of(work), quarantine.RELEASE_AS_IT_IS, [])
    assert pacs.files() == [in_bucket(s3, "anonymized")]
    assert len(last_record(work)["sent"]) == 1


def test_nothing_is_published_while_the_pacs_is_away(
    s3: Any, pacs: Orthanc, case: Callable[..., Work]
) -> None:
    work = case(Outputs.ANNOTATED_TO_PACS)
    pinned, scored, annotated, anonymized = run_steps(work)
    work = carried(work, pinned)
    pacs.kill()
    with pytest.raises(TransientError, match="does not answer"):
        publish.store(work, pinned, scored, annotated, anonymized)
    assert work.manifest.read()[0].outputs == ()
    pacs.start()
    outcome = publish.store(work, pinned, scored, annotated, anonymized)
    assert outcome.decision is Decision.PUBLISHED
    assert pacs.files() == [in_bucket(s3, "processed")]


def test_what_was_sent_before_a_failure_is_on_record(
    s3: Any, pacs: Orthanc, case: Callable[..., Work]
) -> None:
    """The PACS takes the image, and goes away before the report."""
    work = case(Outputs.ANNOTATED_TO_PACS, structured_report=True)
    sent = 0

    def only_one(*arguments: Any) -> Any:
        nonlocal sent
        if sent:
            pacs.kill()
        sent += 1
        return connections.request_to_pacs(*arguments)

    work = dataclasses.replace(work, request_to_pacs=only_one)
    pinned, scored, annotated, anonymized = run_steps(work)
    work = carried(work, pinned)
    with pytest.raises(TransientError) as raised:
        publish.store(work, pinned, scored, annotated, anonymized)
    ending.abandon(work, raised.value, pinned)
    pacs.start()
    (received,) = pacs.files()
    record = last_record(work)
    assert record["outcome"] == audit.FAILED
    assert [one["size"] for one in record["sent"]] == [len(received)]
    assert published(s3) == [{}, {}]


def test_a_case_that_is_taken_over_while_it_sends_has_it_on_record(
    pacs: Orthanc, case: Callable[..., Work]
) -> None:
    work = case(Outputs.ANNOTATED_TO_PACS)

    def meanwhile(*arguments: Any) -> Any:
        answer = connections.request_to_pacs(*arguments)
        run_case(later_than(work))
        return answer

    outcome = run_case(dataclasses.replace(work, request_to_pacs=meanwhile))
    assert outcome.decision is Decision.SUPERSEDED
    assert len(pacs.files()) == 1
    assert len(last_record(work)["sent"]) == 1


def test_a_refused_login_blocks_the_case_and_leaves_nothing(
    s3: Any, pacs: Orthanc, case: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {**json.loads(pacs.connection), "password": "not the password"}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_PACS", json.dumps(wrong))
    with pytest.raises(BlockedError, match="refuses the login"):
        run_case(case(Outputs.ANNOTATED_TO_PACS))
    assert published(s3) == [{}, {}]
    assert pacs.files() == []


def test_a_case_that_was_taken_over_sends_nothing(pacs: Orthanc, case: Callable[..., Work]) -> None:
    work = case(Outputs.ANNOTATED_TO_PACS)
    pinned, scored, annotated, anonymized = run_steps(work)
    run_case(later_than(work))
    outcome = publish.store(carried(work, pinned), pinned, scored, annotated, anonymized)
    assert outcome.decision is Decision.SUPERSEDED
    assert pacs.files() == []


def test_results_of_other_formats_are_not_sent(
    s3: Any, store: ObjectStore, pacs: Orthanc, demo_images: list[Path]
) -> None:
    work = upload(s3, store, demo_images[0].read_bytes())
    ways = (
        (Outputs.ANNOTATED_TO_PACS, Policy.NEVER),
        (Outputs.ANONYMIZED_TO_PACS, Policy.ALWAYS),
    )
    for number, (outputs, policy) in enumerate(ways):
        changed = dataclasses.replace(
            work,
            settings=Settings(outputs=outputs, anonymize=policy),
            request_to_pacs=connections.request_to_pacs,
            token=f"run-1:store:{number}",
        )
        run_case(changed)
    assert pacs.files() == []


def test_the_check_of_a_deployment_asks_the_pacs(
    pacs: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(configured.pacs_answers()) == [], "no results go there"
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"outputs": "annotated_to_pacs"}')
    (answer,) = configured.pacs_answers()
    assert answer.mark is Mark.WELL
    monkeypatch.delenv("AIRFLOW_CONN_XRAY_PACS")
    with pytest.raises(BlockedError, match="not defined"):
        list(configured.pacs_answers())
