"""xray.airflow.case.tasks: which steps are skipped, and which failures end a case"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from tests.support import KEYRING
from xray.airflow.case import params as case_params
from xray.airflow.case import tasks
from xray.airflow.unexpected import UnexpectedError
from xray.case import Source
from xray.errors import BlockedError, ImageError, SettingsError, TransientError
from xray.settings import Label, Policy, Settings

SOURCE = Source(bucket="xray-data-in", key="demo_Ada Ashgrove_1234.png", etag="e", origin="ceph")


def context(conf: dict[str, Any]) -> dict[str, Any]:
    """The context of *fetch* in a run with this conf."""
    ti = SimpleNamespace(run_id="xray__1", task_id="fetch", try_number=1, max_tries=6)
    params = {name: param.value for name, param in case_params.CASE_PARAMS.items()} | conf
    return {"ti": ti, "params": params, "dag_run": SimpleNamespace(triggering_user_name="xray")}


def test_a_task_opens_the_sealed_key(connected: Any) -> None:
    assert tasks.build_work(context(SOURCE.to_conf(KEYRING))).source == SOURCE


def test_a_task_takes_a_key_that_a_person_has_typed(connected: Any) -> None:
    work = tasks.build_work(context({"key": SOURCE.key}))
    assert (work.source.key, work.source.origin) == (SOURCE.key, "manual")


def test_a_secret_may_be_added_while_a_case_is_under_way(
    connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, old = SOURCE.to_conf(KEYRING), KEYRING.secrets[0]
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", f'["the newest secret, long", "{old}"]')
    work = tasks.build_work(context(conf))
    assert work.source == SOURCE
    assert work.case_id == SOURCE.case_id(KEYRING)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", "the newest secret, long")
    with pytest.raises(SettingsError, match="add that secret to the end of the list"):
        tasks.build_work(context(conf))


@pytest.mark.parametrize(
    ("policy", "label", "unwanted"),
    [
        (Policy.PNEUMONIA, Label.PNEUMONIA, []),
        (Policy.PNEUMONIA, Label.NORMAL, ["anonymize"]),
        (Policy.PNEUMONIA, Label.UNSURE, ["anonymize"]),
        (Policy.NEVER, Label.PNEUMONIA, ["anonymize"]),
        (Policy.ALWAYS, Label.NORMAL, []),
    ],
)
def test_steps_that_the_settings_do_not_want_are_skipped(
    policy: Policy, label: Label, unwanted: list[str]
) -> None:
    assert tasks.unwanted_steps(Settings(anonymize=policy), label.value) == unwanted


@pytest.mark.parametrize(
    ("error", "try_number", "recorded"),
    [
        (ImageError("It is no image."), 1, True),
        (TransientError("The store is down."), 6, False),
        (TransientError("The store is down."), 7, True),
        (ZeroDivisionError(), 7, True),
        (AirflowSkipException(), 7, False),
        (TaskAwaitingInput(method_name="execute_complete"), 7, False),
    ],
)
def test_a_failure_is_recorded_if_no_retry_follows(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, try_number: int, recorded: bool
) -> None:
    ended: list[BaseException] = []
    context = {"ti": SimpleNamespace(try_number=try_number, max_tries=6)}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    monkeypatch.setattr(tasks, "record_failed_case", lambda _, error: ended.append(error))
    monkeypatch.setattr(tasks.blocked, "withdraw", lambda _: None)

    @tasks.records_failure()
    def step() -> None:
        raise error

    with pytest.raises(UnexpectedError if type(error) is ZeroDivisionError else type(error)):
        step()
    assert ended == ([error] if recorded else [])


def test_people_are_told_of_what_blocks_a_case_until_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    context = {"ti": SimpleNamespace(task_id="fetch", try_number=1, max_tries=6)}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    monkeypatch.setattr(tasks.blocked, "tell", lambda ti, error: said.append(str(error)))
    monkeypatch.setattr(tasks.blocked, "withdraw", lambda ti: said.append(f"{ti.task_id} goes on"))

    @tasks.records_failure()
    def step(error: Exception | None) -> None:
        if error:
            raise error

    with pytest.raises(BlockedError):
        step(BlockedError("The bucket does not exist: create it."))
    step(None)
    with pytest.raises(AirflowSkipException):
        step(AirflowSkipException())
    assert said == ["The bucket does not exist: create it.", "fetch goes on", "fetch goes on"]
