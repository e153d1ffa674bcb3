"""xray.web.start: search, and the runs that the page Start prepares"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support import KEYRING
from tests.support.cases import BUCKET, KEY
from xray.case import Source
from xray.case.source import unseal_prefix
from xray.settings import PATIENT_PATTERN
from xray.web import start

LogIn = Callable[[str | None], TestClient]
OURS = {"X-Requested-With": "xray", "Sec-Fetch-Site": "same-origin"}
POSTS = ("/cases/search", "/start/folder", "/start/cases", "/start/backfill")


@pytest.fixture
def user(logged_in: LogIn, api: Any) -> TestClient:
    """A user who may start cases."""
    return logged_in("user")


@pytest.fixture
def uploaded(s3: Any) -> list[str]:
    """The keys of objects in folders, and at the top."""
    keys = [f"PNEUMONIA/{number}.jpeg" for number in range(3)] + [KEY, "NORMAL/a/b.png", "top.png"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    s3.put_object(Bucket=BUCKET, Key="PNEUMONIA/", Body=b"")
    return keys


def test_a_key_and_a_patient_are_searched_by_their_hashes(user: TestClient) -> None:
    hashes = Source(bucket=BUCKET, key=KEY).index_hashes(KEYRING, PATIENT_PATTERN)
    for by, text in (("object", f" {KEY} "), ("patient", "1234")):
        answer = user.post("/cases/search", json={"by": by, "text": text}, headers=OURS)
        assert answer.json() == {"address": f"?{by}={hashes[by]}"}
        assert answer.headers["cache-control"] == "no-store"


def test_a_folder_shows_its_folders_and_its_objects(user: TestClient, uploaded: list[str]) -> None:
    top = user.post("/start/folder", json={}, headers=OURS).json()
    assert top["folders"] == ["NORMAL/", "PNEUMONIA/"]
    (only,) = top["objects"]
    assert (only["key"], only["size"]) == ("top.png", 7)
    assert top["next"] is None
    inside = user.post("/start/folder", json={"prefix": "PNEUMONIA/"}, headers=OURS).json()
    keys = [one["key"] for one in inside["objects"]]
    assert keys == [key for key in uploaded if key.startswith("PNEUMONIA/")]
    of_patient = next(one for one in inside["objects"] if one["key"] == KEY)
    assert of_patient["cases"] == "?object=" + Source(bucket=BUCKET, key=KEY).object_hash(KEYRING)


def test_a_large_folder_comes_in_parts(
    user: TestClient, uploaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PER_PAGE", 2)
    seen, after = list[str](), None
    for _ in range(4):
        place = {"prefix": "PNEUMONIA/", "after": after}
        part = user.post("/start/folder", json=place, headers=OURS).json()
        seen += [one["key"] for one in part["objects"]]
        after = part["next"]
        if after is None:
            break
    assert seen == [key for key in uploaded if key.startswith("PNEUMONIA/")]


def test_the_runs_of_cases_are_those_of_a_backfill_and_name_nobody(
    user: TestClient, s3: Any, uploaded: list[str]
) -> None:
    answer = user.post("/start/cases", json={"keys": [KEY, "top.png"]}, headers=OURS)
    assert "Ashgrove" not in answer.text
    first, second = answer.json()["runs"]
    source = Source.from_conf(first["run"]["conf"], KEYRING)
    assert (source.key, source.origin) == (KEY, "backfill")
    assert source.etag == s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"].strip('"')
    assert first["run"]["dag_run_id"] == source.run_id(KEYRING) == f"xray__{first['case_id']}"
    assert first["case_id"] != second["case_id"]
    again = user.post("/start/cases", json={"keys": [KEY]}, headers=OURS).json()["runs"]
    assert again == [{**first, "run": {**first["run"], "conf": again[0]["run"]["conf"]}}]


def test_an_object_that_has_gone_is_said(user: TestClient, uploaded: list[str]) -> None:
    answer = user.post("/start/cases", json={"keys": [KEY, "gone.png"]}, headers=OURS)
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "An object is no longer there: reload the page.",
    )


def test_a_backfill_has_its_folder_sealed(user: TestClient) -> None:
    folder = "Ada Ashgrove/"
    answer = user.post("/start/backfill", json={"prefix": folder}, headers=OURS)
    assert "Ashgrove" not in answer.text
    conf = answer.json()["run"]["conf"]
    assert unseal_prefix(KEYRING, BUCKET, conf["sealed"]) == folder
    whole = user.post("/start/backfill", json={}, headers=OURS).json()["run"]["conf"]
    assert whole == {"bucket": BUCKET, "sealed": None}


@pytest.mark.parametrize("path", POSTS)
def test_who_may_not_see_images_gets_no_name(logged_in: LogIn, path: str) -> None:
    body = {"by": "object", "text": "x", "keys": ["x"]}
    for role, status in (("viewer", 403), (None, 401)):
        assert logged_in(role).post(path, json=body, headers=OURS).status_code == status
    assert logged_in("viewer").get("/start").status_code == 403


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("headers", [{}, {**OURS, "Sec-Fetch-Site": "cross-site"}])
def test_a_request_of_another_page_is_refused(
    user: TestClient, path: str, headers: dict[str, str]
) -> None:
    body = {"by": "object", "text": "x", "keys": ["x"]}
    assert user.post(path, json=body, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/cases/search", {"by": "name", "text": "x"}),
        ("/cases/search", {"by": "object", "text": "  "}),
        ("/start/folder", {"prefix": "no slash"}),
        ("/start/cases", {"keys": []}),
        ("/start/cases", {"keys": ["x"] * (start.PER_PAGE + 1)}),
        ("/start/folder?bucket=xray-data-in-audit", {}),
    ],
)
def test_a_wrong_request_is_refused(user: TestClient, path: str, body: Any) -> None:
    assert user.post(path, json=body, headers=OURS).status_code == 422


def test_the_page_names_no_object(user: TestClient, uploaded: list[str]) -> None:
    page = user.get("/start")
    assert page.status_code == 200
    assert "Backfill this folder" in page.text
    assert "Ashgrove" not in page.text
    assert "top.png" not in page.text


def test_a_store_that_is_down_is_said(user: TestClient) -> None:
    answer = user.post("/start/folder?bucket=nowhere", json={}, headers=OURS)
    assert answer.status_code == 503
    assert "nowhere" in answer.json()["detail"]
