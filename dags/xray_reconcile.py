"""Find objects whose notification never came, and start their cases; sweep the stage."""

from datetime import datetime

from airflow.sdk import Param, dag

from xray.airflow.config import reconcile_schedule
from xray.airflow.jobs.backfill import start_missed, sweep_stage
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Reconcile: what no notification told of

Looks for objects that were uploaded within the last **hours**, but not within the last
**minutes**, and that have no result, no audit record and no run; it starts their cases. Its return
value says what it found. A bucket in which it finds something has a notification that does not
arrive: see whether the store still sends, and whether the listener is behind.

It also removes staged images that a case left behind because the store or its worker died.
By default it runs when somebody triggers it; the configuration `[xray] reconcile_schedule`, such
as `@hourly`, gives it a schedule.
"""


@dag(
    schedule=reconcile_schedule(),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params={
        "bucket": Param("xray-data-in", type="string", minLength=3, description="The bucket"),
        "hours": Param(48, type="number", exclusiveMinimum=0, description="How far to look back"),
        "minutes": Param(
            30, type="number", minimum=0, description="How long a notification may be on its way"
        ),
        "dry_run": Param(False, type="boolean", description="Count, and start nothing"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_reconcile() -> None:
    """Wire the two tasks, which have nothing to do with each other."""
    start_missed()
    sweep_stage()


xray_reconcile()
