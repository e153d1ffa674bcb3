"""The time of many cases at once, beside no case and beside many cases that wait for a review.

The waiting cases are made by the package's own functions: each has a manifest and a marker in the
store. ``xray_reconcile`` opens the forms of as many of them as ``[xray] open_forms`` allows, and
closes them again when the cases wait no longer. The order of the bursts is turned in every other
round, so that a database that grows is no advantage of either.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from include.demo.api import Api
from include.demo.stack import GROUP, Stack
from include.demo.verification import BUCKET
from include.servers.processes import StartError, wait_until
from include.servers.real.kafka import Kafka
from xray.airflow import config
from xray.case import Buckets, Pinned, Run, Scored, Source, Work
from xray.case.manifest import REVIEW, WAITING_PREFIX, Manifest, ManifestFile, Request
from xray.case.requests import ask
from xray.settings import Settings
from xray.storage import ObjectStore

PATIENCE, PATIENCE_PER_CASE = 180.0, 0.2
"""Seconds that opening or closing the forms may take, and the seconds for each waiting case."""
FOLDER = "waiting/"
"""What the object keys of the waiting cases start with. There are no such objects."""


def measure(
    stack: Stack,
    api: Api,
    kafka: Kafka,
    burst: Callable[[str, int], float],
    *,
    cases: int,
    waiting: int,
    rounds: int,
    console: Console,
) -> dict[str, Any]:
    """Measure the seconds of bursts of cases, with and without waiting cases.

    Args:
        stack: the running stack.
        api: a client of its API.
        kafka: the broker of the notifications.
        burst: runs so many cases under keys with this prefix, and returns the seconds.
        cases: the cases of a burst.
        waiting: how many cases wait.
        rounds: the pairs of bursts.
        console: says what is measured.
    """
    queue = Queue(stack, api, kafka)
    seconds: dict[int, list[float]] = {0: [], waiting: []}
    for number in range(rounds):
        for count in (0, waiting) if number % 2 == 0 else (waiting, 0):
            queue.fill(count)
            seconds[count].append(burst(f"beside{count}/{number}", cases))
            console.print(f"{cases} cases beside {count} waiting: {seconds[count][-1]:.1f} s")
    none, many = (statistics.median(values) for values in seconds.values())
    return {
        "cases": cases,
        "waiting": waiting,
        "open_forms": queue.forms(waiting),
        "rounds": rounds,
        "none": round(none, 1),
        "thousand": round(many, 1),
        "ratio": round(many / none, 3),
    }


class Queue:
    """The cases that wait for a review, and their forms."""

    def __init__(self, stack: Stack, api: Api, kafka: Kafka) -> None:
        self._stack, self._api, self._kafka = stack, api, kafka
        self._store, self._buckets = ObjectStore(stack.s3), Buckets(BUCKET)
        self._waiting: list[Request] = []

    def fill(self, count: int) -> None:
        """Let so many cases wait, and return when a few of them have forms that wait, too."""
        if count == len(self._waiting):
            return
        for number, request in enumerate(self._waiting):
            self._store.delete(self._buckets.manifests, request.marker)
            self._manifest(_source(number)).change(lambda _: Manifest())
        self._waiting = [self._wait(number) for number in range(count)]
        found = len(list(self._store.list(self._buckets.manifests, WAITING_PREFIX)))
        if found != count:
            raise StartError(f"{found} cases wait, and not {count}.")
        self._reconcile(count)

    @staticmethod
    def forms(count: int) -> int:
        """Return how many forms are open if so many cases wait."""
        return min(count, config.open_forms())

    def _wait(self, number: int) -> Request:
        """Let a case wait, as its task *request_review* does."""
        work = Work(
            store=self._store,
            source=_source(number),
            settings=Settings(),
            keyring=self._stack.keyring,
            run=Run(run_id="", task="", try_number=0, triggered_by=None, reran_by=None),
            token="",
        )
        now, sha256 = datetime.now(UTC), f"{number:064x}"
        pinned = Pinned(
            case_id=work.case_id,
            version_id=None,
            etag=str(work.source.etag),
            sha256=sha256,
            size=1,
            modified=now.isoformat(),
            format="JPEG",
            width=1024,
            height=1024,
            settings=Settings().to_mapping(),
            claim=1,
        )
        request = Request(
            kind=REVIEW,
            case_id=work.case_id,
            claim=1,
            sha256=sha256,
            since=now.isoformat(),
            until=(now + timedelta(days=1)).isoformat(),
        )
        work = dataclasses.replace(work, carried_id=work.case_id, claim=1)
        work.manifest.change(lambda _: Manifest(claim=1, case_id=work.case_id))
        ask(work, pinned, Scored(risk=0.7, label="Unsure", model=""), request)
        return request

    def _manifest(self, source: Source) -> ManifestFile:
        return ManifestFile(self._store, self._buckets.manifests, source.key)

    def _reconcile(self, count: int) -> None:
        """Open and close forms, and return when nothing of it is under way any more."""
        body = {"logical_date": None, "conf": {"bucket": BUCKET, "dry_run": True}}
        run = self._api.post("/dags/xray_reconcile/dagRuns", body)
        path = f"/dags/xray_reconcile/dagRuns/{run['dag_run_id']}"
        wanted = ["awaiting_input"] * self.forms(count)
        conditions: dict[str, Callable[[], bool]] = {
            "the end of xray_reconcile": lambda: self._api.get(path)["state"] == "success",
            "the forms": lambda: list(self._forms()) == wanted,
            # The gateway announces the markers and manifests, too.
            "the listener to read all messages": self._read_up,
        }
        for what, ready in conditions.items():
            wait_until(
                ready,
                what,
                seconds=PATIENCE + count * PATIENCE_PER_CASE,
                children=self._stack.children,
            )

    def _forms(self) -> Iterator[str | None]:
        """Yield the state of each form that is not closed."""
        for run in self._api.all("/dags/xray_review/dagRuns", "dag_runs", state="running"):
            path = f"/dags/xray_review/dagRuns/{run['dag_run_id']}/taskInstances/{REVIEW}"
            yield self._api.get(path)["state"]

    def _read_up(self) -> bool:
        """Return whether the listener has read all notifications."""
        return self._kafka.committed(GROUP, config.TOPIC) == self._kafka.end_offsets(config.TOPIC)


def _source(number: int) -> Source:
    return Source(bucket=BUCKET, key=f"{FOLDER}{number}.jpeg", etag=f"{number:032x}")
