"""xray.web.app: the pictures, for whom, and when"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.support import ROOT
from xray.airflow.addresses import PLUGIN_PREFIX
from xray.case import Buckets, review
from xray.web.app import app, may_see_cases

BUCKET = "xray-data-in"
CASE_ID = "0123456789abcdef" * 2


@pytest.fixture
def client(s3_connection: Any) -> Iterator[TestClient]:
    """A client of a user who may see cases."""
    app.dependency_overrides[may_see_cases] = lambda: None
    with TestClient(app) as client:
        yield client
    app.dependency_overrides.clear()


def test_every_route_asks_for_the_login() -> None:
    assert [one.dependency for one in app.router.dependencies] == [may_see_cases]
    assert {route.path for route in app.routes} == {
        "/preview/{bucket}/{case_id}",
        "/quarantine/{bucket}/{case_id}",
    }
    for route in app.routes:
        assert may_see_cases in [one.dependency for one in route.dependencies]


def test_the_plugin_mounts_the_app_where_the_addresses_say() -> None:
    text = (ROOT / "plugins" / "xray_plugin.py").read_text()
    assert f'"url_prefix": "{PLUGIN_PREFIX}"' in text


def test_a_preview_is_served_until_the_case_goes_on(client: TestClient, s3: Any) -> None:
    address = f"/preview/{BUCKET}/{CASE_ID}"
    missing = client.get(address)
    assert (missing.status_code, missing.json()) == (
        404,
        {"detail": "This case does not wait for a person."},
    )
    key = review.preview_key(CASE_ID)
    s3.put_object(Bucket=Buckets(BUCKET).staging, Key=key, Body=b"a picture")
    picture = client.get(address)
    assert (picture.status_code, picture.content) == (200, b"a picture")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["cache-control"] == "no-store"


def test_a_quarantined_image_is_served_until_it_is_decided_on(
    client: TestClient, s3: Any, chest: Image.Image, as_bytes: Callable[..., bytes]
) -> None:
    address = f"/quarantine/{BUCKET}/{CASE_ID}"
    assert client.get(address).status_code == 404
    content = as_bytes(chest, "PNG")
    s3.put_object(Bucket=Buckets(BUCKET).quarantine, Key=f"{CASE_ID}/image.png", Body=content)
    picture = client.get(address)
    assert picture.status_code == 200
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"


@pytest.mark.parametrize(
    "address", [f"/preview/{BUCKET}/x", f"/preview/..%2F../{CASE_ID}", f"/quarantine/A/{CASE_ID}"]
)
def test_no_other_object_can_be_named(client: TestClient, address: str) -> None:
    assert client.get(address).status_code in (404, 422)


def test_a_store_that_is_down_is_no_missing_picture(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        "conn_type": "aws",
        "login": "demo",
        "password": "demo-password",
        "extra": {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    assert client.get(f"/preview/{BUCKET}/{CASE_ID}").status_code == 503
