"""include.stack.dashboards: the pictures of the dashboards, without Grafana"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from include.stack.dashboards import DASHBOARDS, Window, draw_dashboard, readable

WINDOW = Window(1_800_000_000.0, 1_800_003_600.0)


def client(asked: list[str], result: Callable[[str], list[dict[str, Any]]]) -> httpx.Client:
    """A client of a Prometheus that gives a result for each query."""

    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        asked.append(query)
        found = result(request.url.path)
        return httpx.Response(200, json={"data": {"result": found}})

    return httpx.Client(base_url="http://prometheus", transport=httpx.MockTransport(answer))


def some(path: str) -> list[dict[str, Any]]:
    """A series that ends before the time does, with a value that is no number."""
    points = [[WINDOW.start, "NaN"], [WINDOW.start + 600, "0.2"], [WINDOW.start + 1200, "3"]]
    if path.endswith("query"):
        return [{"metric": {"category": "0.9"}, "value": points[-1]}]
    return [{"metric": {"label": "Normal"}, "values": points}]


@pytest.mark.parametrize("file", sorted(DASHBOARDS.glob("*.json")), ids=lambda file: file.stem)
@pytest.mark.parametrize("result", [some, lambda _: []], ids=["data", "no data"])
def test_each_query_is_asked_and_drawn(
    file: Path, result: Callable[[str], list[dict[str, Any]]], tmp_path: Path
) -> None:
    dashboard, asked = json.loads(file.read_text()), list[str]()
    with client(asked, result) as prometheus:
        draw_dashboard(dashboard, prometheus, WINDOW, tmp_path / "picture.png")
    queries = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(asked) == len(queries)
    assert not any("$" in query for query in asked), "a variable of Grafana is left"
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 1000


def test_a_query_that_is_refused_is_no_empty_panel(tmp_path: Path) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": "parse error"})

    dashboard = json.loads(next(DASHBOARDS.glob("*.json")).read_text())
    with (
        httpx.Client(base_url="http://p", transport=httpx.MockTransport(refuse)) as prometheus,
        pytest.raises(httpx.HTTPStatusError),
    ):
        draw_dashboard(dashboard, prometheus, WINDOW, tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.02, "s", 0, "20 ms"),
        (0.0, "s", 0, "0 s"),
        (90.0, "s", None, "1.5 min"),
        (7200.0, "s", None, "2 h"),
        (0.125, "percentunit", 1, "12.5%"),
        (3.0, "short", 0, "3"),
        (0.25, "short", None, "0.25"),
    ],
)
def test_values_have_units(value: float, unit: str, decimals: int | None, text: str) -> None:
    assert readable(value, unit, decimals) == text
