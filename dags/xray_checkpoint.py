"""Write a checkpoint of the audit trail, and verify the trail."""

from datetime import datetime

from airflow.sdk import Param, dag

from xray.airflow.config import bucket, checkpoint_schedule
from xray.airflow.jobs.checkpoint import write_checkpoint
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Checkpoint: how far the audit trail has got

Reads the whole audit bucket, verifies it against the newest checkpoint that is there, and writes a
new one to `checkpoints/`. A later `python -m xray.audit verify --checkpoint FILE` then finds
records that were removed. Keep a copy outside of the bucket, for somebody who may delete records
may delete checkpoints as well.

The return value has the name of the checkpoint, its counts and its root hash. The task fails if the
audit trail has problems; the checkpoint is written nevertheless.

By default it runs only when triggered. The option `[xray] checkpoint_schedule`, such as `@daily`,
gives it a schedule.
"""


@dag(
    dag_display_name="X-ray 09 · Checkpoint",
    schedule=checkpoint_schedule(),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    params={
        "bucket": Param(
            bucket(), type="string", minLength=3, description="The bucket of the images"
        ),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_checkpoint() -> None:
    """Write one checkpoint."""
    write_checkpoint()


xray_checkpoint()
