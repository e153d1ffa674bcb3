"""Ask a person what to do with a quarantined image."""

from airflow.sdk import Param, dag

from xray.airflow.case.release import BOXES, ReleaseOperator
from xray.airflow.case.tasks import SOURCE_PARAMS
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Release: a person decides on a quarantined image

`xray_case` starts a run of this DAG when it quarantines an image, because text on the image could
not be removed. The run waits in *Required Actions*; no worker and no triggerer holds it. A user who
may answer sees the image, and releases it as it is, masks boxes and releases it, or keeps it in
`…-quarantine`. The audit trail records the decision, the user and the time. If the boxes cannot be
used, the form opens again and the **note** of the run says why. **Clear** the task to be asked
again.
"""


@dag(
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        **SOURCE_PARAMS,
        "pinned": Param({}, type="object", description="The result of fetch"),
        "scored": Param({}, type="object", description="The result of classify"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_release() -> None:
    """Ask, and carry out the decision."""
    ReleaseOperator(task_id="release", params=BOXES)


xray_release()
