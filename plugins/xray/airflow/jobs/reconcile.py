"""Start the cases of objects whose notification never arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import get_current_context, task

from xray.airflow import store_check
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.jobs.backfill import BackfillRequest, Only, parse_time, run_backfill
from xray.airflow.unexpected import without_messages


@task
@without_messages()
@tells_if_blocked()
def start_missed() -> dict[str, Any]:
    """Start a case for each object without a trace in the pipeline; return the counts.

    The objects are those that were uploaded between the params ``since`` and ``until``. Without
    ``since``, they are those of the last ``hours``; without ``until``, all that are at least
    ``minutes`` old.

    ``conditions`` in the result is what :func:`xray.airflow.store_check.check` returns; None in a
    dry run, which writes nothing.
    """
    context = get_current_context()
    params, now = context["params"], datetime.now(UTC)
    request = BackfillRequest(
        bucket=params["bucket"],
        since=parse_time(params["since"]) or now - timedelta(hours=params["hours"]),
        until=parse_time(params["until"]) or now - timedelta(minutes=params["minutes"]),
        only=Only.NEVER_SEEN,
        dry_run=params["dry_run"],
        origin="reconcile",
    )
    conditions = None if params["dry_run"] else store_check.check(params["bucket"])
    return {**run_backfill(request, context), "conditions": conditions}
