"""xray.airflow.store_check: what the store lacks is said, and a failure is never raised"""

from __future__ import annotations

import json
from typing import Any

import pytest

from xray.airflow import store_check
from xray.case import Buckets

BUCKETS = Buckets("xray-data-in")


def test_a_store_that_lacks_nothing(s3_connection: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "xray")
    s3_connection.put_object(Bucket=BUCKETS.audit, Key="a record", Body=b"{}")
    found = store_check.check(BUCKETS.landing)
    assert found is not None
    assert set(found) == {BUCKETS.manifests, BUCKETS.audit}
    assert all(all(conditions.values()) for conditions in found.values())
    (record,) = [record for record in caplog.records if record.name == store_check.__name__]
    assert record.levelname == "INFO"
    assert "honours all conditional requests" in record.getMessage()


def test_what_a_store_lacks_is_a_warning_each(
    s3_connection: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xray.conditions.sentences", lambda *_: ["one", "two"])
    monkeypatch.setattr("xray.conditions.audit_sentences", lambda *_: ["three"])
    assert store_check.check(BUCKETS.landing) is not None
    said = [record for record in caplog.records if record.name == store_check.__name__]
    assert [record.getMessage() for record in said] == ["one", "two", "three"]
    assert {record.levelname for record in said} == {"WARNING"}


def test_a_store_that_is_away_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    connection = {"conn_type": "aws", "login": "a", "password": "b", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    assert store_check.check(BUCKETS.landing) is None
    assert "could not be tried. The store did not answer" in caplog.text


def test_an_unexpected_error_is_a_warning_without_its_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(store_check.connections, "object_store", broken)
    assert store_check.check(BUCKETS.landing) is None
    assert "could not be tried. Unexpected ValueError." in caplog.text
    assert "a secret" not in caplog.text
