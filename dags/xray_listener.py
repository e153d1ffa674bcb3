"""Listen for bucket notifications and start one xray_case run for each."""

from datetime import datetime, timedelta

from airflow.sdk import dag

from xray.airflow.sensor import NotificationSensor

DOC = """
### The listener: one `xray_case` run per notification

Its one task stays **deferred** for ever: that is how it looks when all is well. It waits in the
triggerer for Kafka messages, starts their runs through Airflow's API, and commits an offset only
after the runs exist. What cannot be read goes to the topic `storage.dlq`, with the reason.

It needs the connections `xray_kafka` and `xray_api` and the variable `xray_pseudonym_secret`.
To start it afresh, **clear** the task.
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
    """Wire the sensor."""
    NotificationSensor(task_id="listen")


xray_listener()
