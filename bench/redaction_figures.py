"""The figures of the redaction's benchmark, by way and kind, and their table."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from bench import corpus

NAMES = {
    "untouched": "nothing",
    "corner": "the original's corner",
    "presidio": "Presidio's image redactor",
    "xray": "xray.redaction",
}
"""The ways, with the names for people."""
GROUPS: dict[str, tuple[str, ...]] = {
    "ordinary": corpus.ORDINARY,
    "hard": corpus.HARD,
    "new": tuple(corpus.NEW),
}
"""Groups of kinds."""
NAMED = {"all": "all, with kept markers"}
"""Names of groups that do not say enough."""
KINDS = (*corpus.SHARES, *corpus.NEW)
_COLUMNS = (
    "images",
    "leaks",
    "published",
    "quarantined",
    "characters",
    "false area",
    "|Δrisk| to bare",
    "to text",
    "on real",
    "CPU-s",
)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one way: of all images, of each group, and of each kind."""
    groups = {"all": rows}
    for name, members in GROUPS.items():
        groups[name] = [row for row in rows if row["kind"] in members]
    for kind in KINDS:
        groups[kind] = [row for row in rows if row["kind"] == kind]
    return {name: _figures(group) for name, group in groups.items() if group}


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    areas = _known(rows, "false_area")
    quarantined = sum(row["quarantined"] for row in rows)
    return {
        "images": len(rows),
        "leaks": sum(row["leak"] for row in rows),
        "published_leaks": sum(row["published_leak"] for row in rows),
        "quarantined": quarantined,
        "quarantined_share": round(quarantined / len(rows), 4),
        "characters": _mean(_known(rows, "characters"), 4),
        "false_area": _mean(areas, 5),
        "false_area_p95": round(float(np.percentile(areas, 95)), 5) if areas else None,
        "risk_from_bare": _mean(_known(rows, "risk_from_bare"), 5),
        "risk_from_text": _mean(_known(rows, "risk_from_text"), 5),
        "risk_on_real": _mean(_known(rows, "risk_on_real"), 5),
        "cpu_seconds": _mean(_known(rows, "cpu_seconds"), 3),
    }


def _known(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows if row[name] is not None]


def _mean(values: list[float], digits: int) -> float | None:
    return round(float(np.mean(values)), digits) if values else None


def table(result: dict[str, Any]) -> Table:
    """Return a table of the figures by way and group, and of this project's by kind."""
    shown = Table(
        title=f"Text on {result['images']} images; readers: {', '.join(result['readers'])}"
    )
    shown.add_column("", no_wrap=True)
    for name in _COLUMNS:
        shown.add_column(name, justify="right")
    for way, figures in result["ways"].items():
        for group in ("all", *GROUPS, "clean"):
            if group in figures:
                shown.add_row(f"{NAMES[way]}: {NAMED.get(group, group)}", *_cells(figures[group]))
    for kind in KINDS:
        if kind in result["ways"].get("xray", {}):
            shown.add_row(f"  {kind}", *_cells(result["ways"]["xray"][kind]))
    for cost in result["sizes"]:
        shown.add_row(
            f"{cost['picture']}, {cost['width']} x {cost['height']}: {cost['mib']} MiB",
            *[""] * (len(_COLUMNS) - 1),
            f"{cost['cpu_seconds']:.2f}",
        )
    return shown


def _cells(figures: dict[str, Any]) -> list[str]:
    return [
        str(figures["images"]),
        str(figures["leaks"]),
        str(figures["published_leaks"]),
        f"{figures['quarantined']} ({figures['quarantined_share']:.1%})",
        _cell(figures["characters"], ".2%"),
        _cell(figures["false_area"], ".2%"),
        _cell(figures["risk_from_bare"], ".4f"),
        _cell(figures["risk_from_text"], ".4f"),
        _cell(figures["risk_on_real"], ".4f"),
        _cell(figures["cpu_seconds"], ".2f"),
    ]


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
