"""Start an xray_case run for every object under a bucket's prefix."""

from datetime import timedelta

from airflow.sdk import Param, dag

from xray.airflow.backfill import start_cases

DOC = """
### Backfill: what is in the bucket already

Starts the same `xray_case` runs that a notification would start, one per object under the prefix.
Running it twice starts nothing twice: an object that was uploaded once has one backfilled case.
"""


@dag(
    schedule=None,
    catchup=False,
    default_args={"owner": "xray", "retries": 3, "retry_delay": timedelta(seconds=10)},
    params={
        "bucket": Param("xray-data-in", type="string", minLength=3, description="The bucket"),
        "prefix": Param("", type="string", description="Where to look in it; empty for all of it"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_backfill() -> None:
    """Wire the one task."""
    start_cases()


xray_backfill()
