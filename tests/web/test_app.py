"""xray.web.app: the pictures, for whom, and when"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.requests import ClientDisconnect

from tests.support import ROOT
from xray.airflow import connections
from xray.airflow.addresses import CASES, PLUGIN_PREFIX, RUN, WAITING
from xray.case import Buckets, pictures
from xray.case.pictures import View, picture_name
from xray.image import Format, Picture
from xray.storage import ObjectStore
from xray.web.app import app, may_see_cases

BUCKET = "xray-data-in"
CASE_ID = "0123456789abcdef" * 2
CHUNK = b"\x5a" * 2**18
CHUNKS = 200
"""Of the large picture: 50 MB."""
GONE = "This picture is no longer there: the form that showed it was answered or withdrawn."
HEAVY = ("PIL", "cv2", "numpy", "onnxruntime", "pydicom")
IMPORTED = f"""
import sys
from fastapi.testclient import TestClient
from xray.web.app import app
from airflow.api_fastapi.core_api import security
from xray.web import rights, viewed
for right in (rights.may_see_cases, rights.may_see_images):
    app.dependency_overrides[right] = lambda: None
app.dependency_overrides[security.get_user] = lambda: None
viewed.log.record = lambda *view: None
answer = TestClient(app).get("/review/{BUCKET}/{CASE_ID}/1/full")
print(answer.status_code, answer.content == b"a picture")
print([name for name in {HEAVY!r} if name in sys.modules])
"""
"""Serves a picture, and prints which heavy packages were imported for it."""


@pytest.fixture
def client(logged_in: Any, views: Any) -> TestClient:
    """A client of a user who may see images."""
    opened: TestClient = logged_in("user")
    return opened


class FakeBody:
    """The body of a large picture, which counts its chunks in memory."""

    def __init__(self) -> None:
        self.given = self.sent = self.most = 0
        self.closed = False

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        """Yield the chunks; no chunk is sent before it was given."""
        assert size == len(CHUNK)
        for _ in range(CHUNKS):
            self.given += 1
            self.most = max(self.most, self.given - self.sent)
            yield CHUNK

    def close(self) -> None:
        """Close the connection."""
        self.closed = True


class FakeClient:
    """An S3 client with one large picture."""

    def __init__(self, body: FakeBody) -> None:
        self._body = body

    def get_object(self, **_: Any) -> dict[str, Any]:
        """Return the answer of the store."""
        size = CHUNKS * len(CHUNK)
        return {"Body": self._body, "ContentLength": size, "ContentType": "image/png"}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, client: TestClient) -> FakeBody:
    """A store with one large picture, for a user who may see images."""
    body = FakeBody()
    monkeypatch.setattr(connections, "object_store", lambda: ObjectStore(FakeClient(body)))
    return body


def test_every_route_asks_for_the_login() -> None:
    assert [one.dependency for one in app.router.dependencies] == [may_see_cases]
    assert {route.path for route in app.routes} == {
        "/review/{bucket}/{case_id}/{claim}/{view}",
        "/quarantine/{bucket}/{case_id}/{claim}/{view}",
        "/cases",
        "/dead-letters",
        "/cases/search",
        "/cases/{case_id}",
        "/cases/{case_id}/again",
        "/cases/{case_id}/pictures/{picture}/{view}",
        "/runs/{run_id}",
        "/start",
        "/start/backfill",
        "/start/cases",
        "/start/folder",
        "/thumbnails/{bucket}/{case_id}",
        "/waiting",
        "/waiting/review/{case_id}/{claim}",
        "/waiting/release/{case_id}/{claim}",
        "/static/{name}",
    }
    for route in app.routes:
        assert may_see_cases in [one.dependency for one in route.dependencies]


def test_the_plugin_mounts_the_app_where_the_addresses_say() -> None:
    text = (ROOT / "plugins" / "xray_plugin.py").read_text()
    assert f'"url_prefix": "{PLUGIN_PREFIX}"' in text
    for page in (CASES, RUN.format(run_id="{RUN_ID}"), WAITING):
        assert f'"href": "{PLUGIN_PREFIX[1:]}{page}"' in text


@pytest.mark.parametrize("role", ["viewer", None])
def test_a_picture_needs_the_right_to_see_images(
    logged_in: Any, views: list[Any], s3: Any, role: str | None
) -> None:
    key = picture_name(CASE_ID, 1, View.FULL)
    s3.put_object(Bucket=Buckets(BUCKET).staging, Key=key, Body=b"x", ContentType="image/png")
    answer = logged_in(role).get(f"/review/{BUCKET}/{CASE_ID}/1/full")
    assert answer.status_code == (403 if role else 401)
    assert answer.content != b"x"
    assert views == []


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("route", ["review", "quarantine"])
def test_a_picture_is_served_until_the_form_is_withdrawn(
    client: TestClient, s3: Any, route: str, view: View, views: list[Any]
) -> None:
    buckets = Buckets(BUCKET)
    bucket = {"review": buckets.staging, "quarantine": buckets.quarantine}[route]
    address = f"/{route}/{BUCKET}/{CASE_ID}/3/{view}"
    where = {"Bucket": bucket, "Key": picture_name(CASE_ID, 3, view)}
    s3.put_object(**where, Body=b"a picture", ContentType=view.content_type)
    answer = client.get(address)
    assert (answer.status_code, answer.content) == (200, b"a picture")
    assert answer.headers["content-type"] == view.content_type
    assert answer.headers["content-length"] == "9"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    kind = {"review": "review", "quarantine": "release"}[route]
    assert views == [("somebody", CASE_ID, kind)], "the view is on record"
    assert client.get(address.replace("/3/", "/2/")).status_code == 404, "another claim's"
    s3.delete_object(**where)
    gone = client.get(address)
    assert (gone.status_code, gone.json()) == (404, {"detail": GONE})
    assert gone.headers["cache-control"] == "no-store"


def test_the_pictures_that_a_task_has_rendered_are_served(
    client: TestClient, store: ObjectStore, chest: Image.Image
) -> None:
    bucket = Buckets(BUCKET).quarantine
    picture = Picture(chest, Format.PNG)
    pictures.put_pictures(store, bucket, CASE_ID, 1, picture, rulers=True)
    for view in View:
        answer = client.get(f"/quarantine/{BUCKET}/{CASE_ID}/1/{view}")
        assert answer.content == store.get(bucket, picture_name(CASE_ID, 1, view)).data


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "binary/octet-stream"])
def test_only_pictures_are_served(client: TestClient, s3: Any, kind: str) -> None:
    key = picture_name(CASE_ID, 1, View.FULL)
    s3.put_object(Bucket=Buckets(BUCKET).staging, Key=key, Body=b"<script>", ContentType=kind)
    answer = client.get(f"/review/{BUCKET}/{CASE_ID}/1/full")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "The stored object is not a picture.",
    )


@pytest.mark.parametrize(
    "address",
    [
        f"/review/{BUCKET}/x/1/full",
        f"/review/..%2F../{CASE_ID}/1/full",
        f"/quarantine/A/{CASE_ID}/1/full",
        f"/quarantine/{BUCKET}/{CASE_ID}/x/full",
        f"/quarantine/{BUCKET}/{CASE_ID}/0/full",
        f"/quarantine/{BUCKET}/{CASE_ID}/{2**31}/full",
        f"/quarantine/{BUCKET}/{CASE_ID}/1/image",
        f"/quarantine/{BUCKET}/{CASE_ID}/1/full.png",
        f"/quarantine/{BUCKET}/{CASE_ID}",
        f"/preview/{BUCKET}/{CASE_ID}",
        f"/review/{BUCKET}-staging/{CASE_ID}/1/full",
    ],
)
def test_no_other_object_can_be_named(client: TestClient, address: str) -> None:
    assert client.get(address).status_code in (404, 422)


def test_a_missing_bucket_is_named(client: TestClient) -> None:
    answer = client.get(f"/review/nowhere/{CASE_ID}/1/full")
    assert answer.status_code == 503, "until somebody creates the bucket"
    assert answer.json()["detail"].startswith("The bucket nowhere-staging does not exist")


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
    assert client.get(f"/review/{BUCKET}/{CASE_ID}/1/full").status_code == 503


def scope(address: str, version: str) -> dict[str, Any]:
    """The ASGI scope of a request, by a server of this version of ASGI's HTTP specification."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": version},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": address,
        "raw_path": address.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "server": ("test", 80),
        "client": ("test", 1),
    }


async def request(body: FakeBody, version: str, *, leave_after: int | None = None) -> int:
    """Ask for the large picture, count its chunks as they are sent, and return their bytes.

    Args:
        body: the picture.
        version: of ASGI's HTTP specification. From 2.4 on, a server may raise OSError in ``send``
            when the browser has gone away; before, ``receive`` alone says so.
        leave_after: the number of chunks after which the browser goes away; None for never.
    """
    received, asked, left = 0, False, asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await left.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal received
        if content := message.get("body"):
            received += len(content)
            body.sent += 1
        if body.sent == leave_after:
            left.set()
            if version >= "2.4":
                raise OSError
            await asyncio.Event().wait()  # Nobody reads any more.

    address = f"/quarantine/{BUCKET}/{CASE_ID}/1/full"
    await asyncio.wait_for(app(scope(address, version), receive, send), 60)
    return received


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_a_large_picture_is_never_held_as_a_whole(large: FakeBody, version: str) -> None:
    assert asyncio.run(request(large, version)) == CHUNKS * len(CHUNK)
    assert large.most <= 2, "chunks in memory"
    assert large.closed


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_a_picture_is_closed_when_the_browser_goes_away(large: FakeBody, version: str) -> None:
    with contextlib.suppress(ClientDisconnect):
        asyncio.run(request(large, version, leave_after=3))
    assert 3 <= large.given < 6
    assert large.closed


def test_the_api_server_imports_nothing_that_decodes(s3_connection: Any, s3: Any) -> None:
    key = picture_name(CASE_ID, 1, View.FULL)
    s3.put_object(
        Bucket=Buckets(BUCKET).staging, Key=key, Body=b"a picture", ContentType="image/png"
    )
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["200 True", "[]"]
