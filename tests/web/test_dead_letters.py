"""xray.web.dead_letters: what the page shows of the letters, and to whom it offers a replay"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk.definitions.dag import DAG
from confluent_kafka import Producer
from fastapi.testclient import TestClient

from tests.support import ROOT, notification
from tests.support.deployment import KEY
from tests.support.index_database import new_database
from xray.airflow import config, letters
from xray.airflow.index import queries
from xray.airflow.letters import Letter, Newest
from xray.errors import SettingsError
from xray.web import cases, dead_letters
from xray.web.dead_letters import DayCount, in_a_day

LogIn = Callable[[str | None], TestClient]
Put = Callable[..., None]
PAGE = "/dead-letters"
REASON = "Airflow's API refuses the run (HTTP 422)."
NOT_JSON = "The message is not JSON in UTF-8."
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCRIPT = (ROOT / "plugins" / "xray" / "web" / "files" / "dead_letters.js").read_text()


@pytest.fixture
def put(brokers: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Put:
    """A function that writes dead letters to the topic that the page reads."""
    topic = "".join(c if c.isalnum() else "-" for c in request.node.name)
    extra = {"bootstrap.servers": brokers, "group.id": "xray", "enable.auto.commit": False}
    connection = json.dumps({"conn_type": "kafka", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", connection)
    monkeypatch.setattr(config, "DEAD_LETTER_TOPIC", topic)
    producer = Producer({"bootstrap.servers": brokers})

    def put_one(reason: str, value: bytes | None = b"{}", *, age: float = 0, **more: bytes) -> None:
        """Write a letter that is some minutes old."""
        headers = {
            "xray-reason": reason.encode(),
            "xray-topic": b"storage",
            "xray-partition": b"2",
            "xray-offset": b"71",
            **{name.replace("_", "-"): text for name, text in more.items()},
        }
        written = int((time.time() - 60 * age) * 1000)
        producer.produce(topic, value, timestamp=written, headers=list(headers.items()))
        assert producer.flush(10) == 0

    return put_one


def rows(html: str, name: str) -> list[list[str]]:
    """The texts of the cells of a table, without its header."""
    table = re.search(rf'<table class="{name}">.*?</table>', html, re.S)
    assert table, name
    body = table[0].partition("<tbody>")[2]
    found = re.findall(r"<tr.*?</tr>", body, re.S)
    return [[text(cell) for cell in re.findall(r"<t[dh]\b.*?</t[dh]>", row, re.S)] for row in found]


def text(html: str) -> str:
    """The text of a piece of HTML."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def buttons(html: str) -> list[tuple[str | None, bool]]:
    """The reason of each button, and whether it is one for a dry run."""
    tags = re.findall(r"<button\b[^>]*>", html)
    reasons = [re.search(r'data-reason="([^"]*)"', tag) for tag in tags]
    return [
        (unescape(reason[1]) if reason else None, "data-dry" in tag)
        for tag, reason in zip(tags, reasons, strict=True)
    ]


def letter(reason: str, age: timedelta = timedelta()) -> Letter:
    """A letter that is so old at :data:`NOW`."""
    return Letter(
        written=NOW - age,
        reason=reason,
        topic="storage",
        partition="0",
        offset="1",
        size=2,
        left_out=False,
    )


def test_nobody_sees_the_page_without_a_login(
    logged_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "newest", None)
    client = logged_in(None)
    for path in (PAGE, "/static/dead_letters.js"):
        assert client.get(path).status_code == 401


def test_a_viewer_sees_the_letters_and_replays_nothing(logged_in: LogIn, put: Put) -> None:
    put(REASON)
    page = logged_in("viewer").get(PAGE)
    assert page.status_code == 200
    assert [row[:2] for row in rows(page.text, "reasons")] == [[REASON, "1"]]
    assert not buttons(page.text)
    assert "<h2>Replay</h2>" not in page.text
    assert buttons(logged_in("user").get(PAGE).text) == [
        (None, True),
        (None, False),
        (REASON, True),
        (REASON, False),
    ]


def test_the_page_shows_when_why_and_where(logged_in: LogIn, put: Put) -> None:
    put(REASON, notification(KEY), age=125)
    put(NOT_JSON, b"x", age=65)
    put(REASON, None, age=5, xray_left_out=b"1048000 bytes")
    page = logged_in("viewer").get(PAGE).text
    assert rows(page, "reasons") == [[REASON, "2", "5 min ago"], [NOT_JSON, "1", "1 h 5 min ago"]]
    shown = rows(page, "letters")
    assert shown[0][1].startswith(f"{REASON} Left out: too large to be copied")
    assert [[row[0], row[1].partition(" Left")[0], row[2]] for row in shown] == [
        ["5 min ago", REASON, "storage, 2, 71"],
        ["1 h 5 min ago", NOT_JSON, "storage, 2, 71"],
        ["2 h 5 min ago", REASON, "storage, 2, 71"],
    ]
    size = f"{len(notification(KEY))} bytes"
    assert [row[3] for row in shown] == ["1,048,000 bytes", "1 byte", size]
    assert "3 dead letters on the topic" in text(page)
    assert "A letter stays on the topic, and on this page, after its replay." in text(page)
    assert "Ada" not in page
    assert '<a href="cases">Cases</a>' in page


def test_the_letters_of_a_reason(logged_in: LogIn, put: Put) -> None:
    put(REASON)
    put(NOT_JSON)
    put("")
    user = logged_in("user")
    page = user.get(PAGE).text
    links = [unescape(link) for link in re.findall(r'href="(\?reason=[^"]*)"', page)]
    chosen = [parse_qs(urlsplit(link).query, keep_blank_values=True)["reason"] for link in links]
    assert sorted(chosen) == sorted([[REASON], [NOT_JSON], [""]])
    for link, (reason,) in zip(links, chosen, strict=True):
        one = user.get(PAGE + link).text
        assert [row[1] for row in rows(one, "letters")] == [reason or "No reason is given"]
        assert len(rows(one, "reasons")) == 3
        assert one.count('aria-current="true"') == 1
    assert ("", False) not in buttons(page), "the DAG takes an empty reason for all letters"
    other = user.get(PAGE, params={"reason": "another"}).text
    assert "None of these letters has the reason that was asked for." in other
    assert user.get(PAGE, params={"reason": "r" * 301}).status_code == 422


def test_no_dead_letters(logged_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "newest", lambda _: Newest([], 0))
    page = logged_in("user").get(PAGE)
    assert page.status_code == 200
    assert "No dead letters." in page.text
    assert "A dead letter is a notification for which no run could be started" in text(page.text)
    assert "does not exist" not in page.text
    assert "<table" not in page.text
    assert not buttons(page.text)


def test_a_topic_that_does_not_exist(logged_in: LogIn, put: Put) -> None:
    page = logged_in("user").get(PAGE)
    assert page.status_code == 200
    assert "No dead letters." in page.text
    assert f"The topic {config.DEAD_LETTER_TOPIC} does not exist yet." in text(page.text)


def test_a_kafka_that_is_away_is_no_empty_list(
    logged_in: LogIn, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = letters.newest
    monkeypatch.setattr(letters, "newest", lambda topic: read(topic, seconds=1))
    extra = {"bootstrap.servers": "127.0.0.1:9", "group.id": "xray"}
    connection = json.dumps({"conn_type": "kafka", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", connection)
    page = logged_in("user").get(PAGE)
    assert page.status_code == 503
    assert "It is not known which dead letters there are. Kafka does not tell" in text(page.text)
    assert "No dead letters" not in page.text
    assert not buttons(page.text)


def test_a_connection_that_is_missing(logged_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def newest(topic: str) -> Newest:
        raise SettingsError("The Airflow connection xray_kafka is not defined.")

    monkeypatch.setattr(letters, "newest", newest)
    page = logged_in("user").get(PAGE)
    assert page.status_code == 500
    assert "The Airflow connection xray_kafka is not defined." in page.text


def test_a_list_that_lacks_some_says_so(logged_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "newest", lambda _: Newest([letter("r")], 5, complete=False))
    page = logged_in("user").get(PAGE).text
    assert "Kafka did not deliver all of them in time: some may be missing below." in page


def test_the_choice_between_the_newest_letters_and_all(
    logged_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [letter("r"), letter("r", timedelta(hours=2, milliseconds=1))]
    monkeypatch.setattr(letters, "newest", lambda _: Newest(found, 1234))
    page = logged_in("user").get(PAGE).text
    choices = re.findall(r'<input type="radio" name="since" value="([^"]*)"( checked)?>', page)
    assert choices == [("2026-01-01T21:59:59.999+00:00", " checked"), ("", "")]
    assert "The newest 2 dead letters of 1,234 on the topic" in text(page)
    assert "1,234 at most" in page
    monkeypatch.setattr(letters, "newest", lambda _: Newest(found, 2))
    assert 'type="radio"' not in logged_in("user").get(PAGE).text


def test_few_requests_read_at_once(logged_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one takes a thread of the API server, which Airflow's own routes need, too."""
    reading, go_on = threading.Semaphore(0), threading.Event()

    def newest(topic: str) -> Newest:
        reading.release()
        assert go_on.wait(30)
        return Newest([], 0)

    monkeypatch.setattr(letters, "newest", newest)
    user = logged_in("user")
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(user.get(PAGE).status_code))
        for _ in range(dead_letters.AT_ONCE)
    ]
    for thread in threads:
        thread.start()
        assert reading.acquire(timeout=30)
    refused = user.get(PAGE)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert refused.status_code == 503
    assert "Others are reading them now" in refused.text
    assert answers == [200] * dead_letters.AT_ONCE
    assert user.get(PAGE).status_code == 200


def test_a_reason_is_a_text_and_no_html(logged_in: LogIn, put: Put) -> None:
    evil = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
    put(evil, xray_topic=b"<b>Ada</b>")
    user = logged_in("user")
    for page in (user.get(PAGE).text, user.get(PAGE, params={"reason": evil}).text):
        assert "<img" not in page
        assert "<b>" not in page
        assert "Ada" not in page
        assert not re.search(r"<script(?! src=)", page)
        assert rows(page, "reasons")[0][0] == evil
        assert (evil, False) in buttons(page)
        assert [row[2] for row in rows(page, "letters")] == ["not known"]


def test_the_page_runs_no_script_but_its_own(logged_in: LogIn, put: Put) -> None:
    put(REASON)
    user = logged_in("user")
    page = user.get(PAGE)
    policy = page.headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'"):
        assert part in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", page.text)
    for path in ("page.js", "dead_letters.js", "page.css"):
        assert f'"static/{path}"' in page.text
        assert user.get(f"/static/{path}").status_code == 200
    assert "innerHTML" not in SCRIPT


def test_the_script_and_the_dag_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the DAG, its task, and the conf of a run; the API is below the address of the page."""
    from airflow.dag_processing.dagbag import DagBag

    dag: DAG = DagBag(ROOT / "dags" / "xray_replay.py").dags[config.REPLAY_DAG]
    assert f'const DAG = "../api/v2/dags/{dag.dag_id}";' in SCRIPT
    assert f'const RUN_PAGE = "../dags/{dag.dag_id}/runs/";' in SCRIPT
    assert dag.task_ids == re.findall(r'const TASK = "(\w+)";', SCRIPT)
    conf = re.search(r"const conf = \{(.*)\};", SCRIPT)
    assert conf
    assert set(re.findall(r"(\w+): ", conf[1])) == set(dag.params)
    since = (NOW + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
    for values in ({"reason": REASON, "since": since}, {"reason": None, "since": None}):
        for name, value in values.items():
            dag.params.get_param(name).resolve(value)


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (Newest([], 0), "0"),
        (Newest([], 0, exists=False), "0"),
        (
            Newest(
                [letter("r"), letter("r", timedelta(hours=23)), letter("r", dead_letters.DAY)], 9
            ),
            "2",
        ),
        (Newest([letter("r")] * 100, 100), "100"),
        (Newest([letter("r")] * 100, 101), "100+"),
        (Newest([letter("r")], 2, complete=False), "1+"),
    ],
)
def test_the_letters_of_a_day(found: Newest, count: str) -> None:
    assert in_a_day(found, NOW) == count


def test_the_count_is_made_in_a_thread_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(dead_letters.time, "monotonic", lambda: clock[0])
    started: list[Callable[[], None]] = []

    class Thread:
        def __init__(self, target: Callable[[], None], **_: Any) -> None:
            self.start = lambda: started.append(target)

    monkeypatch.setattr(dead_letters.threading, "Thread", Thread)
    results: list[Any] = [Newest([], 0), OSError(), Newest([], 0)]

    def read() -> Newest:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    counted = DayCount(read)
    assert [counted.text(), counted.text()] == ["", ""], "not known, and nobody waits"
    assert len(started) == 1
    started[0]()
    clock[0] += 59
    assert (counted.text(), len(started)) == ("0", 1)
    clock[0] += 1
    assert (counted.text(), len(started)) == ("0", 2)
    started[1]()
    assert counted.text() == "", "the topic could not be read"
    clock[0] += 60
    counted.text()
    started[2]()
    assert counted.text() == "0"
    clock[0] += 300
    assert counted.text() == "", "nobody has looked for minutes"


def test_a_count_that_was_made_in_a_real_thread() -> None:
    go_on = threading.Event()

    def read() -> Newest:
        assert go_on.wait(30)
        return Newest([], 0)

    counted = DayCount(read)
    assert counted.text() == "", "it does not wait for the thread"
    (thread,) = (one for one in threading.enumerate() if one.name == "xray-dead-letters")
    go_on.set()
    thread.join(30)
    assert counted.text() == "0"


@pytest.mark.parametrize(
    ("count", "link"),
    [
        ("", "Dead letters"),
        ("0", "0 dead letters"),
        ("1", "1 dead letter"),
        ("100+", "100+ dead letters"),
    ],
)
def test_the_page_cases_leads_here(
    logged_in: LogIn, monkeypatch: pytest.MonkeyPatch, count: str, link: str
) -> None:
    engine = new_database()
    monkeypatch.setattr(queries, "database", contextmanager(lambda: iter([engine.connect()])))
    monkeypatch.setattr(cases, "day_count", SimpleNamespace(text=lambda: count))
    page = logged_in("viewer").get("/cases").text
    found = re.search(r'<a href="dead-letters">.*?</a>', page)
    assert found
    assert text(found[0]) == link
