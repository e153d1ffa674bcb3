"""A task that is at work in its first try."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from xray.airflow.case import tasks


@pytest.fixture(autouse=True)
def _first_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context that Airflow gives a task; a test may replace it."""
    ti = SimpleNamespace(run_id="xray__1", dag_id="xray_case", try_number=1, max_tries=6)
    monkeypatch.setattr(tasks, "get_current_context", lambda: {"ti": ti})
