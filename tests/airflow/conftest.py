"""An API server, and a deployment on it and on a broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import Variable

from tests.support import SECRET
from tests.support.deployment import Deployment
from tests.support.fake_api import FakeApi


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """An API server of the test's own."""
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def deployment(
    brokers: str, api: FakeApi, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Deployment:
    """A topic on the broker, and connections to the broker and the API server."""
    topic = "".join(c if c.isalnum() else "-" for c in request.node.name)
    kafka = {
        "bootstrap.servers": brokers,
        "group.id": f"g-{topic}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # The embedded broker removes a member that has left only after its session timeout.
        "session.timeout.ms": 6000,
    }
    host, port = api.server.server_address[:2]
    service = {"conn_type": "http", "host": host, "port": port, "login": "xray"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_XRAY_KAFKA", json.dumps({"conn_type": "kafka", "extra": kafka})
    )
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_API", json.dumps({**service, "password": "right"}))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    monkeypatch.setattr("xray.airflow.store_check.check", lambda _: None)
    monkeypatch.setattr("xray.airflow.listener.listener.PAUSE_AFTER", 0.05)
    monkeypatch.setattr("xray.airflow.listener.listener.WATCH_SECONDS", 0.1)
    monkeypatch.setattr("xray.airflow.listener.backoff.LONGEST_PAUSE", 1.0)
    return Deployment(brokers, topic)


@pytest.fixture
def connected(s3_connection: Any, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The S3 client, once Airflow has connections to the S3 server and the API server."""
    host, port = api.server.server_address[:2]
    service = {"conn_type": "http", "host": host, "port": port, "login": "xray"}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_API", json.dumps({**service, "password": "right"}))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    return s3_connection


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The Variables that were written, which are also read."""
    written: dict[str, Any] = {}
    get = Variable.get

    def read(key: str, default: Any = None, **options: Any) -> Any:
        return written[key] if key in written else get(key, default=default, **options)

    monkeypatch.setattr(Variable, "get", read)
    monkeypatch.setattr(Variable, "set", lambda key, value, **_: written.update({key: value}))
    return written
