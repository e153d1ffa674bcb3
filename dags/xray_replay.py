"""Bring dead letters back, after what was wrong with them is mended."""

from airflow.sdk import Param, dag

from xray.airflow.jobs.replay import replay_letters
from xray.airflow.retry import TASK_DEFAULTS

DOC = """
### Replay: the way back from the dead-letter topic

A notification that no run could be started for waits on the topic `storage.dlq`, with the reason
in its headers. When the cause is mended (a setting, the DAG, the API), trigger this DAG: it reads
the letters again and starts their runs. Replaying twice starts nothing twice, and writes no letter.

The task's return value counts what came of them, and gives the reasons of those still bad. A
**dry run** starts nothing and shows which reasons there are.
"""


@dag(
    schedule=None,
    catchup=False,
    default_args=TASK_DEFAULTS,
    params={
        "reason": Param(
            None,
            type=["null", "string"],
            description="Only letters whose reason holds this; empty for all",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Only letters written since then",
        ),
        "dry_run": Param(False, type="boolean", description="Count, and start nothing"),
    },
    tags=["xray"],
    doc_md=DOC,
)
def xray_replay() -> None:
    """Wire the one task."""
    replay_letters()


xray_replay()
