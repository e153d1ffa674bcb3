"""The ways from an image to its result that ``bench/cases.py`` measures side by side."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import httpx
import psycopg2

from include.demo import run as demo
from include.demo.api import Api
from include.demo.stack import Stack
from include.demo.verification import BUCKET, Case, Expected, expected_results, verify_case
from include.servers.processes import StartError
from xray import audit
from xray.airflow.config import CASE_DAG
from xray.case import RUN_PREFIX, Buckets, Source
from xray.settings import Settings
from xray.storage import ObjectStore

PATIENCE, PATIENCE_PER_RUN = 120.0, 30.0
"""Seconds that all runs together may take, and the seconds for each of them."""
CLIENTS = 8
"""Requests at once that start runs."""
CORES = 2
"""Requests at once to the original's service: it starts a process for each."""
EMPTY_DAG = "bench_empty"


@dataclass(frozen=True, slots=True)
class Spell:
    """Some runs that were started together."""

    seconds: list[float]
    """The seconds of each run, from its start to its end."""
    span: float
    """The seconds from the first start to the last end."""
    ids: list[str]
    """The ids of Airflow's runs."""


class Way(ABC):
    """One way. Each call of :meth:`run` uses names of its own for the same images."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def prepare(self, name: str, count: int) -> Callable[[], Spell]:
        """Upload the images of ``count`` runs, and return what starts the runs and awaits them."""

    @abstractmethod
    def check(self, spell: Spell) -> None:
        """Check the results of runs.

        Raises:
            StartError: a result is not right.
        """


class Images:
    """The demo's images in the landing bucket of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._expected = expected_results(demo.IMAGES, Settings())

    def upload(self, name: str, count: int) -> list[tuple[Expected, str]]:
        """Upload ``count`` images under new keys; return what they should become, and etags."""
        found = []
        for number in range(count):
            image = self._expected[number % len(self._expected)]
            one = replace(image, key=f"{name}/{number}/{image.key}")
            answer = self._stack.s3.put_object(
                Bucket=BUCKET, Key=one.key, Body=one.path.read_bytes()
            )
            found.append((one, answer["ETag"].strip('"')))
        return found


class AirflowWay(Way):
    """Runs of a DAG, started through the REST API, as the listener does."""

    dag_id: str

    def __init__(self, name: str, stack: Stack, api: Api) -> None:
        super().__init__(name)
        self._stack, self._api = stack, api

    @abstractmethod
    def bodies(self, name: str, count: int) -> list[dict[str, Any]]:
        """Return the bodies of the requests that start the runs."""

    def prepare(self, name: str, count: int) -> Callable[[], Spell]:
        """See :meth:`Way.prepare`."""
        bodies = self.bodies(f"{self.name}/{name}", count)
        return lambda: self._run(bodies)

    def _run(self, bodies: Sequence[dict[str, Any]]) -> Spell:
        path, ids = f"/dags/{self.dag_id}/dagRuns", [body["dag_run_id"] for body in bodies]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda body: self._api.post(path, body), bodies))
        # Requests to Airflow's API would add to the measured cost, so its database is asked.
        with closing(connect(self._stack)) as connection:
            deadline = time.monotonic() + PATIENCE + PATIENCE_PER_RUN * len(ids)
            while len(ended := _ended(connection, ids)) < len(ids):
                for child in self._stack.children:
                    child.check()
                if time.monotonic() > deadline:
                    raise StartError(f"{len(ids) - len(ended)} runs of {self.dag_id} do not end.")
                time.sleep(0.1)
        if failed := sum(state != "success" for *_, state in ended):
            raise StartError(f"{failed} runs of {self.dag_id} have failed.")
        starts, ends = [row[0] for row in ended], [row[1] for row in ended]
        return Spell(
            seconds=[(end - start).total_seconds() for start, end, _ in ended],
            span=(max(ends) - min(starts)).total_seconds(),
            ids=ids,
        )


def connect(stack: Stack) -> Any:
    """Return a connection to Airflow's database."""
    database = stack.database
    assert database is not None
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=database.port,
        user="airflow",
        password=database.password,
        dbname="postgres",
    )
    connection.autocommit = True
    return connection


def _ended(connection: Any, ids: Sequence[str]) -> list[tuple[datetime, datetime, str]]:
    """Return when each run that has ended was created and when it ended, and its state."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT queued_at, end_date, state FROM dag_run "
            "WHERE run_id = ANY(%s) AND state IN ('success', 'failed')",
            (list(ids),),
        )
        return list(cursor.fetchall())


class EmptyRuns(AirflowWay):
    """A DAG of the shape of a case whose tasks do nothing: what Airflow itself costs."""

    dag_id = EMPTY_DAG

    def bodies(self, name: str, count: int) -> list[dict[str, Any]]:
        """See :meth:`AirflowWay.bodies`."""
        ids = (f"{name.replace('/', '-')}-{number}" for number in range(count))
        return [{"dag_run_id": run_id, "logical_date": None} for run_id in ids]

    def check(self, spell: Spell) -> None:
        """See :meth:`Way.check`: the states of the runs are checked already."""


class Cases(AirflowWay):
    """Cases with a policy of anonymisation."""

    dag_id = CASE_DAG

    def __init__(self, name: str, stack: Stack, api: Api, images: Images, policy: str) -> None:
        super().__init__(name, stack, api)
        self._images, self._policy = images, {"anonymize": policy}
        self._expected: dict[str, Expected] = {}

    def bodies(self, name: str, count: int) -> list[dict[str, Any]]:
        """See :meth:`AirflowWay.bodies`."""
        bodies, keyring = [], self._stack.keyring
        for image, etag in self._images.upload(name, count):
            source = Source(bucket=BUCKET, key=image.key, etag=etag, origin=self.name)
            run_id, conf = source.run_id(keyring), source.to_conf(keyring)
            self._expected[run_id] = image
            body = {"dag_run_id": run_id, "logical_date": None}
            bodies.append({**body, "conf": {**conf, **self._policy}})
        return bodies

    def check(self, spell: Spell) -> None:
        """See :meth:`Way.check`."""
        store, settings = ObjectStore(self._stack.s3), Settings.from_mapping(self._policy)
        for run_id in spell.ids:
            case = Case(self._expected.pop(run_id), 0.0, "success")
            case.case_id = run_id.removeprefix(RUN_PREFIX)
            case.records = audit.records(store, Buckets(BUCKET).audit, case.case_id)
            if problems := verify_case(case, store, settings):
                raise StartError(f"A case of the way {self.name!r} is not right: {problems[0]}.")


def ways_of_airflow(stack: Stack, api: Api, images: Images) -> list[Way]:
    """Return the ways that are runs in a stack: empty, plain and anonymised."""
    return [
        EmptyRuns("empty", stack, api),
        Cases("plain", stack, api, images, "never"),
        Cases("anonymised", stack, api, images, "always"),
    ]


class Original(Way):
    """The events of the demo that this package re-creates: see :mod:`bench.original`."""

    def __init__(self, name: str, address: str, images: Images) -> None:
        super().__init__(name)
        self._address, self._images = address, images

    def prepare(self, name: str, count: int) -> Callable[[], Spell]:
        """See :meth:`Way.prepare`."""
        keys = [image.key for image, _ in self._images.upload(f"{self.name}/{name}", count)]
        return lambda: self._run(keys)

    def _run(self, keys: Sequence[str]) -> Spell:
        began = time.monotonic()
        with ThreadPoolExecutor(CORES) as pool:
            seconds = list(pool.map(self._send, keys))
        return Spell(seconds=seconds, span=time.monotonic() - began, ids=[])

    def _send(self, key: str) -> float:
        began = time.monotonic()
        event = {"s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}}
        answer = httpx.post(self._address, content=json.dumps({"Records": [event]}), timeout=120)
        if answer.status_code != httpx.codes.NO_CONTENT:
            raise StartError("The original's service has failed; its log is beside the stack's.")
        return time.monotonic() - began

    def check(self, spell: Spell) -> None:
        """See :meth:`Way.check`: the answers are checked already."""
