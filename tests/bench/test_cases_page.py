"""bench.cases_page: the figures of the page *Cases*, and what is said of the targets"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from rich.console import Console

from bench.cases_page import Site, figures, summed_up, table
from include.servers.processes import StartError


def site(*rounds: list[float], rows: int = 50) -> Site:
    return Site(httpx.Client(), {"gallery": ""}, {"gallery": rows}, {"gallery": list(rounds)})


def result(ratio: float, worst: float) -> dict[str, Any]:
    few = {"median": 10.0, "p95": 11.0, "worst": 12.0, "rows": 7}
    many = {"median": 10 * ratio, "p95": worst, "worst": worst, "rows": 50}
    spread = {"median": ratio, "low": ratio - 0.1, "high": ratio + 0.1}
    requests = {
        "gallery": {"few": few, "many": few, "ratio": {"median": 1.0, "low": 1.0, "high": 1.0}},
        "state": {"few": few, "many": many, "ratio": spread},
    }
    sizes = {"sizes": [1_000, 100_000], "rounds": 5, "times": 8}
    return {**sizes, "requests": requests, **summed_up(requests)}


def printed(found: dict[str, Any]) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(table(found))
    return capture.get()


def test_a_ratio_is_that_of_each_round() -> None:
    few = site([10, 10, 40], [20, 20, 20], [10, 12, 11])
    found = figures(few, site([15, 15, 15], [60, 60, 60], [11, 11, 11]), "gallery")
    assert found["ratio"] == {"median": 1.5, "low": 1.0, "high": 3.0}
    assert found["few"] == {"median": 12, "p95": 32.0, "worst": 40, "rows": 50}
    assert found["many"]["worst"] == 60


@pytest.mark.parametrize(
    ("ratio", "worst", "met"),
    [
        (2.0, 300.0, {"ratio": True, "ms": True}),
        (2.01, 300.0, {"ratio": False, "ms": True}),
        (1.1, 300.1, {"ratio": True, "ms": False}),
    ],
)
def test_a_target_that_is_missed_is_said(ratio: float, worst: float, met: dict[str, bool]) -> None:
    found = result(ratio, worst)
    assert found["met"] == met
    assert found["worst_ratio"]["median"] == ratio
    text = printed(found)
    assert text.count("missed") == list(met.values()).count(False)
    assert f"{ratio:.2f} ({ratio - 0.1:.2f} to {ratio + 0.1:.2f})" in text
    assert "7, 50" in text


def test_the_cases_of_a_page_are_counted_and_its_time_is_kept() -> None:
    pages = {"/xray/cases": 'id="case-1" id="case-2"', "/xray/cases?state=failed": ""}
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=pages[request.url.raw_path.decode()])
    )
    with httpx.Client(base_url="http://airflow", transport=transport) as http:
        one = Site(http, {"all": "", "failed": "?state=failed"})
        one.visit_all()
        for number in (0, 0, 1):
            one.time("all", number)
    assert one.rows == {"all": 2, "failed": 0}
    assert [len(spell) for spell in one.rounds["all"]] == [2, 1]
    assert all(milliseconds > 0 for spell in one.rounds["all"] for milliseconds in spell)


def test_a_page_that_is_not_answered_ends_the_benchmark() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    with httpx.Client(base_url="http://airflow", transport=transport) as http:
        one = Site(http, {"gallery": ""})
        with pytest.raises(StartError, match="answers 503: gallery"):
            one.visit_all()
        with pytest.raises(httpx.HTTPStatusError):
            one.time("gallery", 0)
