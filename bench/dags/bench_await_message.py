"""A stock way: AwaitMessageTriggerFunctionSensor, whose function starts a run.

The function sends the request for the run to the supervisor of its task. It does not call
``TriggerDagRunOperator.execute()``: on Airflow 3 that raises ``DagRunTriggerException``, which ends
the sensor after the first message.
"""

import json
from datetime import datetime
from typing import Any

from airflow.providers.apache.kafka.sensors.kafka import AwaitMessageTriggerFunctionSensor
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag


def start_run(event: str, **context: Any) -> None:
    """Start the run for a message; its id is made of the key, so a retry starts no second run."""
    from airflow.sdk.execution_time.comms import TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    key = json.loads(event)["Records"][0]["s3"]["object"]["key"]
    run_id = f"await_message__{key}"
    SUPERVISOR_COMMS.send(
        TriggerDagRun(dag_id="bench_await_message_case", run_id=run_id, conf={"key": key})
    )


@dag(
    schedule="@continuous",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": 1},
)
def bench_await_message() -> None:
    """Wait for messages, and start a run for each."""
    AwaitMessageTriggerFunctionSensor(
        task_id="listen",
        topics=["bench_await_message"],
        kafka_config_id="bench_await_message",
        apply_function=None,
        event_triggered_function=start_run,
        poll_timeout=0.1,
        poll_interval=0.1,
    )


@dag(schedule=None, max_active_runs=100)
def bench_await_message_case() -> None:
    """Run once for each message."""
    EmptyOperator(task_id="look")


bench_await_message()
bench_await_message_case()
