"""The time of the page *Cases* with many cases in the index, beside few.

Two stacks of PostgreSQL and Airflow's API server, with few and with many cases, answer the same
requests of a user in turns: what else runs on the machine slows both. The other components of
Airflow do not run, so that the runs in the queue stay there. The order of the two is turned with
each request.

``ms``
    The milliseconds of a request over HTTP, with the login: median, 95 % and worst of all.
``ratio``
    The median with many cases divided by that with few, round by round: median, lowest, highest.
``rows``
    Cases on the answered page.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg2
from rich.console import Console, Group
from rich.table import Table

from bench.comparison import Figure
from bench.index_rows import add_cases
from bench.page_requests import requests_of
from bench.stack import WORK
from include.demo.stack import Stack
from include.servers.processes import StartError

FEW, MANY = 1_000, 100_000
"""Cases in the two indexes."""
SIZES = ("few", "many")
"""Their names in the figures."""
ROUNDS, TIMES = 5, 8
"""Rounds, and how often each request is sent to each stack in one."""
MOST_RATIO, MOST_MS = 2.0, 300.0
"""The targets: the time with many cases divided by that with few, and any time."""
FIGURES = (Figure("worst_ratio"), Figure("requests.gallery.ratio"))
"""The figures that are compared with the recorded ones."""


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--indexed", type=int, default=MANY, help="cases in the larger index")
    parser.add_argument("--page-rounds", type=int, default=ROUNDS, help="rounds of all requests")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all requests with few and with many cases, and return the figures."""
    sizes, now = (FEW, options.indexed), datetime.now(UTC)
    shutil.rmtree(WORK, ignore_errors=True)
    console.print("Starting PostgreSQL and Airflow's API server twice …")
    with _site(FEW, now) as few, _site(options.indexed, now) as many:
        sites = (few, many)
        for site in sites:
            site.visit_all()
        for number in range(options.page_rounds):
            for name in few.requests:
                for turn in range(TIMES):
                    for site in sites if (turn + number) % 2 else reversed(sites):
                        site.time(name, number)
            console.print(f"Round {number + 1} of {options.page_rounds} is done.")
    requests = {name: figures(few, many, name) for name in few.requests}
    return {
        "sizes": list(sizes),
        "rounds": options.page_rounds,
        "times": TIMES,
        "requests": requests,
        **summed_up(requests),
        "partial": (options.indexed, options.page_rounds) != (MANY, ROUNDS),
    }


@dataclass
class Site:
    """A stack, the requests of its user, and how long they took."""

    http: httpx.Client
    requests: Mapping[str, str]
    """The query of each request."""
    rows: dict[str, int] = field(default_factory=dict)
    """The cases on each page."""
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    """The milliseconds of each request, by round."""

    def visit_all(self) -> None:
        """Send each request, so that nothing is loaded later, and count the cases on the pages.

        Raises:
            StartError: a page is not answered.
        """
        for name, query in self.requests.items():
            answer = self.http.get(f"/xray/cases{query}")
            if answer.status_code != httpx.codes.OK:
                raise StartError(f"The page Cases answers {answer.status_code}: {name}")
            self.rows[name] = answer.text.count('id="case-')

    def time(self, name: str, number: int) -> None:
        """Send a request in the round with a number, and keep how long it took."""
        rounds = self.rounds.setdefault(name, [])
        if len(rounds) <= number:
            rounds.append([])
        began = time.perf_counter()
        self.http.get(f"/xray/cases{self.requests[name]}").raise_for_status()
        rounds[number].append(1000 * (time.perf_counter() - began))


@contextmanager
def _site(number: int, now: datetime) -> Iterator[Site]:
    """Start a stack with so many cases in its index."""
    stack = Stack(
        home=WORK / f"indexed-{number}",
        kafka={"bootstrap.servers": "127.0.0.1:1"},  # Nothing here uses Kafka.
        storage=False,
        listening=False,
        components=("api-server",),
    )
    with stack, stack.api() as api:
        assert stack.database is not None
        with closing(psycopg2.connect(stack.database.url.replace("+psycopg2", ""))) as database:
            database.autocommit = True  # VACUUM runs in no transaction.
            known = add_cases(database.cursor(), number, now)
        headers = {"Authorization": f"Bearer {api.token}"}
        with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as http:
            yield Site(http, requests_of(known, now))


def figures(few: Site, many: Site, name: str) -> dict[str, Any]:
    """Return the figures of a request."""
    pairs = zip(few.rounds[name], many.rounds[name], strict=True)
    ratios = [statistics.median(slow) / statistics.median(fast) for fast, slow in pairs]
    ratio = {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return {
        "few": _times(few, name),
        "many": _times(many, name),
        "ratio": {key: round(value, 2) for key, value in ratio.items()},
    }


def _times(site: Site, name: str) -> dict[str, float]:
    """Return the milliseconds of a request at one site, and the cases on its page."""
    times = [one for spell in site.rounds[name] for one in spell]
    found = {
        "median": statistics.median(times),
        "p95": statistics.quantiles(times, n=20, method="inclusive")[-1],
        "worst": max(times),
    }
    return {**{key: round(value, 1) for key, value in found.items()}, "rows": site.rows[name]}


def summed_up(requests: Mapping[str, Any]) -> dict[str, Any]:
    """Return the worst ratio, the worst times, and whether each target is met."""
    ratio = max((one["ratio"] for one in requests.values()), key=lambda one: one["median"])
    worst = {size: max(one[size]["worst"] for one in requests.values()) for size in SIZES}
    return {
        "worst_ratio": ratio,
        "worst_ms": worst,
        "met": {"ratio": ratio["median"] <= MOST_RATIO, "ms": worst["many"] <= MOST_MS},
    }


def table(result: dict[str, Any]) -> Group:
    """Return the table of all requests, and the worst of them beside the targets."""
    title = f"The page Cases: {result['rounds']} rounds of {result['times']} requests each"
    few, many = (f"{size:,} cases" for size in result["sizes"])
    times = (f"ms, {few}", f"ms, {many}", "95 %", "worst")
    drawn = Table("", "rows", *times, "ratio", title=title)
    for name, one in result["requests"].items():
        ratio = one["ratio"]
        drawn.add_row(
            name,
            f"{one['few']['rows']}, {one['many']['rows']}",
            f"{one['few']['median']:.1f}",
            *(f"{one['many'][key]:.1f}" for key in ("median", "p95", "worst")),
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
        )
    targets = Table("", "worst", "target", "", title="Beside the targets")
    worst = result["worst_ms"]
    targets.caption = f"The worst time with {few} was {worst['few']:.1f} ms."
    words = {True: "met", False: "[red]missed"}
    ratio, met = result["worst_ratio"]["median"], result["met"]
    targets.add_row("ratio", f"{ratio:.2f}", f"{MOST_RATIO:g}", words[met["ratio"]])
    targets.add_row("ms", f"{worst['many']:.1f}", f"{MOST_MS:g}", words[met["ms"]])
    return Group(drawn, targets)
