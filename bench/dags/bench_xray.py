"""This project's way: a deferred sensor whose trigger starts runs through the REST API."""

from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag

from xray.airflow.listener.sensor import NotificationSensor


@dag(
    schedule="@continuous",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": 1},
)
def bench_xray() -> None:
    """Wait for messages, and start a run for each."""
    NotificationSensor(
        task_id="listen",
        arguments={
            "topic": "bench_xray",
            "dead_letter_topic": "bench_xray.dlq",
            "dag_id": "bench_xray_case",
        },
    )


@dag(schedule=None, max_active_runs=100)
def bench_xray_case() -> None:
    """Run once for each message."""
    EmptyOperator(task_id="look")


bench_xray()
bench_xray_case()
