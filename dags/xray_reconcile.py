"""Start the cases of missed notifications, ask again for decisions, and sweep what was left."""

from datetime import datetime

from airflow.sdk import Param, dag

from xray.airflow.config import bucket, reconcile_schedule
from xray.airflow.jobs.ask import ask_again
from xray.airflow.jobs.reconcile import start_missed
from xray.airflow.jobs.sweep import sweep_stage
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Reconcile: objects without a notification

Looks for objects that were uploaded within the last **hours**, but not within the last
**minutes**, and that have no result, no audit record and no run, and starts their cases. For
another time, give **since** and **until**; then hours and minutes do not matter. The listener does
so by itself for notifications that Kafka removed before they were read. The return value of the
task counts the objects. If there are any, notifications of the bucket get lost or are late:
check that the store still sends them, and that the listener has no lag.

It also opens the forms of cases that wait for a person and whose form is no longer there, and
ends attempts of cases that left images behind because the store or its worker died.
By default it runs only when triggered. The option `[xray] reconcile_schedule`, such as `@hourly`,
gives it a schedule.
"""


@dag(
    dag_display_name="X-ray 07 · Reconcile",
    schedule=reconcile_schedule(),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params={
        "bucket": Param(bucket(), type="string", minLength=3, description="The bucket"),
        "hours": Param(48, type="number", exclusiveMinimum=0, description="How far to look back"),
        "minutes": Param(
            30, type="number", minimum=0, description="How long a notification may take"
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Uploaded at this time or later, in place of hours",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Uploaded before this time, in place of minutes",
        ),
        "dry_run": Param(False, type="boolean", description="Only count"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_reconcile() -> None:
    """Start the missed cases, ask again, and sweep the stage; the tasks are independent."""
    start_missed()
    ask_again()
    sweep_stage()


xray_reconcile()
