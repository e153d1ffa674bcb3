"""xray.airflow.watch.trigger: the rounds of the watch, and what they outlive"""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.airflow.watch.conftest import WatchedApi
from tests.support.cases import KEY, let_wait
from tests.support.deployment import until
from xray import audit
from xray.airflow import connections
from xray.airflow.watch import cases, metrics, stored, trigger
from xray.airflow.watch.trigger import Watch, WatchTrigger
from xray.errors import BlockedError
from xray.storage import ObjectStore

ALWAYS = {
    "xray.watch.heartbeat",
    "xray.waiting.review",
    "xray.waiting.review_age",
    "xray.waiting.release",
    "xray.waiting.release_age",
    "xray.staging.age",
    "xray.cases.active",
    "xray.cases.overdue",
}
IF_THERE = {"xray.audit.checkpoint_age", "xray.reconcile.age"}


def turns(*before: Callable[[], Any]) -> None:
    """Do a round after each of these."""

    async def go() -> None:
        watch = Watch("xray_watch", "run")
        for change in before:
            change()
            await watch.turn()
        await watch.close()

    asyncio.run(go())


def nothing() -> None:
    """Change nothing before a round."""


@pytest.fixture(autouse=True)
def written(variables: dict[str, Any]) -> dict[str, Any]:
    """No test writes Airflow's Variables."""
    return variables


def test_a_round_measures_everything(
    connected: Any, api: WatchedApi, store: ObjectStore, sent: dict[str, list[float]]
) -> None:
    let_wait(store, KEY, 1)
    store.put(
        "xray-data-in-audit",
        f"{audit.CHECKPOINTS}20260101T000000Z.json",
        b"{}",
        content_type="application/json",
    )
    api.add("young", 1)
    end = api.found[0]["run_after"]
    api.add("r", 1, dag_id="xray_reconcile", state="success", end_date=end)
    turns(nothing)
    assert set(sent) == ALWAYS | IF_THERE
    assert sent["xray.waiting.review"] == [1]
    assert sent["xray.cases.active"] == [1]
    assert sent["xray.watch.heartbeat"] == [1]


def test_the_documented_metrics_are_those_that_are_sent() -> None:
    docstring = ast.get_docstring(ast.parse(Path(metrics.__file__).read_text())) or ""
    kinds = dict(re.findall(r"^\| `(xray\.[\w.]+)` \| (\w+)", docstring, flags=re.M))
    assert set(kinds) == ALWAYS | IF_THERE
    assert {name for name, kind in kinds.items() if kind == "counter"} == {"xray.watch.heartbeat"}


def test_what_is_not_there_is_not_sent(connected: Any, sent: dict[str, list[float]]) -> None:
    turns(nothing)
    assert set(sent) == ALWAYS


def test_an_overdue_case_is_told_once(
    connected: Any,
    api: WatchedApi,
    sent: dict[str, list[float]],
    told: list[dict[str, Any]],
    written: dict[str, Any],
) -> None:
    api.add("xray__1", 61)
    turns(nothing, nothing)
    turns(nothing, lambda: api.add("xray__2", 60, now=datetime.now(UTC)))
    assert [(notice["event"], notice["dag_id"], notice["run_id"]) for notice in told] == [
        ("overdue", "xray_case", "xray__1"),
        ("overdue", "xray_case", "xray__2"),
    ]
    assert sent["xray.cases.overdue"] == [1, 1, 1, 2]
    assert list(written) == ["xray_overdue_told"]


def test_the_limit_is_an_option(
    connected: Any,
    api: WatchedApi,
    sent: dict[str, list[float]],
    told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__CASE_MINUTES", "90")
    api.add("xray__1", 80)
    turns(nothing)
    assert sent["xray.cases.overdue"] == [0]
    monkeypatch.setenv("AIRFLOW__XRAY__CASE_MINUTES", "70")
    turns(nothing)
    assert sent["xray.cases.overdue"] == [0, 1]
    assert "70 minutes" in told[0]["sentence"]


def test_nothing_is_measured_while_its_dag_is_paused(
    connected: Any, api: WatchedApi, sent: dict[str, list[float]]
) -> None:
    turns(
        lambda: api.dag.update(is_paused=True),
        nothing,
        lambda: api.dag.update(is_paused=False),
    )
    assert sent["xray.watch.heartbeat"] == [1]
    assert "/api/v2/dags/xray_watch" in api.asked
    assert len(sent["xray.staging.age"]) == 1


def test_an_outage_of_the_api_leaves_the_store_and_is_logged_once(
    connected: Any,
    api: WatchedApi,
    sent: dict[str, list[float]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "xray")
    turns(
        lambda: setattr(api, "fails", 503),
        nothing,
        nothing,
        lambda: setattr(api, "fails", 0),
        nothing,
    )
    assert len(sent["xray.watch.heartbeat"]) == 5
    assert len(sent["xray.waiting.review"]) == 5
    assert len(sent["xray.cases.active"]) == 2
    lines = [line.getMessage() for line in caplog.records if line.name == trigger.__name__]
    assert sum("HTTP 503" in line for line in lines) == 3, "the pause, the cases, the reconcile"
    assert sum("again." in line for line in lines) == 3
    assert len(lines) == 7, "and once that all is well"


def test_an_outage_of_the_store_leaves_the_api(
    connected: Any,
    s3_endpoint: str,
    sent: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lead_to(url: str) -> None:
        extra = {
            "endpoint_url": url,
            "region_name": "us-east-1",
            "config_kwargs": {"retries": {"total_max_attempts": 1}},
        }
        connection = {"conn_type": "aws", "login": "demo", "password": "p", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))

    turns(
        lambda: lead_to("http://127.0.0.1:9"),
        nothing,
        lambda: lead_to(s3_endpoint),  # The new connection is used without a restart.
    )
    assert len(sent["xray.cases.active"]) == 3
    assert len(sent["xray.staging.age"]) == 1
    assert caplog.text.count("The store did not answer") == 4


def test_keys_that_were_rotated_are_told(
    connected: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> ObjectStore:
        raise BlockedError("The store refuses the keys of the Airflow connection xray_s3.")

    monkeypatch.setattr(connections, "object_store", refuse)
    turns(nothing)
    assert {notice["event"] for notice in told} == {"blocked"}
    assert {notice["sentence"] for notice in told} == {
        "The store refuses the keys of the Airflow connection xray_s3."
    }
    assert {(notice["dag_id"], notice["run_id"]) for notice in told} == {("xray_watch", "run")}


def test_an_unexpected_error_is_named_without_its_message(
    connected: Any,
    sent: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> dict[str, float]:
        raise ValueError(KEY)

    monkeypatch.setattr(stored, "staging", broken)
    turns(nothing)
    assert "the staging bucket. ValueError." in caplog.text
    assert "Ada" not in caplog.text
    assert "xray.cases.active" in sent


def test_a_problem_is_repeated_now_and_then(
    connected: Any,
    sent: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: Any) -> dict[str, float]:
        raise ValueError

    monkeypatch.setattr(cases, "reconcile_age", broken)
    turns(nothing, nothing, lambda: monkeypatch.setattr(trigger, "PROBLEM_SECONDS", 0.0))
    assert caplog.text.count("the last reconcile. ValueError.") == 2


def test_a_quiet_watch_writes_a_line_an_hour(
    connected: Any, sent: dict[str, list[float]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "xray")
    turns(*[nothing] * 10)
    lines = [line for line in caplog.records if line.name.startswith("xray.airflow.watch")]
    assert len(lines) == 1
    assert "cases.active=0" in caplog.text


def test_the_trigger_measures_until_it_is_cancelled(
    connected: Any, sent: dict[str, list[float]]
) -> None:
    async def go() -> None:
        one = WatchTrigger(seconds=0.05)
        one.task_instance = SimpleNamespace(  # type: ignore[assignment]
            task_id="watch", dag_id="xray_watch", run_id="r"
        )

        async def watch() -> None:
            async for _ in one.run():
                raise AssertionError("it never fires")

        task = asyncio.create_task(watch())
        await until(lambda: len(sent.get("xray.watch.heartbeat", ())) >= 3, "three rounds")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())


def test_every_argument_is_serialized() -> None:
    path, given = WatchTrigger(seconds=7.0, of_another_version=1).serialize()
    assert given == {"seconds": 7.0}
    assert path == f"{WatchTrigger.__module__}.{WatchTrigger.__qualname__}"
