"""xray.airflow.executor: the scheduler rests while there is nothing to start, and only then"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from airflow.executors.workloads import ExecuteTask
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

from xray.airflow import executor as module
from xray.airflow.executor import REST_SECONDS, WAKEFUL_SECONDS, RestingLocalExecutor

KEY = TaskInstanceKey("xray_case", "fetch", "run")
NEXT = TaskInstanceKey("xray_case", "fetch", "another run")


@pytest.fixture
def executor() -> Iterator[RestingLocalExecutor]:
    executor = RestingLocalExecutor(parallelism=1)
    executor.start()
    yield executor
    executor.queued_tasks.clear()
    executor.end()


@pytest.fixture
def now() -> list[float]:
    """The time, in monotonic seconds."""
    return [1000.0]


@pytest.fixture
def rests(now: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the scheduler has rested, each time."""
    rests = list[float]()
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=rests.append)
    monkeypatch.setattr(module, "time", clock)
    return rests


def queue(executor: RestingLocalExecutor, key: TaskInstanceKey) -> None:
    task = ExecuteTask.model_construct(ti=SimpleNamespace(key=key))
    executor.queue_workload(task, None)


def end(executor: RestingLocalExecutor, key: TaskInstanceKey) -> None:
    executor.result_queue.put((key, TaskInstanceState.SUCCESS, None))


def test_it_rests_while_no_task_runs(
    executor: RestingLocalExecutor, now: list[float], rests: list[float]
) -> None:
    executor.sync()
    assert rests == [REST_SECONDS]
    queue(executor, KEY)
    now[0] += 100
    executor.sync()
    end(executor, KEY)
    executor.sync()
    assert executor.event_buffer[KEY][0] == TaskInstanceState.SUCCESS
    assert rests == [REST_SECONDS], "the next task of the run is about to begin"
    now[0] += WAKEFUL_SECONDS + 1
    executor.sync()
    assert rests == [REST_SECONDS] * 2


def test_it_rests_while_a_task_waits_for_a_process(
    executor: RestingLocalExecutor, rests: list[float]
) -> None:
    queue(executor, KEY)
    executor.sync()
    assert rests == [], "there may be another task to start"
    queue(executor, NEXT)
    executor.sync()
    assert rests == [REST_SECONDS]
    end(executor, KEY)
    executor.sync()
    assert rests == [REST_SECONDS]
