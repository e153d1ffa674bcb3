"""Flame graphs: where the processor time of the processes of tasks goes.

:func:`draw` draws stacks that :mod:`bench.sampling` has counted as an SVG. The width of a function
is its share of the time, and functions stand on those that have called them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

Stacks = Counter[tuple[str, ...]]
"""The microseconds of each stack, whose functions are named from the outermost to the innermost."""

WIDTH, ROW, FONT = 1200, 17, 11
"""The width of the picture, the height of a function and of its letters, in pixels."""
LETTER = 6.2
"""The mean width of a letter, in pixels."""
LEAST = 0.002
"""The share of the time below which a function is not drawn."""
MOST_ROWS = 34
"""How many functions are drawn on each other at most."""
COLOURS = {
    "xray": "#f4a261",
    "airflow": "#8ecae6",
    "boto": "#a7c957",
    "onnxruntime": "#e5989b",
    "": "#dddddd",
}
"""The colour of a function, by the beginning of its module."""


@dataclass
class _Frame:
    """A function at one place in the graph."""

    name: str
    count: int = 0
    inner: dict[str, _Frame] = field(default_factory=dict)

    def add(self, stack: Iterable[str], count: int) -> None:
        """Add the time of a stack below this function."""
        frame = self
        frame.count += count
        for name in stack:
            frame = frame.inner.setdefault(name, _Frame(name))
            frame.count += count

    def depth(self, least: float) -> int:
        """Return how many functions stand on each other, this one included."""
        return 1 + max((f.depth(least) for f in self.inner.values() if f.count >= least), default=0)


def read(files: Iterable[Path]) -> Stacks:
    """Return the times in files that :mod:`bench.sampling` has written."""
    found: Stacks = Counter()
    for file in files:
        for line in file.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            if stack != "#":
                found[tuple(stack.split(";"))] += int(count)
    return found


def inside(stacks: Stacks, function: str) -> Stacks:
    """Return the times in a function, with the stacks from that function on."""
    found: Stacks = Counter()
    for stack, count in stacks.items():
        if function in stack:
            found[stack[stack.index(function) :]] += count
    return found


def draw(stacks: Stacks, title: str) -> str:
    """Return the flame graph as an SVG."""
    root = _Frame("all")
    for stack, count in stacks.items():
        root.add(stack, count)
    least = root.count * LEAST
    height = (min(MOST_ROWS, root.depth(least)) + 2) * ROW
    body = "\n".join(_rectangles(root, 0.0, 1, WIDTH / max(1, root.count), height, least))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="Verdana, sans-serif" font-size="{FONT}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="4" y="{ROW - 4}" font-size="13">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _rectangles(
    frame: _Frame, left: float, level: int, scale: float, height: int, least: float
) -> Iterator[str]:
    """Yield the SVG of a function and of those that it has called; the outermost is at the foot."""
    width, top = frame.count * scale, height - level * ROW
    share = f"{width / WIDTH:.1%}"
    shown = _shortened(frame.name, int((width - 4) / LETTER))
    yield (
        f'<g><title>{escape(frame.name)}: {share}</title><rect x="{left:.1f}" y="{top}" '
        f'width="{max(0.3, width - 0.4):.1f}" height="{ROW - 1}" fill="{_colour(frame.name)}"/>'
        + (f'<text x="{left + 2:.1f}" y="{top + ROW - 5}">{escape(shown)}</text>' if shown else "")
        + "</g>"
    )
    for inner in sorted(frame.inner.values(), key=lambda one: one.name):
        if inner.count >= least and level < MOST_ROWS:
            yield from _rectangles(inner, left, level + 1, scale, height, least)
        left += inner.count * scale


def _shortened(name: str, letters: int) -> str:
    """Return as much of a function's name as has room: without its package, or nothing."""
    parts = name.split(".")
    for start in range(len(parts)):
        if len(rest := ".".join(parts[start:])) <= letters:
            return rest
    return parts[-1][: letters - 1] + "…" if letters > 3 else ""


def _colour(name: str, colours: Mapping[str, str] = COLOURS) -> str:
    return next(colour for start, colour in colours.items() if name.startswith(start))
