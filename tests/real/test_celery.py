"""The whole flow on Celery with two workers and Redis, and the tasks of a killed worker"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.demo import run
from include.demo.api import Api
from include.demo.stack import Stack, shared_settings
from include.demo.verification import BUCKET, Case, expected_results, verify_case
from include.servers.processes import wait_until
from include.servers.real.kafka import Kafka
from include.servers.real.redis import Redis
from include.servers.real.versitygw import Versitygw
from tests.support import workers
from tests.support.s3_proxy import S3Proxy
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC
from xray.case import RUN_PREFIX, Buckets, Source
from xray.settings import Settings
from xray.storage import ObjectStore

pytestmark = pytest.mark.timeout(900)
BUCKETS = Buckets(BUCKET)
WORKERS = ("worker-1", "worker-2")
SLOTS = 4
"""Tasks that a worker runs at the same time."""
RECEIVED = " received "
"""In the log of a worker: it has taken a message."""
LONG = 300.0
"""Seconds that a condition may take on a busy machine."""


class Cluster:
    """Airflow on Celery, and the servers around it."""

    def __init__(self, stack: Stack, api: Api, redis: Redis, proxy: S3Proxy) -> None:
        self.stack, self.api, self.redis, self.proxy = stack, api, redis, proxy

    def start_worker(self, name: str) -> None:
        """Start a worker, and return when it is ready for tasks."""
        pid = str(self.stack.home / f"{name}.pid")
        command = ["celery", "worker", "--celery-hostname", name, "--pid", pid]
        log = self.stack.home / "logs" / f"{name}.log"
        before = log.read_text().count(f"{name} ready") if log.exists() else 0
        self.stack.start_component(name, *command, "--concurrency", str(SLOTS), "--skip-serve-logs")
        self.until(lambda: log.read_text().count(f"{name} ready") > before, f"the start of {name}")

    def processes(self, worker: str) -> list[psutil.Process]:
        """Return the process of the worker and all of its descendants."""
        whole = psutil.Process(self.stack.component(worker).process.pid)
        return [whole, *whole.children(recursive=True)]

    def tasks(self, worker: str) -> set[str]:
        """Return the ids of the task instances that a worker is running."""
        title = workers.TASK.format("")
        found = set()
        for process in self.processes(worker):
            try:
                name = "".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if name.startswith(title):
                found.add(name.removeprefix(title).strip())
        return found

    def kill(self, worker: str) -> None:
        """Kill a worker and all its processes with ``kill -9``, as if its machine was lost."""
        for process in self.processes(worker):
            process.kill()
        self.stack.component(worker).process.wait()
        self.stack.airflow = [child for child in self.stack.airflow if child.name != worker]

    def upload(self, name: str, count: int) -> list[Case]:
        """Upload ``count`` of the demo's images under keys that begin with ``name``."""
        wanted = expected_results(run.IMAGES, SETTINGS)[:count]
        return run.upload(self.stack, [replace(one, key=f"{name}/{one.key}") for one in wanted])

    def until(self, condition: Callable[[], bool], what: str, seconds: float = LONG) -> None:
        wait_until(condition, what, seconds=seconds, children=self.stack.children)

    def assert_right(self, cases: list[Case]) -> None:
        """Wait for the end of the cases; each must have one record and the right results."""
        store = ObjectStore(self.stack.s3)
        run.watch(self.stack, self.api, cases)
        wrong = {case.key: verify_case(case, store, SETTINGS) for case in cases}
        assert {key: reasons for key, reasons in wrong.items() if reasons} == {}
        assert [case.report()["attempts"] for case in cases] == [1] * len(cases)
        assert list(store.list(BUCKETS.staging)) == []

    def tries(self, case: Case) -> int:
        """Return the largest number of tries of the tasks of a case."""
        path = f"/dags/xray_case/dagRuns/{RUN_PREFIX}{case.case_id}/taskInstances"
        return max(task["try_number"] for task in self.api.get(path)["task_instances"])


SETTINGS = Settings.from_mapping({"anonymize": "always"})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("celery")
    with ExitStack() as servers:
        kafka = servers.enter_context(Kafka(folder / "kafka"))
        for topic in (TOPIC, DEAD_LETTER_TOPIC):
            kafka.create_topic(topic)
        gateway = Versitygw(folder / "versitygw", brokers=kafka.brokers, topic=TOPIC)
        servers.enter_context(gateway)
        redis = servers.enter_context(Redis(folder / "redis"))
        proxy = servers.enter_context(S3Proxy())
        proxy.upstream = gateway.endpoint
        stack = Stack(
            home=folder / "airflow",
            kafka=kafka.client,
            store=(gateway.endpoint, gateway.access_key, gateway.secret_key),
            parallelism=2 * len(WORKERS) * SLOTS,
            settings={"anonymize": "always"},
            airflow_settings={
                **shared_settings("celery.env"),
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": redis.url,
                "AIRFLOW_CONN_XRAY_S3": proxy.connection(gateway.access_key, gateway.secret_key),
            },
        )
        with stack, stack.api() as api:
            cluster = Cluster(stack, api, redis, proxy)
            for worker in WORKERS:
                cluster.start_worker(worker)
            yield cluster


def test_every_case_comes_out_right(cluster: Cluster) -> None:
    cases = cluster.upload("undisturbed", 16)
    cluster.assert_right(cases)
    assert {cluster.tries(case) for case in cases} == {1}
    logs = [cluster.stack.home / "logs" / f"{worker}.log" for worker in WORKERS]
    assert all("execute_workload" in log.read_text() for log in logs), "both have run tasks"


def test_a_worker_is_killed_in_the_middle_of_its_tasks(cluster: Cluster) -> None:
    held = []
    for one in expected_results(run.IMAGES, SETTINGS)[: 2 * SLOTS]:
        # The second read of an image is by its second task.
        held.append(cluster.proxy.hold("GET", f"{BUCKET}/killed/{one.key}", 2))
    cases = cluster.upload("killed", len(held))
    for one in held:
        assert one.arrived.wait(LONG)
    killed = cluster.tasks(WORKERS[0])
    assert len(killed) == SLOTS, "all its slots are in use"
    cluster.kill(WORKERS[0])
    for one in held:
        one.release()
    cluster.assert_right(cases)
    assert sorted(cluster.tries(case) for case in cases) == [1] * SLOTS + [2] * SLOTS
    cluster.start_worker(WORKERS[0])


def test_a_worker_is_killed_before_its_tasks_begin(cluster: Cluster) -> None:
    """The worker has taken messages from Redis, but for Airflow the tasks are still queued."""
    _, *slots = cluster.processes(WORKERS[0])
    for process in slots:
        process.send_signal(signal.SIGSTOP)
    log = cluster.stack.home / "logs" / f"{WORKERS[0]}.log"
    before = log.read_text().count(RECEIVED)
    cases = cluster.upload("taken", 2 * SLOTS)
    cluster.until(
        lambda: log.read_text().count(RECEIVED) == before + SLOTS,
        "one message for each slot of the stopped worker",
    )
    cluster.kill(WORKERS[0])
    cluster.assert_right(cases)
    assert {cluster.tries(case) for case in cases} == {1}, "another worker runs the same try"
    cluster.start_worker(WORKERS[0])


def test_redis_is_killed_and_comes_back(cluster: Cluster) -> None:
    cases = cluster.upload("brokerless", 16)
    cluster.until(lambda: cluster.redis.client.hlen("unacked") > 0, "a task in progress")
    cluster.redis.kill()
    cluster.redis.start()
    cluster.assert_right(cases)


def test_a_worker_takes_no_more_messages_than_it_runs() -> None:
    """Besides config/celery.env, the recovery of a killed worker's tasks needs these defaults."""
    from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

    assert DEFAULT_CELERY_CONFIG["task_acks_late"] is True
    assert DEFAULT_CELERY_CONFIG["worker_prefetch_multiplier"] == 1


def test_the_audit_trail_has_one_record_per_case(cluster: Cluster, tmp_path: Path) -> None:
    store = ObjectStore(cluster.stack.s3)
    verdict = run.verify_audit(store, tmp_path / "audit", cluster.stack.keyring.secrets)
    assert verdict.problems == ()
    runs: list[Any] = cluster.api.all("/dags/xray_case/dagRuns", "dag_runs")
    assert (verdict.records, verdict.cases) == (len(runs), len(runs))
    keyring = cluster.stack.keyring
    assert len({Source.from_conf(one["conf"], keyring).key for one in runs}) == len(runs)
