"""Listen for bucket notifications and start one xray_case run for each."""

from datetime import datetime, timedelta

from airflow.sdk import dag

from xray.airflow.config import sensors
from xray.airflow.listener.sensor import NotificationSensor

DOC = """
### The listener: one `xray_case` run per notification

Its tasks stay **deferred** for ever: that is how it looks when all is well. They wait in the
triggerer for Kafka messages, start their runs through Airflow's API, and commit an offset only
after the runs exist. What cannot be read goes to the topic `storage.dlq`, with the reason, and
comes back by the DAG `xray_replay`.

**Pausing** this DAG stops the intake within seconds; what arrives waits in Kafka. The **log** of
a task counts what it does and says what it waits for. To make it read its settings again,
**clear** the task. It needs the connections `xray_kafka` and `xray_api` and the variable
`xray_pseudonym_secret`; the configuration `[xray] sensors` says how many share the work.
"""


@dag(
    # Continuous runs need a start date: without one, the second has the first one's date and fails.
    schedule="@continuous",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "xray", "retries": 3, "retry_delay": timedelta(seconds=10)},
    tags=["xray"],
    doc_md=DOC,
)
def xray_listener() -> None:
    """Wire the sensors: members of one consumer group."""
    for number in range(1, sensors() + 1):
        NotificationSensor(task_id=f"listen_{number}")


xray_listener()
