"""Listen for bucket notifications and start one xray_case run for each."""

from airflow.sdk import dag

from xray.airflow.config import sensors
from xray.airflow.deferred import CONTINUOUS
from xray.airflow.listener.sensor import NotificationSensor

DOC = """
### The listener: one `xray_case` run per notification

While all is well, its tasks stay **deferred** and never end. They wait in the triggerer for Kafka
messages, start runs through Airflow's API, and commit an offset only after the runs exist. A
message that cannot be read goes to the topic `storage.dlq` with the reason; the DAG `xray_replay`
reads it again after the cause was fixed.

**Pause** this DAG to stop receiving messages within seconds; new messages wait in Kafka. The
**log** of a task counts the runs it has started, and says what it is waiting for. **Clear** a task
to make it read its settings again. The tasks need the connections `xray_kafka` and `xray_api` and
the Variable `xray_pseudonym_secret`. The option `[xray] sensors` sets the number of tasks.
"""


@dag(
    dag_display_name="X-ray 02 · Listener",
    **CONTINUOUS,
    tags=["xray"],
    doc_md=DOC,
)
def xray_listener() -> None:
    """Listen with several sensors, the members of one consumer group."""
    for number in range(1, sensors() + 1):
        NotificationSensor(task_id=f"listen_{number}")


xray_listener()
