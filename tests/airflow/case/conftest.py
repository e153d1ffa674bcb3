"""The connections and Variables that a task of a case needs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import SECRET
from tests.support.fake_api import FakeApi


@pytest.fixture
def connected(s3: Any, s3_endpoint: str, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The S3 client, once Airflow has connections to the S3 server and the API server."""
    storage = {
        "conn_type": "aws",
        "login": "demo",
        "password": "demo-password",
        "extra": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    host, port = api.server.server_address[:2]
    service = {"conn_type": "http", "host": host, "port": port, "login": "xray"}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(storage))
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_API", json.dumps({**service, "password": "right"}))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    return s3
