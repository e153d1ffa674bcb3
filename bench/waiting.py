"""The time of many cases at once, beside no case and beside many cases that wait for a review.

The waiting cases are made by the package's own functions: each has a manifest and a marker in the
store. ``xray_reconcile`` opens the forms of as many of them as ``[xray] open_forms`` allows, and
closes them again when the cases wait no longer. The order of the bursts is turned in every other
round, so that a database that grows is no advantage of either.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.stack import running_stack
from bench.ways import Cases, Images
from include.demo.api import Api
from include.demo.stack import Stack
from include.demo.verification import BUCKET
from include.servers.processes import StartError, wait_until
from xray.airflow import config
from xray.case import Buckets, Pinned, Run, Scored, Source, Work
from xray.case.manifest import REVIEW, WAITING_PREFIX, Manifest, ManifestFile, Request
from xray.case.requests import ask
from xray.settings import Settings
from xray.storage import ObjectStore

WAITING, AT_ONCE = 1000, 100
"""Cases that wait for a review, and the cases of each burst that is measured beside them."""
PATIENCE, PATIENCE_PER_CASE = 180.0, 0.2
"""Seconds that opening or closing the forms may take, and the seconds for each waiting case."""
FOLDER = "waiting/"
"""What the object keys of the waiting cases start with. There are no such objects."""


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--waiting", type=int, default=WAITING, help="cases that wait for a review")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="cases at once beside them")
    parser.add_argument("--pairs", type=int, default=2, help="pairs of such bursts")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure the seconds of bursts of cases, with and without waiting cases."""
    cases, waiting = options.at_once, options.waiting
    seconds: dict[int, list[float]] = {0: [], waiting: []}
    with running_stack(console) as (stack, api, _):
        way = Cases("plain", stack, api, Images(stack), "never")
        way.check(way.prepare("warm", 4)())
        queue = Queue(stack, api)
        for number in range(options.pairs):
            for count in (0, waiting) if number % 2 == 0 else (waiting, 0):
                queue.fill(count)
                spell = way.prepare(f"beside{count}/{number}", cases)()
                way.check(spell)
                seconds[count].append(spell.span)
                console.print(f"{cases} cases beside {count} waiting: {spell.span:.1f} s")
    none, many = (statistics.median(values) for values in seconds.values())
    return {
        "cases": cases,
        "waiting": waiting,
        "open_forms": queue.forms(waiting),
        "rounds": options.pairs,
        "none": round(none, 1),
        "thousand": round(many, 1),
        "ratio": round(many / none, 3),
        "partial": (waiting, cases) != (WAITING, AT_ONCE),
    }


def table(figures: dict[str, Any]) -> Table:
    """Return the table of the two kinds of bursts."""
    title = f"{figures['cases']} cases at once: median of {figures['rounds']}"
    drawn = Table("while there wait for a review", "seconds", "ratio", title=title)
    drawn.add_row("no cases", f"{figures['none']:.1f}", "1")
    many = f"{figures['waiting']:,} cases, {figures['open_forms']} with an open form"
    drawn.add_row(many, f"{figures['thousand']:.1f}", f"{figures['ratio']:.2f}")
    return drawn


class Queue:
    """The cases that wait for a review, and their forms."""

    def __init__(self, stack: Stack, api: Api) -> None:
        self._stack, self._api = stack, api
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
        """Let a case wait, as its task *classify* does."""
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


def _source(number: int) -> Source:
    return Source(bucket=BUCKET, key=f"{FOLDER}{number}.jpeg", etag=f"{number:032x}")
