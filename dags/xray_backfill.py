"""Start an xray_case run for each selected object of a bucket."""

from airflow.sdk import Param, dag

from xray.airflow.config import bucket
from xray.airflow.jobs.backfill import Only, start_cases
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Backfill: cases for objects that are in a bucket already

Starts the same `xray_case` runs that notifications would start, one for each object that the params
select. A second backfill, or a retry after a failure, starts no case twice. With **rerun**, each
backfill starts new cases for its objects. A **dry run** only counts.

A backfill starts cases only while fewer than half of the allowed active cases exist, so that it
never delays a case that a notification starts. The task's XCom `progress` holds the counts while
the backfill runs, its return value those at the end.
"""


@dag(
    dag_display_name="X-ray 05 · Backfill",
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        "bucket": Param(bucket(), type="string", minLength=3, description="The bucket"),
        "prefix": Param(
            None,
            type=["null", "string"],
            description="Only keys with this prefix; empty for all. Airflow keeps what is typed: "
            "type no name of a patient, or start the backfill on the page Start",
        ),
        "sealed": Param(
            None,
            type=["null", "string"],
            description="The sealed prefix, from the page Start, in place of a prefix",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Uploaded at this time or later",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Uploaded before this time",
        ),
        "only": Param(
            Only.WITHOUT_RESULT.value,
            enum=[choice.value for choice in Only],
            description="Which objects get a case",
        ),
        "most": Param(
            None, type=["null", "integer"], minimum=1, description="Cases to start, at most"
        ),
        "rerun": Param(
            False,
            type="boolean",
            description="New cases for objects that were backfilled before, too",
        ),
        "dry_run": Param(False, type="boolean", description="Only count"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_backfill() -> None:
    """Start the cases."""
    start_cases()


xray_backfill()
