"""xray.airflow.deployment.sent: the way of a synthetic image, and its removal"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.deployment.conftest import BUCKETS, refuses
from tests.support import KEYRING
from tests.support.cases import case, run_case
from tests.support.fake_airflow import FakeAirflow
from xray.airflow.deployment import sent
from xray.case import Source
from xray.image import decode
from xray.redaction import redact
from xray.risk import RiskModel
from xray.storage import ObjectStore

Checked = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def listening(deployed: Any, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The S3 client of a deployment in which each upload becomes a case, which ends at once."""
    monkeypatch.setattr(sent, "PAUSE", 0.05)
    done: set[str] = set()

    def listen() -> None:
        for item in deployed.list_objects_v2(Bucket=BUCKETS.landing).get("Contents", ()):
            if item["Key"] in done:
                continue
            done.add(item["Key"])
            source = Source(
                bucket=BUCKETS.landing,
                key=item["Key"],
                etag=item["ETag"].strip('"'),
                event_time="2026-01-01T00:00:00Z",
            )
            work = case(ObjectStore(deployed), source)
            run_case(work)
            run_id = source.run_id(KEYRING)
            airflow.runs[run_id] = source.to_conf(KEYRING)
            airflow.dags[run_id], airflow.states[run_id] = "xray_case", "success"

    airflow.listen = listen
    return deployed


def everything(s3: Any) -> dict[str, list[str]]:
    """The keys of the objects in each bucket."""
    return {
        bucket: [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        for bucket in (BUCKETS.landing, *BUCKETS.outputs())
    }


def test_the_image_shows_a_chest_and_nothing_else() -> None:
    picture = decode(sent.CHEST.read_bytes())
    prediction = RiskModel.load().predict(picture.eight_bit())
    assert prediction.refused is None
    assert prediction.risk > 0.8, "it goes the whole way: Pneumonia is anonymised"
    assert sent.CHEST.stat().st_size < 10_000
    redaction = redact(picture.eight_bit())
    assert not redaction.boxes


def test_the_way_of_the_image_and_nothing_is_left(listening: Any, checked: Checked) -> None:
    status, found = checked("--send", "--seconds", "60")
    assert status == 0, found
    assert "s." in found["image's run"]["sentence"]
    result = found["image's result"]["sentence"]
    assert "Pneumonia, risk=" in result
    assert "published and anonymised" in result
    assert found["image removed"]["result"] == "well"
    left = everything(listening)
    (record,) = left.pop(BUCKETS.audit)
    assert {bucket: keys for bucket, keys in left.items() if keys} == {}
    body = listening.get_object(Bucket=BUCKETS.audit, Key=record)["Body"].read()
    assert b"xray-check/" not in body


def test_the_image_is_kept_on_request(listening: Any, checked: Checked, tmp_path: Path) -> None:
    file = tmp_path / "Ada Ashgrove.jpeg"
    file.write_bytes(sent.CHEST.read_bytes())
    status, found = checked("--send", "--keep", "--image", str(file))
    assert status == 0
    assert "--keep" in found["image removed"]["sentence"]
    ((key,), (processed,)) = (everything(listening)[name] for name in BUCKETS_SEEN)
    assert key.startswith("xray-check/")
    assert key.endswith(".jpeg")
    assert "Ada" not in key + processed


BUCKETS_SEEN = (BUCKETS.landing, BUCKETS.processed)


def test_nothing_is_sent_without_what_it_needs(
    deployed: Any, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_XRAY_API")
    status, found = checked("--send")
    assert status == 1
    assert found["image"]["sentence"] == "Not sent, because of: connection xray_api."
    assert everything(deployed)[BUCKETS.landing] == []


def test_an_upload_that_is_refused(
    deployed: Any, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses(monkeypatch, ("PutObject", BUCKETS.landing))
    status, found = checked("--send")
    assert status == 1
    assert f"writing to {BUCKETS.landing}" in found["image"]["sentence"]


def test_nobody_listens(deployed: Any, checked: Checked) -> None:
    status, found = checked("--send", "--seconds", "0.2")
    assert status == 1
    assert found["image's run"]["result"] == "problem"
    assert "log of listen_1" in found["image's run"]["sentence"]
    assert found["image removed"]["result"] == "well"
    assert {bucket: keys for bucket, keys in everything(deployed).items() if keys} == {}


@pytest.mark.parametrize(
    ("state", "sentence"), [("failed", "It failed after"), ("queued", "whether workers run")]
)
def test_a_case_that_does_not_succeed(
    deployed: Any,
    airflow: FakeAirflow,
    checked: Checked,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    sentence: str,
) -> None:

    def listen() -> None:
        for item in deployed.list_objects_v2(Bucket=BUCKETS.landing).get("Contents", ()):
            etag = item["ETag"].strip('"')
            source = Source(bucket=BUCKETS.landing, key=item["Key"], etag=etag)
            run_id = source.run_id(KEYRING)
            airflow.runs[run_id], airflow.states[run_id] = source.to_conf(KEYRING), state

    airflow.listen = listen
    monkeypatch.setattr(sent, "PAUSE", 0.05)
    status, found = checked("--send", "--seconds", "3")
    assert status == 1
    assert sentence in found["image's case"]["sentence"]


def test_an_output_that_is_missing(listening: Any, airflow: FakeAirflow, checked: Checked) -> None:
    listen = airflow.listen

    def then_lose() -> None:
        listen()
        for key in everything(listening)[BUCKETS.processed]:
            listening.delete_object(Bucket=BUCKETS.processed, Key=key)

    airflow.listen = then_lose
    status, found = checked("--send", "--seconds", "60")
    assert status == 1
    assert "are not in the store" in found["image's result"]["sentence"]
