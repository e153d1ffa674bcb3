"""Ask a person about an Unsure case, then annotate, anonymize if the policy says so, and store."""

from airflow.sdk import dag

from xray.airflow.case.params import FORM_PARAMS
from xray.airflow.case.review import ReviewOperator
from xray.airflow.case.tasks import (
    REVIEW_TASK,
    STEP_DEFAULTS,
    annotate,
    anonymize,
    record_failed_case,
    store,
)
from xray.airflow.config import MOST_FORMS

DOC = """
### Review: a person decides on an Unsure case

With the setting `review_unsure`, an Unsure case waits for a person, and its run of `xray_case`
ends. A run of this DAG is the form of such a case, in *Required Actions*; no worker and no
triggerer holds it. The choice becomes the label, and the run does what is left of the case. If
nobody answers in time, the case stays Unsure. An answer that comes after the case was run again is
refused, and the **note** of the run says so.

The option `[xray] open_forms` says how many forms are opened by themselves. The page *Waiting*
lists all cases that wait, and opens a form for each of them on request.
"""


@dag(
    dag_display_name="X-ray 03 · Review",
    schedule=None,
    catchup=False,
    max_active_runs=MOST_FORMS,
    default_args=STEP_DEFAULTS,
    on_failure_callback=record_failed_case,
    # The results of the earlier steps are JSON objects in the params.
    render_template_as_native_obj=True,
    params=FORM_PARAMS,
    tags=["xray"],
    doc_md=DOC,
)
def xray_review() -> None:
    """Ask, and run the rest of the case."""
    pinned, scored = "{{ params.pinned }}", "{{ params.scored }}"
    reviewed = ReviewOperator(task_id=REVIEW_TASK, task_display_name="Review").output
    annotated = annotate(pinned, scored, reviewed)
    anonymized = anonymize(pinned, scored, reviewed)
    annotated >> anonymized >> store(pinned, scored, annotated, anonymized, reviewed)


xray_review()
