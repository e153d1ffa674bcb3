"""Draws where the processor time of a case goes, before and after: ``python -m bench.charts``.

The figures are those of ``bench/results.json``: ``cases``, and ``cases_before``, which the same
benchmark has measured with the code from before the work on speed.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl

from include.demo.stack import ROOT

mpl.use("Agg")
from matplotlib import pyplot as plt

RESULTS = ROOT / "bench" / "results.json"
PICTURE = ROOT / "docs" / "pictures" / "case-cpu.png"
ROWS = (
    ("empty", "cases", "empty tasks of the same shape"),
    ("plain", "cases_before", "plain, before"),
    ("plain", "cases", "plain, now"),
    ("anonymised", "cases_before", "anonymised, before"),
    ("anonymised", "cases", "anonymised, now"),
)
"""The way, the result, and the label of each bar, from the top."""
PARTS = {
    "tasks": ("tasks", "#f4a261"),
    "API server": ("api-server", "#8ecae6"),
    "scheduler": ("scheduler", "#a7c957"),
    "database": ("database", "#9d8ec7"),
}
"""The components of the bars; the rest is summed up."""
REST = "#cccccc"


def draw(results: dict[str, Any]) -> None:
    """Draw the chart."""
    figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
    labels = [label for *_, label in ROWS]
    costs = [results[result][way]["cpu"] for way, result, _ in ROWS]
    lefts = [0.0] * len(ROWS)
    for part, (name, colour) in PARTS.items():
        widths = [cost.get(name, {"median": 0.0})["median"] for cost in costs]
        axes.barh(labels, widths, left=lefts, color=colour, label=part, height=0.65)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    totals = [cost["all"]["median"] for cost in costs]
    rests = [max(0.0, total - left) for total, left in zip(totals, lefts, strict=True)]
    axes.barh(labels, rests, left=lefts, color=REST, label="other", height=0.65)
    for label, total in zip(labels, totals, strict=True):
        axes.text(total + 0.04, label, f"{total:.2f}", va="center")
    axes.invert_yaxis()
    axes.set_xlabel("CPU-seconds of a run, above the idle stack")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, ncols=len(PARTS) + 1, loc="outside upper center", fontsize="small")
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(RESULTS.read_text()))
