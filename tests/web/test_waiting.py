"""xray.web.waiting: which cases the page lists, for whom it opens forms, and what it says"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support import KEYRING
from tests.support.cases import BUCKET, KEY, case, let_wait
from tests.support.fake_api import FakeApi
from xray.airflow.addresses import form_address
from xray.airflow.forms import DAGS, form_run_id
from xray.case import Buckets, Source, requests
from xray.case.manifest import RELEASE, REVIEW, Request
from xray.storage import ListedObject, ObjectStore
from xray.web import waiting
from xray.web.waiting import Entry, in_words

BUCKETS = Buckets(BUCKET)
PAGE = "/waiting"
OURS = {"X-Requested-With": "xray"}
NOW = datetime(2026, 1, 2, tzinfo=UTC)
GONE = "This case waits no longer: it was answered, or run again."
LogIn = Callable[[str | None], TestClient]


def ask(store: ObjectStore, number: int, kind: str = REVIEW) -> Request:
    """Let a case wait for a person."""
    return let_wait(store, f"{number}/{KEY}", number, kind=kind).request


def route(request: Request) -> str:
    """The route that opens the form of a request."""
    return f"/{request.marker}"


class Rows(HTMLParser):
    """The rows of the page's table, as the texts of their cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data.strip()


def listed(html: str) -> list[list[str]]:
    """The rows of the table below its header."""
    return Rows(html).rows[1:]


def listing(count: int) -> list[ListedObject]:
    """A listing of ``count`` markers in the order of their keys; the last has waited longest."""
    return [
        ListedObject(f"waiting/review/{n:032x}/1", "etag", 9, NOW - timedelta(minutes=n))
        for n in range(count)
    ]


def test_nobody_sees_the_page_without_a_login(logged_in: LogIn, api: FakeApi) -> None:
    client = logged_in(None)
    for path in (PAGE, "/static/waiting.js", "/static/page.css"):
        assert client.get(path).status_code == 401
    assert client.post(f"/waiting/review/{'0' * 32}/1", headers=OURS).status_code == 401
    assert api.logins == 0


@pytest.mark.parametrize("kind", DAGS)
def test_a_viewer_sees_the_list_and_opens_nothing(
    logged_in: LogIn, api: FakeApi, store: ObjectStore, kind: str
) -> None:
    request = ask(store, 1, kind)
    viewer, user = logged_in("viewer"), None
    page = viewer.get(PAGE)
    assert page.status_code == 200
    assert [row[3] for row in listed(page.text)] == ["Not open"]
    assert "<button" not in page.text
    assert viewer.post(route(request), headers=OURS).status_code == 403
    assert api.runs == {}
    user = logged_in("user")
    assert [row[3] for row in listed(user.get(PAGE).text)] == ["Open the form"]
    assert user.post(route(request), headers=OURS).status_code == 201


def test_the_oldest_case_comes_first(
    logged_in: LogIn, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        ListedObject(f"waiting/release/{'a' * 32}/2", "etag", 9, NOW - timedelta(days=2, hours=4)),
        ListedObject(f"waiting/review/{'b' * 32}/1", "etag", 9, NOW - timedelta(days=3)),
        ListedObject(f"waiting/review/{'c' * 32}/7", "etag", 9, NOW),
    ]
    monkeypatch.setattr(ObjectStore, "list", lambda self, bucket, prefix="": iter(entries))
    page = logged_in("user").get(PAGE).text
    assert [row[:2] for row in listed(page)] == [
        ["Review", "b" * 32],
        ["Release", "a" * 32],
        ["Review", "c" * 32],
    ]
    text = " ".join(re.sub("<[^>]*>", "", page).split())
    assert "3 cases wait for a person: 2 reviews and 1 release" in text


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(seconds=-5), "0 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=3, minutes=20), "3 h 20 min"),
        (timedelta(days=2, hours=4, minutes=59), "2 d 4 h"),
    ],
)
def test_a_wait_in_words(time: timedelta, words: str) -> None:
    entry = Entry(kind=REVIEW, case_id="0" * 32, claim=1, since=NOW)
    assert (in_words(time), entry.waits(NOW + time)) == (words, words)


def test_an_empty_list_says_what_it_means(logged_in: LogIn, api: FakeApi) -> None:
    page = logged_in("user").get(PAGE)
    assert page.status_code == 200
    assert "No case waits for a person." in page.text
    assert "review_unsure" in page.text
    assert "<table" not in page.text
    assert api.logins == 0, "nothing is asked about no forms"


def test_no_object_key_is_on_the_page(
    logged_in: LogIn, api: FakeApi, store: ObjectStore, s3: Any
) -> None:
    request = ask(store, 1)
    s3.put_object(Bucket=BUCKETS.manifests, Key="waiting/review/Ada Ashgrove/1", Body=b"{}")
    s3.put_object(Bucket=BUCKETS.manifests, Key=f"waiting/review/{'0' * 32}/1/Ada", Body=b"{}")
    user = logged_in("user")
    before, after = user.get(PAGE), None
    answer = user.post(route(request), headers=OURS)
    after = user.get(PAGE)
    for response in (before, answer, after):
        assert "Ada" not in response.text
        assert "Ashgrove" not in str(response.headers)
    assert [row[1] for row in listed(after.text)] == [request.case_id]
    assert "Ashgrove" not in json.dumps(api.runs), "the key is sealed"


def test_a_thousand_cases_are_listed_at_once(
    logged_in: LogIn, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One listing, no object read, 100 rows, well below a second."""
    calls: list[str] = []

    def list_objects(self: ObjectStore, bucket: str, prefix: str = "") -> Any:
        calls.append(f"{bucket}/{prefix}")
        return iter(listing(1000))

    monkeypatch.setattr(ObjectStore, "list", list_objects)
    monkeypatch.setattr(ObjectStore, "get", None)
    monkeypatch.setattr(ObjectStore, "head", None)
    user = logged_in("user")
    user.get(PAGE)
    began = time.process_time()
    page = user.get(PAGE).text
    assert time.process_time() - began < 1
    assert calls == [f"{BUCKETS.manifests}/waiting/"] * 2
    assert "1,000 cases wait" in page
    assert "page 1 of 10" in page
    assert [row[1] for row in listed(page)] == [f"{n:032x}" for n in range(999, 899, -1)]
    last = user.get(PAGE, params={"page": 10}).text
    assert [row[1] for row in listed(last)][-1] == "0" * 32
    beyond = user.get(PAGE, params={"page": 11}).text
    assert [row[:2] for row in listed(beyond)] == [row[:2] for row in listed(last)]
    assert user.get(PAGE, params={"page": 0}).status_code == 422


def test_another_bucket_can_be_chosen(
    logged_in: LogIn, api: FakeApi, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(store, 1)
    user = logged_in("user")
    assert user.get(PAGE, params={"bucket": "../x"}).status_code == 422
    other = user.get(PAGE, params={"bucket": "xray-other"})
    assert other.status_code == 503
    assert "The bucket xray-other-manifests does not exist: create it." in other.text
    monkeypatch.setenv("AIRFLOW__XRAY__BUCKET", "xray-other")
    assert user.get(PAGE).text == other.text, "the option [xray] bucket is the default"
    page = user.get(PAGE, params={"bucket": BUCKET}).text
    assert f"?bucket={BUCKET}" in page
    assert len(listed(page)) == 1


def test_a_store_that_is_away_is_no_empty_list(
    logged_in: LogIn, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        "conn_type": "aws",
        "login": "demo",
        "password": "demo-password",
        "extra": {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    user = logged_in("user")
    page = user.get(PAGE)
    assert page.status_code == 503
    assert "It is not known which cases wait. The store did not answer" in page.text
    assert "No case waits" not in page.text
    answer = user.post(f"/waiting/review/{'0' * 32}/1", headers=OURS)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("The store did not answer")


def test_the_list_is_shown_while_the_api_is_away(
    logged_in: LogIn, api: FakeApi, store: ObjectStore
) -> None:
    request = ask(store, 1)
    api.password = "another"
    user = logged_in("user")
    page = user.get(PAGE)
    assert page.status_code == 200
    assert "It is not known which forms are open. Airflow&#39;s API refuses the login" in page.text
    assert [row[3] for row in listed(page.text)] == ["Open the form"]
    answer = user.post(route(request), headers=OURS)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("Airflow's API refuses the login")


@pytest.mark.parametrize("kind", DAGS)
def test_opening_a_form_starts_one_run(
    logged_in: LogIn, api: FakeApi, store: ObjectStore, kind: str
) -> None:
    request, other = ask(store, 1, kind), ask(store, 2, kind)
    run_id = form_run_id(request.marker)
    address = form_address(DAGS[kind], run_id, kind)
    user = logged_in("user")
    for _ in range(2):
        answer = user.post(route(request), headers=OURS)
        assert (answer.status_code, answer.json()) == (201, {"form": address})
    assert api.dags == {run_id: DAGS[kind]}
    conf = api.runs[run_id]
    assert conf["request"] == request.to_json()
    assert Source.from_conf(conf, KEYRING).key == f"1/{KEY}"
    page = user.get(PAGE).text
    assert f'href="{address}"' in page
    assert {row[1]: row[3] for row in listed(page)} == {
        request.case_id: "Go to the form",
        other.case_id: "Open the form",
    }


def test_a_form_whose_run_has_ended_is_opened_again(
    logged_in: LogIn, api: FakeApi, store: ObjectStore
) -> None:
    request = ask(store, 1)
    run_id = form_run_id(request.marker)
    user = logged_in("user")
    user.post(route(request), headers=OURS)
    api.states[run_id] = "failed"
    assert [row[3] for row in listed(user.get(PAGE).text)] == ["Open the form"]
    assert user.post(route(request), headers=OURS).status_code == 201
    assert (list(api.runs), api.states[run_id]) == ([run_id], "queued")


def test_a_marker_that_is_out_of_date_opens_nothing(
    logged_in: LogIn, api: FakeApi, store: ObjectStore
) -> None:
    request = ask(store, 1)
    source = requests.read_marker(store, BUCKETS, request.marker).source
    manifest = case(store, source).manifest
    manifest.change(lambda current: dataclasses.replace(current, waiting=None))
    user = logged_in("user")
    for _ in range(2):
        answer = user.post(route(request), headers=OURS)
        assert (answer.status_code, answer.json()) == (404, {"detail": GONE})
    assert api.runs == {}
    assert "No case waits" in user.get(PAGE).text, "the marker is gone"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 403),
        ({**OURS, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**OURS, "Sec-Fetch-Site": "same-site"}, 403),
        ({**OURS, "Sec-Fetch-Site": "none"}, 403),
        ({**OURS, "Origin": "https://elsewhere.example"}, 403),
        ({**OURS, "Origin": "null"}, 403),
        ({**OURS, "Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, 403),
        ({**OURS, "Sec-Fetch-Site": "same-origin"}, 201),
        ({**OURS, "Origin": "http://testserver"}, 201),
        ({**OURS, "Origin": "https://airflow.example"}, 201),
    ],
)
def test_a_page_of_another_site_opens_nothing(
    logged_in: LogIn,
    api: FakeApi,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    status: int,
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/here")
    request = ask(store, 1)
    answer = logged_in("user").post(route(request), headers=headers)
    assert answer.status_code == status
    assert len(api.runs) == (status == 201)


def test_forms_are_opened_by_post_alone(logged_in: LogIn, api: FakeApi, store: ObjectStore) -> None:
    request = ask(store, 1, RELEASE)
    assert logged_in("user").get(route(request), headers=OURS).status_code == 405
    assert api.runs == {}


def test_the_page_runs_no_script_but_its_own(
    logged_in: LogIn, api: FakeApi, store: ObjectStore
) -> None:
    ask(store, 1)
    user = logged_in("user")
    page = user.get(PAGE)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", page.text)
    scripts = dict.fromkeys(("page.js", "waiting.js"), "text/javascript")
    for path, kind in {**scripts, "page.css": "text/css"}.items():
        assert f'"static/{path}"' in page.text
        answer = user.get(f"/static/{path}")
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("waiting.html", "..%2Fapp.py", "app.py"):
        assert user.get(f"/static/{path}").status_code in (404, 422)


def test_addresses_keep_the_path_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/here/")
    entry = Entry(kind=RELEASE, case_id="0" * 32, claim=3, since=NOW)
    assert entry.run_id == f"xray__{'0' * 32}__3"
    assert entry.form == (
        f"/here/dags/xray_release/runs/{entry.run_id}/tasks/release/required_actions"
    )
    assert waiting.marker_key(RELEASE, "0" * 32, 3) == f"waiting/release/{'0' * 32}/3"
