"""Start the runs of dead letters, after the cause was fixed."""

from airflow.sdk import Param, dag

from xray.airflow.jobs.replay import replay_letters
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Replay: start the runs of dead letters

A notification for which no run could be started is on the topic `storage.dlq`, with the reason in
its headers. The page *Dead letters*, a link on the page *Cases*, shows the reasons. After the cause
was fixed (a setting, the DAG, the API), press *Replay* there, or trigger this DAG: it reads the
dead letters again and starts their runs. A second replay starts no run twice, and a replay never
writes to the topic.

The return value of the task has the counts, and the reasons of the dead letters for which still no
run can be started. A **dry run** starts nothing, and counts the reasons.
"""


@dag(
    dag_display_name="X-ray 06 · Replay",
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        "reason": Param(
            None,
            type=["null", "string"],
            description="Only dead letters whose reason contains this; empty for all",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Only dead letters written at this time or later",
        ),
        "dry_run": Param(False, type="boolean", description="Only count"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_replay() -> None:
    """Replay the dead letters."""
    replay_letters()


xray_replay()
