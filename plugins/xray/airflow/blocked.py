"""Tasks that wait until a person has mended the deployment: the note of the run, and the notice.

Such a task is retried with long pauses (:mod:`xray.airflow.retry`). People are told at its first
failure, because hours may pass before the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import get_current_context

from xray.airflow import api, notices
from xray.airflow.notices import Event
from xray.errors import BlockedError

_BEGINNING = "{} waits until this is mended: "
_REST = "{} It is tried again by itself; clear the task to try it at once."


def tell(ti: Any, error: BaseException) -> None:
    """Say in the note of a task's run, and in a notice, what a person has to mend.

    Nothing happens if ``error`` is no :class:`~xray.errors.BlockedError`.
    """
    if isinstance(error, BlockedError):
        note = _BEGINNING.format(ti.task_id) + _REST.format(error)
        api.set_note(ti.run_id, note, ti.dag_id)
        _notify(ti, error)


def withdraw(ti: Any) -> None:
    """Replace the note that :func:`tell` has set, after the task has ended well."""
    if ti.try_number > 1:
        api.replace_note(
            ti.run_id,
            f"{ti.task_id} has waited, and goes on.",
            ti.dag_id,
            beginning=_BEGINNING.format(ti.task_id),
        )


@contextmanager
def tells_if_blocked() -> Iterator[None]:
    """Tell people what a person has to mend if a job waits for it; for use as a decorator.

    The run gets no note: the account of the service needs no right on the runs of jobs.
    """
    try:
        yield
    except BlockedError as error:
        _notify(get_current_context()["ti"], error)
        raise


def _notify(ti: Any, error: BlockedError) -> None:
    notices.tell(Event.BLOCKED, dag_id=ti.dag_id, run_id=ti.run_id, sentence=str(error))
