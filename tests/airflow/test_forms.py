"""xray.airflow.forms: which forms are opened and closed, on servers of the tests' own"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import pytest

from tests.support import KEYRING
from tests.support.cases import case, let_wait
from tests.support.fake_api import FakeApi
from xray.airflow import forms
from xray.airflow.api import RunsClient
from xray.airflow.jobs.ask import ask
from xray.case import Buckets, Source, requests
from xray.case.manifest import REVIEW, Request
from xray.case.requests import Waiting
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
BUCKETS = Buckets(BUCKET)


def wait(store: ObjectStore, number: int, *, hours: float = 1) -> Waiting:
    """Let a case wait for a review."""
    return let_wait(store, f"Ada Ashgrove {number}.jpeg", number, hours=hours)


def opened(api: FakeApi, store: ObjectStore, *, again: bool = False) -> Counter[str]:
    """Open forms, and return the counts."""

    async def run() -> Counter[str]:
        async with RunsClient(api.url, "xray", "right") as client:
            return await forms.open_forms(client, store, BUCKETS, REVIEW, KEYRING, again=again)

    return asyncio.run(run())


def asked(api: FakeApi, store: ObjectStore) -> Counter[str]:
    """Ask again, and return the counts."""

    async def run() -> Counter[str]:
        async with RunsClient(api.url, "xray", "right") as client:
            return await ask(BUCKET, store, client, KEYRING)

    return asyncio.run(run())


@pytest.fixture
def five(connected: Any, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> list[Waiting]:
    """Five cases that wait, of which two may have a form."""
    monkeypatch.setenv("AIRFLOW__XRAY__OPEN_FORMS", "2")
    return [wait(store, number) for number in range(5)]


def run_of(waiting: Waiting) -> str:
    """The id of the run of a case's form."""
    return forms.form_run_id(waiting.request.marker)


def test_a_few_forms_are_open_and_the_next_follows(
    five: list[Waiting], api: FakeApi, store: ObjectStore
) -> None:
    assert opened(api, store)["opened"] == 2
    first, second = api.runs
    assert opened(api, store)["opened"] == 0
    api.states[first] = "success"
    (answered,) = [waiting for waiting in five if run_of(waiting) == first]
    requests.remove_marker(store, BUCKETS, answered.request)
    assert opened(api, store) == Counter(waiting=4, opened=1, outdated=0)
    assert len(api.runs) == 3
    assert second in api.runs


def test_the_conf_of_a_form_names_nobody_and_holds_the_request(
    five: list[Waiting], api: FakeApi, store: ObjectStore
) -> None:
    opened(api, store)
    run_id, conf = next(iter(api.runs.items()))
    (waiting,) = [one for one in five if run_of(one) == run_id]
    assert "Ashgrove" not in str(conf)
    assert Source.from_conf(conf, KEYRING) == waiting.source
    assert Request.from_json(conf["request"]) == waiting.request
    assert (conf["case_id"], conf["schema"]) == (waiting.request.case_id, 1)


def test_a_review_whose_time_is_over_gets_a_form_at_once(
    connected: Any, api: FakeApi, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__OPEN_FORMS", "1")
    first = wait(store, 0)
    assert opened(api, store)["opened"] == 1
    late, later = wait(store, 1, hours=-1), wait(store, 2, hours=-1)
    assert opened(api, store)["opened"] == 2
    assert set(api.runs) == {run_of(first), run_of(late), run_of(later)}


def test_a_form_that_was_cleaned_away_is_opened_again(
    five: list[Waiting], api: FakeApi, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(api, store)
    first, second = api.runs
    del api.runs[first]
    assert asked(api, store)["opened"] == 1
    assert first in api.runs
    monkeypatch.setenv("AIRFLOW__XRAY__OPEN_FORMS", "5")
    api.states[second] = "failed"
    assert opened(api, store)["opened"] == 3
    assert api.states[second] == "failed", "only a reconciliation runs an ended form again"
    assert asked(api, store)["opened"] == 1
    assert api.states[second] == "queued"


def test_a_form_of_a_case_that_no_longer_waits_is_closed(
    five: list[Waiting], api: FakeApi, store: ObjectStore
) -> None:
    opened(api, store)
    first, _ = api.runs
    (rerun,) = [waiting for waiting in five if run_of(waiting) == first]
    work = dataclasses.replace(case(store, rerun.source), claim=1)
    work.manifest.change(lambda current: dataclasses.replace(current, claim=2, waiting=None))
    counts = asked(api, store)
    assert (counts["closed"], counts["opened"], counts["outdated"]) == (1, 1, 1)
    assert (api.states[first], api.notes[first]) == ("success", forms.WITHDRAWN)


def test_a_marker_that_is_out_of_date_is_removed(
    five: list[Waiting], api: FakeApi, store: ObjectStore
) -> None:
    for waiting in five:
        work = dataclasses.replace(case(store, waiting.source), claim=1)
        work.manifest.change(lambda current: dataclasses.replace(current, waiting=None))
    assert opened(api, store) == Counter(waiting=5, opened=0, outdated=5)
    assert list(store.list(BUCKETS.manifests, "waiting/")) == []
