"""The listener through `airflow db clean`, upgrades, and restarts of all parts at once"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.demo.stack import AIRFLOW, COMPONENTS
from tests.support.rig import Rig, messages, rig
from xray.airflow import config

pytestmark = pytest.mark.timeout(900)
BACK_WITHIN = 30.0
"""Seconds within which the listener must be back."""
KEPT = timedelta(days=30)
"""The age of the rows that `airflow db clean` keeps in these tests."""
OLD_DAYS = 100
AGED = {
    "dag_run": "start_date",
    "task_instance": "start_date",
    "trigger": "created_date",
    "xcom": "timestamp",
    "log": "dttm",
}
"""The column with the age of a row, for the tables that the listener and its runs are in."""
OTHER_VERSIONS = {
    "version 0.1.0": (
        "xray.airflow.trigger.NotificationTrigger",
        {
            "topic": config.TOPIC,
            "dead_letter_topic": config.DEAD_LETTER_TOPIC,
            "dag_id": config.CASE_DAG,
            "batch": 100,
            "concurrency": 8,
        },
    ),
    "a version with other arguments": (
        "xray.airflow.listener.trigger.NotificationTrigger",
        {"topic": config.TOPIC, "dag_id": config.CASE_DAG, "removed": 8},
    ),
}
"""The class and the arguments in the rows of triggers that other versions have written."""


class Burst:
    """Messages in the middle of which something happens, and their row in the table."""

    def __init__(self, servers: Rig, record: Callable[..., None], name: str, count: int) -> None:
        self._servers, self._record = servers, record
        self._began, before = time.monotonic(), servers.count()
        self.sent = messages(name, count)
        servers.send(self.sent.values())
        servers.until(lambda: servers.count() >= before + 20, "runs")

    def back(self) -> float:
        """Send ten more messages, and return the seconds until ten runs have been started."""
        began, before = time.monotonic(), self._servers.count()
        more = messages(f"after {began}", 10)
        self.sent |= more
        self._servers.send(more.values())
        self._servers.until(lambda: self._servers.count() >= before + 10, "runs", 4 * BACK_WITHIN)
        return time.monotonic() - began

    def assert_one_run_each(self, fault: str, remark: str) -> None:
        """Wait until all messages have their run, and record the fault."""
        self._servers.assert_one_run_each(self.sent)
        found = self._servers.keys()
        runs = sum(found[key] for key in self.sent)
        seconds = time.monotonic() - self._began
        self._record(fault, len(self.sent), runs, runs - len(self.sent), seconds, remark)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("restarts")) as servers:
        yield servers


@pytest.fixture
def burst(servers: Rig, record_fault: Callable[..., None]) -> Callable[[str, int], Burst]:
    """Return a function that sends messages and returns when the first of them have runs."""
    return lambda name, count: Burst(servers, record_fault, name, count)


def listener(servers: Rig) -> list[tuple[str, str, str, int]]:
    """Return run, task, state and number of the try of the listener's task instances."""
    path = "/dags/xray_listener/dagRuns/~/taskInstances"
    tasks: list[Any] = servers.api.all(path, "task_instances")
    names = ("dag_run_id", "task_id", "state", "try_number")
    return [tuple(task[name] for name in names) for task in tasks]


def restart(servers: Rig, component: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Kill a part of Airflow, start it again, and return when it is up.

    Args:
        servers: the servers.
        component: the part.
        meanwhile: called while the part is away.
    """
    newest = servers.sql("SELECT max(id) FROM job")
    servers.stack.component(component).kill()
    meanwhile()
    servers.stack.start_component(component)
    if component != "api-server":  # Airflow takes a killed part for healthy for some seconds.
        servers.until(lambda: servers.sql("SELECT max(id) FROM job") > newest, component)
    servers.until(servers.stack.healthy, component)


def clean(servers: Rig) -> None:
    """Remove the rows that are older than :data:`KEPT`, from all tables."""
    before = (datetime.now(UTC) - KEPT).isoformat()
    command = [AIRFLOW, "db", "clean", "--clean-before-timestamp", before, "--yes"]
    command += ["--skip-archive", "--error-on-cleanup-failure"]
    done = subprocess.run(
        command, env=servers.stack.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def make_old(servers: Rig) -> None:
    """Make all rows that are there now look :data:`OLD_DAYS` days old."""
    for table, column in AGED.items():
        servers.sql(f"UPDATE {table} SET {column} = {column} - interval '{OLD_DAYS} days'")


def test_all_parts_are_killed_at_once(servers: Rig, burst: Callable[[str, int], Burst]) -> None:
    sent = burst("all parts", 400)
    servers.kill_everything()
    servers.start_everything()
    seconds = sent.back()
    assert seconds < BACK_WITHIN
    sent.assert_one_run_each(
        "`kill -9` of all parts at once in a burst", f"back {seconds:.0f} s after all were up"
    )


def test_db_clean_removes_the_rows_of_the_listener(
    servers: Rig, burst: Callable[[str, int], Burst]
) -> None:
    """The listener and the cases of the first messages have been there for months."""
    old = messages("old", 50)
    servers.send(old.values())
    servers.until(lambda: set(old) <= set(servers.keys(state="success")), "the end of the runs")
    (before,) = listener(servers)
    make_old(servers)
    sent = burst("cleaned", 300)
    clean(servers)
    seconds = sent.back()
    assert seconds < BACK_WITHIN
    sent.assert_one_run_each(
        "`airflow db clean` in a burst, the listener 100 days old", f"back after {seconds:.0f} s"
    )
    (row,) = servers.sql("SELECT created_date > now() - interval '1 day' FROM trigger")
    assert row == (True,), "the row of the old trigger was removed"
    assert listener(servers) == [before], "the run goes on with a new task instance"
    assert not set(old) & set(servers.keys()), "the old cases were removed"
    servers.send(old.values())
    servers.assert_one_run_each(old)


@pytest.mark.parametrize("version", OTHER_VERSIONS)
def test_a_listener_of_another_version_waits(
    servers: Rig, burst: Callable[[str, int], Burst], version: str
) -> None:
    """The row of the waiting trigger is of another version than the code of the triggerer."""
    path, arguments = OTHER_VERSIONS[version]
    (before,) = listener(servers)
    sent = burst(version, 300)
    change = f"UPDATE trigger SET classpath = '{path}', kwargs = '{json.dumps(arguments)}'"
    restart(servers, "triggerer", lambda: servers.sql(change))
    seconds = sent.back()
    assert seconds < BACK_WITHIN
    assert listener(servers) == [before], "the same try goes on"
    sent.assert_one_run_each(
        f"triggerer restarted, its trigger's row written by {version}",
        f"back after {seconds:.0f} s",
    )


def test_a_rolling_restart_with_a_changed_dag(
    servers: Rig, burst: Callable[[str, int], Burst]
) -> None:
    """A second sensor is added to the DAG while the run of the listener waits, and removed."""

    def waiting() -> list[str]:
        return sorted(task for _, task, state, _ in listener(servers) if state == "deferred")

    file = servers.stack.dags / "xray_listener.py"
    text = file.read_text()
    sent = burst("rolling", 400)
    file.write_text(text.replace("sensors() + 1", "3"))
    for component in COMPONENTS:
        restart(servers, component)
    seconds = sent.back()
    assert seconds < BACK_WITHIN
    servers.until(lambda: waiting() == ["listen_1", "listen_2"], "the second sensor", BACK_WITHIN)
    assert len({run for run, *_ in listener(servers)}) == 1, "it joins the run that waits"
    sent.assert_one_run_each(
        "rolling restart in a burst, with a second sensor in the DAG",
        f"back after {seconds:.0f} s",
    )
    sent = burst("removed", 100)
    file.write_text(text)
    servers.until(lambda: waiting() == ["listen_1"], "the end of the second sensor", BACK_WITHIN)
    sent.assert_one_run_each("the second sensor removed from the DAG in a burst", "")
