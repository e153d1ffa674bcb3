"""Ask a person what to do with a quarantined image."""

from airflow.sdk import dag

from xray.airflow.case.params import FORM_PARAMS
from xray.airflow.case.release import BOXES, ReleaseOperator, end_failed_release
from xray.airflow.config import MOST_FORMS
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Release: a person decides on a quarantined image

A case whose image was quarantined, because text on it could not be removed, waits for a person. A
run of this DAG is the form of such a case, in *Required Actions*; no worker and no triggerer holds
it. A user who may answer sees the image, and releases it as it is, masks boxes and releases it, or
keeps it in `…-quarantine`. The decision is about that image: if the case was run again meanwhile,
the decision is refused. The audit trail records the decision, the user and the time. If the boxes
cannot be used, the form opens again and the **note** of the run says why. **Clear** the task to be
asked again.
"""


@dag(
    dag_display_name="X-ray 04 · Release",
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    on_failure_callback=end_failed_release,
    max_active_runs=MOST_FORMS,
    params=FORM_PARAMS,
    tags=["xray"],
    doc_md=DOC,
)
def xray_release() -> None:
    """Ask, and carry out the decision."""
    ReleaseOperator(task_id="release", task_display_name="Release", params=BOXES)


xray_release()
