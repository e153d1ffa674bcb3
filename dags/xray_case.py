"""One chest X-ray: fetch, classify, annotate, anonymize if the policy says so, store."""

from airflow.sdk import dag

from xray.airflow.case.params import CASE_PARAMS
from xray.airflow.case.tasks import (
    STEP_DEFAULTS,
    annotate,
    anonymize,
    classify,
    fetch,
    record_failed_case,
    store,
)
from xray.airflow.config import active_cases

DOC = """
### One chest X-ray, from the bucket to its results

| step | does |
|---|---|
| **fetch** | pins the object of the notification, and checks that it is an image |
| **classify** | scores the risk of pneumonia: *Normal*, *Unsure* or *Pneumonia* |
| **annotate** | prints the risk on the image |
| **anonymize** | redacts the image if the policy asks for it; skipped otherwise |
| **store** | publishes to `…-processed` and `…-anonymized`, and writes the audit record |

If `review_unsure` is true, an Unsure case waits for a person after **classify**, and a run of
`xray_review` does the rest. If text could not be removed from the image, it goes to `…-quarantine`,
and a run of `xray_release` asks a person what to do with it.

Each run is the case of one notification, and its run id contains the case id. Its conf holds the
key of the object sealed, because a key may name a patient; the audit record of an ended case holds
the key itself. **Clear** a task to run it and the following tasks again: the outputs are the same,
and the audit trail gets one more record. A failure that a retry cannot fix ends the case at once,
and the **note** of the run gives the reason.
"""


@dag(
    dag_display_name="X-ray 01 · Case",
    schedule=None,
    catchup=False,
    max_active_runs=active_cases(),
    default_args=STEP_DEFAULTS,
    on_failure_callback=record_failed_case,
    params=CASE_PARAMS,
    tags=["xray"],
    doc_md=DOC,
)
def xray_case() -> None:
    """Run the steps of a case, in this order."""
    pinned = fetch()
    scored = classify(pinned)
    annotated = annotate(pinned, scored)
    anonymized = anonymize(pinned, scored)
    annotated >> anonymized >> store(pinned, scored, annotated, anonymized)


xray_case()
