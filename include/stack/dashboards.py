"""Draws the Grafana dashboards without Grafana: ``python -m include.stack.dashboards URL OUT``.

The program reads the dashboards of ``config/grafana``, asks the Prometheus at URL for the query of
each panel, and draws the panels in the dashboard's grid, one picture for each dashboard in the
folder OUT. It shows what the queries find; Grafana draws the same panels with its own looks.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

CONFIG = Path(__file__).resolve().parents[2] / "config"
DASHBOARDS = CONFIG / "grafana" / "dashboards"
COLUMNS = 24
"""The columns of Grafana's grid."""
COLUMN, ROW = 0.78, 0.4
"""The size of a cell of the grid, in inches."""
POINTS = 240
"""The points of a line."""
GREY = "#6b7280"
COLOURS = {
    "green": "#2f9e44",
    "yellow": "#e0a800",
    "orange": "#f08c00",
    "red": "#d6336c",
    "blue": "#1c7ed6",
}
"""Grafana's names of colours."""
PALETTE = ("#1c7ed6", "#2f9e44", "#f08c00", "#7048e8", "#d6336c", "#0ca678", "#868e96", "#e0a800")


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is shown, in seconds since 1970."""

    start: float
    end: float

    @property
    def step(self) -> int:
        """The seconds between two points."""
        return max(1, round((self.end - self.start) / POINTS))

    def expand(self, query: str) -> str:
        """Return a query with Grafana's variables replaced as Grafana does."""
        scraped = yaml.safe_load((CONFIG / "metrics" / "prometheus.yaml").read_text())
        scrape = int(scraped["global"]["scrape_interval"].removesuffix("s"))
        rate = max(self.step + scrape, 4 * scrape)
        whole = round(self.end - self.start)
        return query.replace("$__rate_interval", f"{rate}s").replace("$__range", f"{whole}s")


@dataclass(frozen=True, slots=True)
class Series:
    """A result of a query."""

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.values[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="the address of Prometheus, such as http://localhost:9090")
    parser.add_argument("out", type=Path, help="the folder of the pictures")
    parser.add_argument("--minutes", type=float, default=30, help="the time that is shown")
    options = parser.parse_args(arguments)
    now = time.time()
    for path in draw_dashboards(options.url, options.out, Window(now - options.minutes * 60, now)):
        print(path)
    return 0


def draw_dashboards(url: str, out: Path, window: Window) -> list[Path]:
    """Draw all dashboards, and return the paths of the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for file in sorted(DASHBOARDS.glob("*.json")):
            paths.append(out / f"dashboard-{file.stem}.png")
            draw_dashboard(json.loads(file.read_text()), client, window, paths[-1])
    return paths


def draw_dashboard(
    dashboard: Mapping[str, Any], client: httpx.Client, window: Window, path: Path
) -> None:
    """Draw one dashboard."""
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 2
    figure = Figure(figsize=(COLUMNS * COLUMN, rows * ROW), facecolor="#f4f5f7")
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(window.end))
    minutes = (window.end - window.start) / 60
    heading = {"fontsize": 13, "va": "center", "weight": "bold"}
    figure.text(0.007, 1 - 0.9 / rows, dashboard["title"], **{**heading, "fontsize": 17})
    figure.text(
        0.993, 1 - 0.9 / rows, f"{minutes:.0f} minutes until {when} UTC", ha="right", va="center"
    )
    for panel in panels:
        if panel["type"] == "row":
            figure.text(0.007, 1 - (panel["gridPos"]["y"] + 2.7) / rows, panel["title"], **heading)
        else:
            draw_panel(figure, rows, panel, fetch(client, panel, window), window)
    figure.savefig(path, dpi=80)


def fetch(client: httpx.Client, panel: Mapping[str, Any], window: Window) -> list[Series]:
    """Return what the queries of a panel find within the time.

    Raises:
        httpx.HTTPError: Prometheus does not answer, or refuses a query.
    """
    found = []
    for target in panel["targets"]:
        query = {"query": window.expand(target["expr"])}
        if target.get("instant"):
            answer = client.get("/api/v1/query", params={**query, "time": window.end})
        else:
            span = {"start": window.start, "end": window.end, "step": window.step}
            answer = client.get("/api/v1/query_range", params={**query, **span})
        answer.raise_for_status()
        for result in answer.json()["data"]["result"]:
            points = result.get("values") or [result["value"]]
            known = [(float(at), float(value)) for at, value in points if value != "NaN"]
            if known:
                name = _legend(target["legendFormat"], result["metric"])
                found.append(Series(name, *map(tuple, zip(*known, strict=True))))
    return found


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form)


def draw_panel(
    figure: Figure,
    rows: float,
    panel: Mapping[str, Any],
    found: Sequence[Series],
    window: Window,
) -> None:
    """Draw a panel at its place in the grid."""
    place = panel["gridPos"]
    left, top = place["x"] / COLUMNS, place["y"] + 2
    margin, high = 0.25 / COLUMNS, 0.2 / rows
    box = (
        left + margin / 2,
        1 - (top + place["h"]) / rows + high / 2,
        place["w"] / COLUMNS - margin,
        place["h"] / rows - high,
    )
    frame = figure.add_axes(box, facecolor="white", xticks=[], yticks=[])
    frame.spines[:].set_color("#d9dce1")
    frame.set_title(panel["title"], fontsize=10, loc="left", y=1.0, pad=-14, x=0.02)
    if not found:
        frame.text(0.5, 0.45, "No data", ha="center", va="center", color=GREY, fontsize=12)
    elif panel["type"] == "stat":
        _stat(frame, panel, found)
    elif panel["type"] == "bargauge":
        _bars(figure, box, panel, found)
    else:
        _lines(figure, box, panel, found, window)


def _stat(frame: Axes, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    value, defaults = found[0].last, panel["fieldConfig"]["defaults"]
    steps = defaults.get("thresholds", {}).get("steps", [])
    colour = defaults["color"].get("fixedColor", "blue")
    for step in steps:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    text = readable(value, defaults["unit"], defaults.get("decimals"))
    frame.text(
        0.5, 0.4, text, ha="center", va="center", fontsize=24, color=COLOURS.get(colour, colour)
    )


def _bars(
    figure: Figure, box: tuple[float, ...], panel: Mapping[str, Any], found: Sequence[Series]
) -> None:
    defaults, colours = panel["fieldConfig"]["defaults"], _colours(panel, found)
    shown = sorted(found, key=lambda one: one.name)
    axes = _inner(figure, box, left=0.16, bottom=0.05)
    axes.barh(
        range(len(shown)), [one.last for one in shown], color=[colours[one.name] for one in shown]
    )
    axes.set_yticks(range(len(shown)), [one.name for one in shown], fontsize=9)
    axes.set_xticks([])
    axes.invert_yaxis()
    most = max(one.last for one in shown) or 1
    axes.set_xlim(0, most * 1.2)
    for place, one in enumerate(shown):
        text = readable(one.last, defaults["unit"], defaults.get("decimals"))
        axes.text(one.last + most * 0.02, place, text, va="center", fontsize=9)


def _lines(
    figure: Figure,
    box: tuple[float, ...],
    panel: Mapping[str, Any],
    found: Sequence[Series],
    window: Window,
) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    stacking = defaults["custom"].get("stacking", {}).get("mode")
    axes = _inner(figure, box, left=0.11, bottom=0.27)
    colours, limits = _colours(panel, found), _limits(panel)
    drawn = [one for one in found if one.name not in limits]
    if stacking and drawn:
        _stack(axes, drawn, colours, whole=stacking == "percent")
    for one in found:
        if not stacking or one.name in limits:
            style = "--" if one.name in limits else "-"
            axes.plot(_dates(one.times), one.values, style, color=colours[one.name], label=one.name)
    unit = "percentunit" if stacking == "percent" else defaults["unit"]
    axes.yaxis.set_major_formatter(lambda value, _: readable(value, unit, None))
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.set_xlim(*_dates((window.start, window.end)))
    axes.set_ylim(bottom=0, top=1 if stacking == "percent" else None)
    _mark(axes, unit)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e9ecef")
    if not any(one.name for one in found):
        return
    columns = min(len(found), 3 if max(len(one.name) for one in found) > 22 else 5)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.45, -0.13),
        ncols=columns,
        fontsize=7.5,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.0,
    )


def _mark(axes: Axes, unit: str) -> None:
    """Mark a few values of the scale; those of a time are whole minutes or hours."""
    top = axes.get_ylim()[1]
    steps = [one for one in (60, 300, 900, 3600, 14400, 21600, 86400, 604800) if 6 * one >= top]
    if unit == "s" and top > 300 and steps:
        axes.yaxis.set_major_locator(MultipleLocator(steps[0]))
    else:
        axes.locator_params(axis="y", nbins=5)


def _stack(axes: Axes, found: Sequence[Series], colours: Mapping[str, str], *, whole: bool) -> None:
    """Draw series on top of each other, as shares of their sum if the panel shows a whole."""
    times = sorted({at for one in found for at in one.times})
    values = [
        [dict(zip(one.times, one.values, strict=True)).get(at, 0) for at in times] for one in found
    ]
    if whole:
        sums = [sum(column) or 1 for column in zip(*values, strict=True)]
        values = [[value / total for value, total in zip(row, sums, strict=True)] for row in values]
    axes.stackplot(
        _dates(times),
        values,
        labels=[one.name for one in found],
        colors=[colours[one.name] for one in found],
        alpha=0.8,
        step="post",
    )


def _inner(figure: Figure, box: tuple[float, ...], *, left: float, bottom: float) -> Axes:
    """Return axes within a panel, with room for its title, its scale and its legend."""
    x, y, width, height = box
    axes = figure.add_axes(
        (x + width * left, y + height * bottom, width * (0.97 - left), height * (0.86 - bottom))
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#ced4da")
    return axes


def _colours(panel: Mapping[str, Any], found: Sequence[Series]) -> dict[str, str]:
    """Return the colour of each series: the panel's own, or one of the palette."""
    fixed = {
        one["matcher"]["options"]: setting["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
        for setting in one["properties"]
        if setting["id"] == "color"
    }
    usual = panel["fieldConfig"]["defaults"]["color"].get("fixedColor")
    names = list(dict.fromkeys(one.name for one in found))
    chosen = {
        name: fixed.get(name) or usual or PALETTE[place % len(PALETTE)]
        for place, name in enumerate(names)
    }
    return {name: COLOURS.get(colour, colour) for name, colour in chosen.items()}


def _limits(panel: Mapping[str, Any]) -> set[str]:
    """Return the series that are limits, which are dashed."""
    return {
        one["matcher"]["options"]
        for one in panel["fieldConfig"]["overrides"]
        if any(setting["id"] == "custom.lineStyle" for setting in one["properties"])
    }


def _dates(times: Sequence[float]) -> Any:
    return [at / 86400 for at in times]  # Matplotlib counts days since 1970.


def readable(value: float, unit: str, decimals: int | None) -> str:
    """Return a value with its unit: ``s`` for seconds, ``percentunit`` for a share."""
    if unit == "percentunit":
        return f"{value:.{decimals or 0}%}"
    if unit == "s":
        for seconds, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if value >= seconds:
                return f"{value / seconds:.3g} {name}"
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:.{decimals}f}" if decimals is not None else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
