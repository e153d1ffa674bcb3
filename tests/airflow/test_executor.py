"""xray.airflow.executor: the scheduler goes on as soon as a task has ended"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

from xray.airflow.executor import PromptLocalExecutor

KEY = TaskInstanceKey("xray_case", "fetch", "run")
OTHER = KEY._replace(task_id="store")


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromptLocalExecutor]:
    # Longer than the time limit of a test: only a result can end the wait.
    monkeypatch.setenv("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME", "3600")
    executor = PromptLocalExecutor(parallelism=1)
    executor.start()
    yield executor
    executor.running.clear()
    executor.end()


def test_a_result_ends_the_wait(executor: PromptLocalExecutor) -> None:
    executor.running.add(KEY)
    executor.sync()
    waiting = threading.Thread(target=executor.sync)
    waiting.start()
    executor.result_queue.put((KEY, TaskInstanceState.SUCCESS, None))
    waiting.join()
    assert executor.event_buffer[KEY][0] == TaskInstanceState.SUCCESS
    assert not executor.running


def test_nothing_is_waited_for_while_no_task_runs_or_one_has_begun(
    executor: PromptLocalExecutor,
) -> None:
    executor.sync()
    executor.sync()
    executor.running.add(KEY)
    executor.sync()
    executor.running.add(OTHER)
    executor.sync()
