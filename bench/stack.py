"""The stack that cases are measured in: Apache Kafka, versitygw, PostgreSQL and Airflow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from include.demo.api import Api
from include.demo.stack import ROOT, Stack
from include.servers.real.kafka import Kafka
from include.servers.real.versitygw import Versitygw
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC

WORK = ROOT / ".cache" / "bench"
_MORE_DAGS = Path(__file__).with_name("dags_of_cases")


@contextmanager
def running_stack(
    console: Console, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Stack, Api, float]]:
    """Start everything anew.

    The store sends no notifications: the benchmark starts the runs of cases itself.

    Args:
        console: says what is started.
        settings: more environment variables of Airflow's processes.

    Yields:
        The stack, a client of its API, and the seconds that PostgreSQL and Airflow took to start,
        until the listener listened.
    """
    shutil.rmtree(WORK, ignore_errors=True)
    dags = WORK / "dags"
    shutil.copytree(ROOT / "dags", dags)
    shutil.copytree(_MORE_DAGS, dags, dirs_exist_ok=True)
    console.print("Starting Apache Kafka, versitygw and Airflow …")
    with Kafka(WORK / "kafka") as kafka, Versitygw(WORK / "s3", brokers="", topic="") as gateway:
        for topic in (TOPIC, DEAD_LETTER_TOPIC):
            kafka.create_topic(topic)
        stack = Stack(
            home=WORK / "airflow",
            dags=dags,
            kafka=kafka.client,
            store=(gateway.endpoint, gateway.access_key, gateway.secret_key),
            airflow_settings=dict(settings or {}),
        )
        began = time.monotonic()
        with stack:
            seconds = time.monotonic() - began
            with stack.api() as api:
                yield stack, api, seconds
