"""xray.airflow.deployment.account: one test for each fault of Airflow, which says what to do"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.airflow.deployment.conftest import PASSWORD
from tests.support import KEYRING, ROOT
from tests.support.fake_airflow import FakeAirflow
from xray.airflow.api import RunsClient
from xray.airflow.deployment.account import NEEDED_DAGS, OTHER_DAGS, answers, health_answer
from xray.airflow.deployment.table import Answer, Mark
from xray.case import Source
from xray.pseudonym import Keyring


@pytest.fixture
def look(airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that returns the answers about Airflow by their names."""
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", KEYRING.secrets[0])
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")

    def ask() -> dict[str, Answer]:
        async def collect() -> dict[str, Answer]:
            async with RunsClient(airflow.url, "xray", PASSWORD) as client:
                return {answer.name: answer async for answer in answers(client)}

        return asyncio.run(collect())

    return ask


def test_all_is_well_and_no_run_is_started(look: Any, airflow: FakeAirflow) -> None:
    found = look()
    assert found.pop("secret kept").mark is Mark.UNKNOWN
    assert {answer.mark for answer in found.values()} == {Mark.WELL}
    assert airflow.runs == {}
    assert airflow.states == {}
    assert airflow.notes == {}


def test_every_dag_is_looked_at() -> None:
    files = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert {*NEEDED_DAGS, *OTHER_DAGS} == files


def test_a_login_that_is_refused(look: Any, airflow: FakeAirflow) -> None:
    airflow.password = "another"
    (answer,) = look().values()
    assert (answer.name, answer.mark) == ("account", Mark.PROBLEM)
    assert "check login and password" in answer.sentence


@pytest.mark.parametrize(
    ("dag_id", "change", "mark", "sentence"),
    [
        ("xray_case", {"has_import_errors": True}, Mark.PROBLEM, "import error"),
        ("xray_case", {"is_paused": True}, Mark.PROBLEM, "unpause it"),
        ("xray_listener", {"is_paused": True}, Mark.PROBLEM, "unpause it"),
        ("xray_case", {"is_stale": True}, Mark.PROBLEM, "put it back"),
        ("xray_backfill", {"is_paused": True}, Mark.LIMIT, "wait until it is unpaused"),
    ],
)
def test_a_dag_at_fault(
    look: Any, airflow: FakeAirflow, dag_id: str, change: Any, mark: Mark, sentence: str
) -> None:
    airflow.known[dag_id] |= change
    answer = look()[f"DAG {dag_id}"]
    assert answer.mark is mark
    assert sentence in answer.sentence


def test_a_dag_that_is_missing(look: Any, airflow: FakeAirflow) -> None:
    del airflow.known["xray_review"]
    answer = look()["DAG xray_review"]
    assert answer.mark is Mark.PROBLEM
    assert "dags/xray_review.py" in answer.sentence


def test_import_errors(look: Any, airflow: FakeAirflow) -> None:
    airflow.broken = ["/dags/of_others.py"]
    assert look()["import errors"].mark is Mark.WELL
    airflow.broken = ["/dags/xray_case.py"]
    answer = look()["import errors"]
    assert answer.mark is Mark.PROBLEM
    assert "xray_case.py" in answer.sentence


@pytest.mark.parametrize(
    ("request_", "name", "mark", "sentence"),
    [
        (("POST", "xray_case/dagRuns"), "rights on xray_case", Mark.PROBLEM, "start runs of"),
        (("GET", "xray_case/dagRuns"), "rights on xray_case", Mark.PROBLEM, "list runs of"),
        (("POST", "/clear"), "rights on xray_review", Mark.PROBLEM, "change runs of"),
        (("GET", "/taskInstances"), "rights on xray_release", Mark.PROBLEM, "read tasks of"),
        (("GET", "dags/xray_listener"), "DAG xray_listener", Mark.PROBLEM, "give it the right"),
        (("GET", "dags/xray_backfill"), "DAG xray_backfill", Mark.UNKNOWN, "need not"),
        (("GET", "/importErrors"), "import errors", Mark.UNKNOWN, "need not"),
        (("POST", "reconcile/dagRuns"), "rights on xray_reconcile", Mark.LIMIT, "by hand"),
        (("GET", "/eventLogs"), "right on Airflow's audit log", Mark.LIMIT, "Give it that right"),
    ],
)
def test_a_right_that_is_missing(
    look: Any,
    airflow: FakeAirflow,
    request_: tuple[str, str],
    name: str,
    mark: Mark,
    sentence: str,
) -> None:
    airflow.denied = {request_}
    answer = look()[name]
    assert answer.mark is mark
    assert sentence in answer.sentence


@pytest.mark.parametrize("part", ["scheduler", "triggerer", "dag_processor", "metadatabase"])
def test_a_part_that_is_not_healthy(part: str) -> None:
    parts = FakeAirflow().health | {part: {"status": "unhealthy"}}
    answer = health_answer(parts, "http://localhost")
    assert answer.mark is Mark.PROBLEM
    assert "Start it" in answer.sentence


def test_an_api_that_is_away() -> None:
    answer = health_answer({}, "http://localhost:1")
    assert answer.mark is Mark.PROBLEM
    assert "http://localhost:1" in answer.sentence


def test_the_secret_opens_the_runs(look: Any, airflow: FakeAirflow) -> None:
    source = Source(bucket="xray-data-in", key="Ada Ashgrove.jpeg", etag="a")
    airflow.runs["xray__1"] = source.to_conf(KEYRING)
    assert look()["secret kept"].mark is Mark.WELL
    airflow.runs["xray__1"] = source.to_conf(Keyring(("a secret that was lost",)))
    answer = look()["secret kept"]
    assert answer.mark is Mark.PROBLEM
    assert "under another secret" in answer.sentence
    assert "Ada" not in answer.sentence
