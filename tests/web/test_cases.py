"""xray.web.cases: which cases the page shows, and to whom"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunType
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from xray.airflow import config
from xray.airflow.index import queries
from xray.airflow.index.table import CASES
from xray.web.cases import PER_PAGE

LogIn = Callable[[str | None], TestClient]
PAGE = "/cases"


def add(database: Engine, number: int, **values: Any) -> str:
    """Add a case that was received ``number`` minutes ago, and return its id."""
    case_id = values.pop("case_id", f"{number:032x}")
    received = values.pop("received", datetime.now(UTC) - timedelta(minutes=number))
    row = {
        "case_id": case_id,
        "run_id": f"xray__{case_id}",
        "bucket": "xray-data-in",
        "origin": "ceph",
        "state": "finished",
        "received": received,
        "started": received,
        "ended": received + timedelta(seconds=2.5),
        "attempt": 1,
        "label": "Normal",
        "risk": 0.12,
        "decision": "published",
        "model": "1.0",
        "replaced": False,
    }
    with database.begin() as connection:
        connection.execute(insert(CASES).values(**{**row, **values}))
    return case_id


def shown(html: str) -> list[str]:
    """The ids of the cases in the table, from the top."""
    return re.findall(r'id="case-([0-9a-f]{32})"', html)


def text_of(html: str) -> str:
    """The text of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_nobody_sees_cases_or_counts_without_a_login(logged_in: LogIn, database: Engine) -> None:
    add(database, 1)
    assert logged_in(None).get(PAGE).status_code == 401
    answer = logged_in(None).get(f"{PAGE}?state=failed")
    assert answer.status_code == 401
    assert "finished" not in answer.text


def test_the_newest_case_comes_first_with_its_outcome(logged_in: LogIn, database: Engine) -> None:
    old = add(database, 125, label="Pneumonia", risk=0.99, decision="published and anonymised")
    new = add(database, 1, state="running", label=None, risk=None, decision=None, ended=None)
    page = logged_in("viewer").get(PAGE)
    assert page.status_code == 200
    assert shown(page.text) == [new, old]
    text = text_of(page.text)
    assert "Pneumonia 99 % published and anonymised 2 h 5 min ago 2.5 1 ceph 1.0" in text
    assert "under way 1 min ago" in text
    assert f'href="cases/{old}"' in page.text


def test_only_those_who_may_see_images_are_shown_small_pictures(
    logged_in: LogIn, database: Engine
) -> None:
    with_picture = add(database, 1)
    add(database, 2, replaced=True)
    add(database, 3, state="failed", decision=None)
    page = logged_in("user").get(PAGE).text
    assert re.findall(r'<img src="([^"]+)"', page) == [f"thumbnails/xray-data-in/{with_picture}"]
    assert "<img" not in logged_in("viewer").get(PAGE).text


def test_what_a_case_waits_for_and_what_has_replaced_it_is_shown(
    logged_in: LogIn, database: Engine
) -> None:
    add(database, 1, decision="quarantined", waits="release")
    add(database, 2, state="waiting", waits="review", decision=None)
    add(database, 3, replaced=True)
    add(database, 4, decision="superseded", replaced=True)
    add(database, 5, label="Unsure", refused="upside down", risk=0.7)
    add(database, 6, label=None, risk=None, decision=None)
    text = text_of(logged_in("viewer").get(PAGE).text)
    assert "quarantined, waits for a release" in text
    assert "waits for a review" in text
    assert text.count("replaced by a later case") == 1
    assert "Unsure upside down published" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [1, 2, 3, 4]),
        ("state=failed", [3]),
        ("label=Pneumonia", [2]),
        ("decision=published%20and%20anonymised", [2]),
        ("waits=release", []),
        ("model=2.0", [1]),
        ("origin=backfill", [1]),
        ("case_id=abc", [2]),
        ("case_id=a", [2]),
        ("case_id=f", [4]),
        ("case_id=ff", [4]),
        (f"object={'a' * 32}", [1]),
        (f"patient={'b' * 32}", [2, 3]),
        (f"patient={'a' * 32}", []),
        ("label=Normal&state=finished", [1, 4]),
        ("state=&label=&case_id=&model=&object=&patient=&since=&until=", [1, 2, 3, 4]),
    ],
)
def test_filters(logged_in: LogIn, database: Engine, query: str, numbers: list[int]) -> None:
    ids = {
        1: add(database, 1, model="2.0", origin="backfill", object="a" * 32),
        2: add(
            database,
            2,
            case_id="abc".ljust(32, "0"),
            label="Pneumonia",
            decision="published and anonymised",
            patient="b" * 32,
        ),
        3: add(database, 3, state="failed", label=None, decision=None, patient="b" * 32),
        4: add(database, 4, case_id="f" * 32),
    }
    page = logged_in("viewer").get(f"{PAGE}?{query}")
    assert page.status_code == 200
    assert shown(page.text) == [ids[number] for number in numbers]


def test_a_time_without_a_zone_is_utc(logged_in: LogIn, database: Engine) -> None:
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)
    ids = [add(database, n, received=noon + timedelta(hours=n)) for n in range(4)]
    page = logged_in("viewer").get(f"{PAGE}?since=2026-03-04T13:00&until=2026-03-04T15:00")
    assert shown(page.text) == [ids[2], ids[1]]
    assert 'value="2026-03-04T13:00"' in page.text


@pytest.mark.parametrize(
    "query",
    [
        "state=gone",
        "label=Nobody",
        "case_id=%25",
        "case_id=xyz",
        "object=abc",
        f"patient={'A' * 32}",
        "model=%3Cscript%3E",
        "before=never",
        "before=2026-01-01T00:00:00",
        "since=yesterday",
        "waits=for%20ever",
    ],
)
def test_a_wrong_query_is_refused(logged_in: LogIn, database: Engine, query: str) -> None:
    add(database, 1)
    assert logged_in("viewer").get(f"{PAGE}?{query}").status_code == 422


def test_pages_meet_and_keep_the_filter(logged_in: LogIn, database: Engine) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    for number in range(2 * PER_PAGE + 3):
        # Several cases are received at the same time.
        add(database, number, received=at - timedelta(minutes=number // 7))
        add(database, 1000 + number, received=at, label="Pneumonia")
    client, seen, address = logged_in("viewer"), list[str](), "?label=Normal"
    sizes = []
    while address:
        page = client.get(PAGE + address)
        seen += shown(page.text)
        sizes.append(len(shown(page.text)))
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = unescape(older[1]) if older else ""
        assert ("data-live" in page.text) == (len(sizes) == 1)
    assert sizes == [PER_PAGE, PER_PAGE, 3]
    assert len(set(seen)) == len(seen) == 2 * PER_PAGE + 3


def test_the_last_day_is_summed_up(
    logged_in: LogIn, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        add(database, number, decision="published and anonymised", risk=0.95)
    add(database, 4, decision="quarantined", waits="release", risk=1.0)
    add(database, 5, state="failed", risk=None)
    add(database, 6, state="waiting", waits="review", risk=0.6, refused="blank")
    add(database, 7, received=datetime.now(UTC) - timedelta(days=3))
    with Session(database) as session:
        for number, state in enumerate(("queued", "queued", "running")):
            session.add(
                DagRun(
                    dag_id=config.CASE_DAG,
                    run_id=f"xray__{number}",
                    run_type=DagRunType.MANUAL,
                    run_after=datetime.now(UTC),
                    state=state,
                )
            )
        session.commit()
    page = logged_in("viewer").get(PAGE).text
    text = text_of(page)
    for count in (
        "0 under way",
        "1 wait for a review",
        "4 finished",
        "3 anonymised",
        "1 quarantined",
        "1 failed",
        "2 in the queue",
    ):
        assert count in text
    assert "6 cases of the last 24 hours" in text
    assert "<title>90 to 100 %: 4</title>" in page
    assert "<title>1 to 0 h ago: 6</title>" in page
    monkeypatch.setattr(queries, "SUMMED_UP", 5)
    assert "The newest 5 cases" in text_of(logged_in("viewer").get(PAGE).text)


def test_an_empty_index_tells_a_newcomer_what_to_do(logged_in: LogIn, database: Engine) -> None:
    client = logged_in("viewer")
    assert "There are no cases yet." in text_of(client.get(PAGE).text)
    assert "No case is like that." in text_of(client.get(f"{PAGE}?state=failed").text)


def test_a_missing_index_is_said(logged_in: LogIn, database: Engine) -> None:
    CASES.drop(database)
    page = logged_in("viewer").get(PAGE)
    assert page.status_code == 503
    assert "airflow db migrate" in page.text
    assert "xray_case" not in text_of(page.text)


def test_nothing_may_keep_the_page_or_run_foreign_scripts(
    logged_in: LogIn, database: Engine
) -> None:
    page = logged_in("viewer").get(PAGE)
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", page.text)
