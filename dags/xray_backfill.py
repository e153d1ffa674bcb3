"""Start an xray_case run for objects that are in a bucket already."""

from airflow.sdk import Param, dag

from xray.airflow.jobs.backfill import Only, start_cases
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Backfill: what is in the bucket already

Starts the same `xray_case` runs that a notification would start, one per object that the params
choose. Running it twice starts nothing twice, and so does a retry after a failure in its middle;
with **rerun**, each backfill gives its objects new cases. A **dry run** counts, and starts nothing.

It fills half of the places for cases at most; the others are left to live ones. The task's XCom
`progress` counts as it goes, its return value at the end.
"""


@dag(
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        "bucket": Param("xray-data-in", type="string", minLength=3, description="The bucket"),
        "prefix": Param(
            None, type=["null", "string"], description="Where to look in it; empty for all of it"
        ),
        "since": Param(
            None, type=["null", "string"], format="date-time", description="Uploaded from then on"
        ),
        "until": Param(
            None, type=["null", "string"], format="date-time", description="Uploaded before then"
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
            False, type="boolean", description="New cases, also where a backfill started one before"
        ),
        "dry_run": Param(False, type="boolean", description="Count, and start nothing"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_backfill() -> None:
    """Wire the one task."""
    start_cases()


xray_backfill()
