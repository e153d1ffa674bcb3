"""xray.airflow.jobs.checkpoint, on an S3 server"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import KEYRING, SECRET
from tests.support.audit_records import BUCKET, CASE, SECRETS, failure
from xray import audit
from xray.airflow.jobs import checkpoint as job
from xray.audit import verification
from xray.errors import ConflictError, ObjectError
from xray.storage import ObjectStore

LANDING = "xray-data-in"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is an hour later each time."""

    class Clock(datetime):
        moment = datetime(2026, 11, 26, 14, tzinfo=UTC)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            cls.moment += timedelta(hours=1)
            return cls.moment

    monkeypatch.setattr(verification, "datetime", Clock)


@pytest.fixture
def trail(s3: Any, store: ObjectStore) -> None:
    """Three records of one case."""
    for number in range(3):
        audit.append(store, BUCKET, CASE, failure(f"fetch:{number}"), SECRETS)


def names(store: ObjectStore) -> list[str]:
    return [entry.key for entry in store.list(BUCKET, audit.CHECKPOINTS)]


def test_a_checkpoint_is_written_once(trail: None, store: ObjectStore) -> None:
    result = job.checkpoint(LANDING, store, KEYRING.secrets)
    assert names(store) == ["checkpoints/20261126T150000Z.json"]
    (name,) = names(store)
    assert (result["checkpoint"], result["records"], result["cases"]) == (name, 3, 1)
    data = store.get(BUCKET, name).data
    assert json.loads(data)["root"] == result["root"]
    assert audit.verify(audit.objects(store, BUCKET), SECRETS, data) == audit.Verdict(
        3, 1, (), checkpoints=1
    )
    job.checkpoint(LANDING, store, KEYRING.secrets)
    assert len(names(store)) == 2


def test_a_checkpoint_is_never_replaced(trail: None, store: ObjectStore, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="checkpoints/20261126T150000Z.json", Body=b"another")
    with pytest.raises(ConflictError):
        job.checkpoint(LANDING, store, KEYRING.secrets)


def test_what_was_removed_since_the_last_checkpoint_is_told(
    trail: None, store: ObjectStore
) -> None:
    job.checkpoint(LANDING, store, KEYRING.secrets)
    store.delete(BUCKET, f"{CASE}/00003.json")
    with pytest.raises(ObjectError, match=r"has problems \(1\): list them with python -m"):
        job.checkpoint(LANDING, store, KEYRING.secrets)
    _, second = names(store)
    made = audit.read_checkpoint(store.get(BUCKET, second).data, SECRETS)
    assert (made.problems, made.records) == (1, 2), "the checkpoint is written nevertheless"


def test_no_name_of_a_file_is_told(trail: None, store: ObjectStore, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="checkpoints/Ada.txt", Body=b"")
    with pytest.raises(ObjectError) as caught:
        job.checkpoint(LANDING, store, KEYRING.secrets)
    assert "Ada" not in str(caught.value)


def test_the_task_takes_bucket_and_secrets_from_the_deployment(
    trail: None, s3_connection: Any, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setattr(job, "get_current_context", lambda: {"params": {"bucket": LANDING}})
    assert job.write_checkpoint.function()["checkpoint"] in names(store)
