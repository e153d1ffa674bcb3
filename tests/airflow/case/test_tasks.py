"""xray.airflow.case.tasks: which steps are skipped, and which failures end a case"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from xray.airflow.case import tasks
from xray.errors import ImageError, TransientError
from xray.settings import Label, Settings


@pytest.mark.parametrize(
    ("review_unsure", "label", "unwanted"),
    [
        (False, Label.PNEUMONIA, ["review"]),
        (False, Label.NORMAL, ["review", "anonymize"]),
        (False, Label.UNSURE, ["review", "anonymize"]),
        (True, Label.NORMAL, ["review", "anonymize"]),
        (True, Label.UNSURE, []),
    ],
)
def test_steps_that_the_settings_do_not_want_are_skipped(
    review_unsure: bool, label: Label, unwanted: list[str]
) -> None:
    settings = Settings(review_unsure=review_unsure)
    assert tasks.unwanted_steps(settings, label.value) == unwanted


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

    @tasks.records_failure()
    def step() -> None:
        raise error

    with pytest.raises(type(error)):
        step()
    assert ended == ([error] if recorded else [])
