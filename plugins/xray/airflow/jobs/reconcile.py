"""Start the cases of objects whose notification never arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import get_current_context, task

from xray.airflow import store_check
from xray.airflow.jobs.backfill import BackfillRequest, Only, run_backfill
from xray.airflow.unexpected import without_messages


@task
@without_messages()
def start_missed() -> dict[str, Any]:
    """Start a case for each recent object without a trace in the pipeline; return the counts.

    ``conditions`` in the result is what :func:`xray.airflow.store_check.check` returns; None in a
    dry run, which writes nothing.
    """
    context = get_current_context()
    params, now = context["params"], datetime.now(UTC)
    conditions = None if params["dry_run"] else store_check.check(params["bucket"])
    request = BackfillRequest(
        bucket=params["bucket"],
        since=now - timedelta(hours=params["hours"]),
        until=now - timedelta(minutes=params["minutes"]),
        only=Only.NEVER_SEEN,
        dry_run=params["dry_run"],
        origin="reconcile",
    )
    return {**run_backfill(request, context), "conditions": conditions}
