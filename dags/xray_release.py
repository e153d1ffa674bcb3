"""A quarantined image: a person releases it, masks it by hand, or keeps it back."""

from airflow.sdk import Param, dag

from xray.airflow.case.release import BOXES, ReleaseOperator
from xray.airflow.case.tasks import SOURCE_PARAMS
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Release: what to do with an image that text could not be removed from

`xray_case` starts a run of this DAG when it quarantines an image. The run waits in *Required
Actions*, and no worker and no triggerer holds it. Whoever may answer sees the image, releases it
as it is, removes boxes by hand and releases it, or keeps it in `…-quarantine`. The audit trail says
who decided what, and when. Clear the task to be asked again.
"""


@dag(
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        **SOURCE_PARAMS,
        "pinned": Param({}, type="object", description="What fetch found"),
        "scored": Param({}, type="object", description="What classify found"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_release() -> None:
    """Wire the one task."""
    ReleaseOperator(task_id="release", params=BOXES)


xray_release()
