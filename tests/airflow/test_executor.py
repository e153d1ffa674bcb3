"""xray.airflow.executor: the scheduler rests while no task runs, and only then"""

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


@pytest.fixture
def executor() -> Iterator[RestingLocalExecutor]:
    executor = RestingLocalExecutor(parallelism=1)
    executor.start()
    yield executor
    executor.queued_tasks.clear()
    executor.end()


def test_it_rests_while_no_task_runs_and_only_then(
    executor: RestingLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, rests = [1000.0], list[float]()
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=rests.append)
    monkeypatch.setattr(module, "time", clock)
    executor.sync()
    assert rests == [REST_SECONDS]
    task = ExecuteTask.model_construct(ti=SimpleNamespace(key=KEY))
    executor.queue_workload(task, None)
    now[0] += 100
    executor.sync()
    executor.result_queue.put((KEY, TaskInstanceState.SUCCESS, None))
    executor.sync()
    assert executor.event_buffer[KEY][0] == TaskInstanceState.SUCCESS
    assert rests == [REST_SECONDS], "the next task of the run is about to begin"
    now[0] += WAKEFUL_SECONDS + 1
    executor.sync()
    assert rests == [REST_SECONDS] * 2
