"""One chest X-ray: fetch, classify, annotate, anonymize if the policy says so, store."""

from airflow.sdk import dag

from xray.airflow.case.release import QuarantineOperator
from xray.airflow.case.review import ReviewOperator
from xray.airflow.case.tasks import (
    CASE_PARAMS,
    STEP_DEFAULTS,
    annotate,
    anonymize,
    classify,
    end,
    fetch,
    store,
)
from xray.airflow.config import active_cases

DOC = """
### One chest X-ray, from the bucket to its results

| step | does |
|---|---|
| **fetch** | pins exactly the object that was announced, and checks that it is an image |
| **classify** | scores the risk of pneumonia: *Normal*, *Unsure* or *Pneumonia* |
| **review** | asks a person about an unsure case, if the setting `review_unsure` says so |
| **annotate** | prints the risk on the image |
| **anonymize** | redacts it, if the policy asks for that; skipped otherwise |
| **store** | publishes to `…-processed` and `…-anonymized`, and writes the audit record |
| **quarantine** | asks a person about an image that text could not be removed from; skipped else |

A run is one notification's, and its id is the case's. **Clear** any task to run it and what
follows again: the outputs are the same, and the audit trail gets one more record. A failure that
trying again cannot help ends the case at once; the run's **note** says why.
"""


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=active_cases(),
    default_args=STEP_DEFAULTS,
    on_failure_callback=end,
    params=CASE_PARAMS,
    tags=["xray"],
    doc_md=DOC,
)
def xray_case() -> None:
    """Wire the steps."""
    pinned = fetch()
    scored = classify(pinned)
    reviewed = ReviewOperator(task_id="review", pinned=pinned, scored=scored).output
    annotated = annotate(pinned, scored, reviewed)
    anonymized = anonymize(pinned, scored, reviewed)
    outcome = store(pinned, scored, reviewed, annotated, anonymized)
    annotated >> anonymized >> outcome
    QuarantineOperator(
        task_id="quarantine", pinned=pinned, scored=scored, reviewed=reviewed, outcome=outcome
    )


xray_case()
