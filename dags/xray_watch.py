"""Measure what waits and what is overdue, and tell people of overdue cases."""

from airflow.sdk import dag

from xray.airflow.deferred import CONTINUOUS
from xray.airflow.watch.sensor import WatchSensor

DOC = """
### The watch: what waits, and what is overdue

Its task stays **deferred** and never ends. Once a minute, it counts the cases that wait for a
person, and the active cases, and looks how old the oldest of them are, the staged images, the last
checkpoint of the audit trail and the last `xray_reconcile`. It sends these figures as metrics of
Airflow. A case that is not through after `[xray] case_minutes` is told to the people that the
Variable `xray_notices` names (docs/notices.md).

**Pause** this DAG to stop it within a minute. The **log** says once an hour what was measured, and
what cannot be measured. The task needs the connections `xray_s3` and `xray_api`. Cases do not
depend on it.
"""


@dag(
    dag_display_name="X-ray 10 · Watch",
    **CONTINUOUS,
    tags=["xray"],
    doc_md=DOC,
)
def xray_watch() -> None:
    """Watch with one task."""
    WatchSensor(task_id="watch")


xray_watch()
