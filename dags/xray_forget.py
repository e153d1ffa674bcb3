"""Delete what was made of an image, or of all images of a patient, whose originals are gone."""

from airflow.sdk import Param, dag

from xray.airflow.config import bucket
from xray.airflow.jobs.forget import forget
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Forget: delete the results of an image, or of a patient

Delete the originals first. This DAG then deletes all that was made of them: annotated, anonymised,
staged and quarantined images, and the forms that wait. Each audit trail is replaced by one record
that names no one; it says when, why and on whose request. An image whose original is still there is
left alone.

Set **one** of **case_id**, **patient** and **key**. The pseudonym of a patient is the folder of the
patient's images in `…-anonymized`, so that no name has to be typed. The **note** of the run says
what was done and what is left to do; the return value of the task has the counts. A **dry run**
only counts. With the setting `follow_deletions`, the listener starts a run for each deletion that
the store announces. The page *Deletion* of the documentation describes a request for erasure.
"""


@dag(
    dag_display_name="X-ray 08 · Forget",
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        "bucket": Param(
            bucket(), type="string", minLength=3, description="The bucket of the originals"
        ),
        "case_id": Param(
            None,
            type=["null", "string"],
            pattern="^[0-9a-f]{32}$",
            description="The id of a case: all cases of the same object are forgotten",
        ),
        "patient": Param(
            None,
            type=["null", "string"],
            pattern="^[0-9a-f]{32}/?$",
            description="The pseudonym of a patient: the folder of the anonymised images",
        ),
        "key": Param(
            None,
            type=["null", "string"],
            maxLength=1024,
            description="The key of the original, typed by hand. Airflow keeps a typed key as it "
            "is, in its database and its audit log: if the key names a patient, use case_id or "
            "patient instead",
        ),
        "sealed": Param(
            None,
            type=["null", "string"],
            description="The sealed key of the original, from the listener, in place of a key",
        ),
        "dry_run": Param(False, type="boolean", description="Only count"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_forget() -> None:
    """Delete, and say what was done."""
    forget()


xray_forget()
