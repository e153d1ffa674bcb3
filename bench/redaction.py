"""What the redaction misses, and what it costs: ``make bench PART=redaction``.

A corpus of X-rays with known text (:mod:`bench.corpus`) goes through this project's redaction, the
original system's rule, and Presidio's image redactor if ``--presidio`` names a Python that has it.
Then readers try to read each text where it stood (:mod:`bench.readers`). A *leak* is an image of
which they read four characters in a row.

The risk of each result is compared twice: with the risk of the same image before text was written
on it, which is what the fill should restore, and with the risk of the image with its text, which
itself changes the risk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from bench import corpus, readers
from bench.corpus import Sample

SEED = 11
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "redaction.jpeg"
WAYS = ("untouched", "corner", "presidio", "xray")
NAMES = {
    "untouched": "nothing",
    "corner": "the original's corner",
    "presidio": "Presidio's image redactor",
    "xray": "xray.redaction",
}
PRESIDIO = Path(__file__).with_name("presidio.py")


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--images", type=int, default=500, help="size of the corpus")
    parser.add_argument(
        "--presidio",
        type=Path,
        default=None,
        help="a Python that has presidio-image-redactor and a spaCy model",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, and return the figures by way and kind."""
    kinds = corpus.kinds(options.images)
    console.print(f"{options.images} images, {options.workers} processes …")
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as name:
        folder = Path(name)
        with ProcessPoolExecutor(options.workers) as pool:
            jobs = [(n, kind, folder) for n, kind in enumerate(kinds)]
            rows = list(pool.map(_measure, jobs))
            if options.presidio:
                console.print("Presidio …")
                seconds = _presidio(options.presidio, folder)
                rows += [row for found in pool.map(_measure_presidio, jobs) for row in found]
            else:
                seconds = None
    flat = [row for found in rows for row in (found if isinstance(found, list) else [found])]
    result = {
        "images": options.images,
        "readers": readers.names(),
        "ways": {
            way: _summary([row for row in flat if row["way"] == way])
            for way in WAYS
            if any(row["way"] == way for row in flat)
        },
        "missed": [
            {key: row[key] for key in ("index", "kind", "quarantined", "texts")}
            for row in flat
            if row["way"] == "xray" and row["leak"]
        ],
        "sizes": _costs(),
    }
    if seconds is not None:
        result["ways"]["presidio"]["all"]["cpu_seconds"] = seconds / len(kinds)
    _picture(kinds)
    return result


def _measure(job: tuple[int, str, Path]) -> list[dict[str, Any]]:
    """Judge every way but Presidio's on one sample, and save the sample for Presidio."""
    index, kind, folder = job
    cv2.setNumThreads(1)
    sample = corpus.sample(SEED, index, kind)
    sample.image.save(folder / f"{index:05}.png", compress_level=1)
    return [
        _judge(sample, index, "untouched", lambda: (sample.image, False)),
        _judge(sample, index, "corner", lambda: (_corner(sample.image), False)),
        _judge(sample, index, "xray", lambda: _xray(sample.image)),
    ]


def _measure_presidio(job: tuple[int, str, Path]) -> list[dict[str, Any]]:
    """Judge Presidio's result on one sample."""
    index, kind, folder = job
    cv2.setNumThreads(1)
    sample = corpus.sample(SEED, index, kind)
    with Image.open(folder / "out" / f"{index:05}.png") as image:
        redacted = image.convert("L")
    return [_judge(sample, index, "presidio", lambda: (redacted, False))]


def _presidio(python: Path, folder: Path) -> float:
    """Redact the folder in Presidio's own environment, and return the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(python), str(PRESIDIO), str(folder), str(folder / "out")], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _xray(image: Image.Image) -> tuple[Image.Image, bool]:
    from xray.redaction import redact

    done = redact(image)
    return done.image, done.quarantined


def _corner(image: Image.Image) -> Image.Image:
    """Blur 300 x 100 pixels at the bottom left by 5, as the original system does."""
    result = image.copy()
    box = (0, max(0, image.height - 100), min(300, image.width), image.height)
    result.paste(image.crop(box).filter(ImageFilter.GaussianBlur(5)), box)
    return result


def _judge(
    sample: Sample, index: int, way: str, work: Callable[[], tuple[Image.Image, bool]]
) -> dict[str, Any]:
    """Run one way on one sample, and return the figures."""
    began = time.process_time()
    image, quarantined = work()
    seconds = time.process_time() - began
    before, after = np.asarray(sample.image).astype(int), np.asarray(image).astype(int)
    changed = np.abs(before - after) > 0
    # A filled pixel can equal the one before: it counts as changed if its neighbours are changed.
    changed = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7))) > 0
    read = [text.string for text in sample.texts if readers.is_read(image, text, sample.kind)]
    return {
        "way": way,
        "index": index,
        "kind": sample.kind,
        "leak": bool(read),
        "texts": read,
        "quarantined": quarantined,
        "published_leak": bool(read) and not quarantined,
        "characters": _removed(sample, changed),
        "false_area": float((changed & (sample.zone == 0)).mean()),
        "risk_from_bare": _risk_moved(sample.bare, image),
        "risk_from_text": _risk_moved(sample.image, image),
        "cpu_seconds": seconds,
    }


def _removed(sample: Sample, changed: Any) -> float | None:
    """Return the share of the letters that have lost at least nine tenths of their ink."""
    if not sample.letters.any():
        return None
    ink = np.bincount(sample.letters.ravel())[1:]
    gone = np.bincount(sample.letters.ravel(), changed.ravel())[1:]
    return float((gone[ink > 0] / ink[ink > 0] >= 0.9).mean())


def _risk_moved(before: Image.Image, after: Image.Image) -> float:
    """Return the absolute difference of the two images' risks."""
    model = _model()
    return abs(model.score(before) - model.score(after))


@cache
def _model() -> Any:
    """Load the model, once per process."""
    from xray.risk import RiskModel

    return RiskModel.load()


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one way: of all images, of each group, and of each kind."""
    groups: dict[str, list[dict[str, Any]]] = {
        "all": rows,
        "ordinary": [row for row in rows if row["kind"] in corpus.ORDINARY],
        "hard": [row for row in rows if row["kind"] in corpus.HARD],
    }
    for kind in corpus.SHARES:
        groups[kind] = [row for row in rows if row["kind"] == kind]
    return {name: _figures(group) for name, group in groups.items() if group}


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = [row["characters"] for row in rows if row["characters"] is not None]
    return {
        "images": len(rows),
        "leaks": sum(row["leak"] for row in rows),
        "published_leaks": sum(row["published_leak"] for row in rows),
        "quarantined": sum(row["quarantined"] for row in rows),
        "characters": round(float(np.mean(known)), 4) if known else None,
        "false_area": round(float(np.mean([row["false_area"] for row in rows])), 5),
        "false_area_p95": round(float(np.percentile([row["false_area"] for row in rows], 95)), 5),
        "risk_from_bare": round(float(np.mean([row["risk_from_bare"] for row in rows])), 5),
        "risk_from_text": round(float(np.mean([row["risk_from_text"] for row in rows])), 5),
        "cpu_seconds": round(float(np.mean([row["cpu_seconds"] for row in rows])), 3),
    }


SIZES = ((1000, 800), (1500, 1200), (2500, 2000), (4000, 3500))
_PROBE = """
import resource, sys, time
from PIL import Image
from xray.redaction import redact
image = Image.open(sys.argv[1]).convert("L").resize((int(sys.argv[2]), int(sys.argv[3])))
redact(image.resize((200, 160)))
before = time.process_time()
redact(image)
print(time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _costs() -> list[dict[str, Any]]:
    """Return the CPU seconds and the peak memory of a process that redacts one image, by size."""
    found = []
    path = sorted(corpus.IMAGES.rglob("*.jpeg"))[0]
    for width, height in SIZES:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, str(path), str(width), str(height)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, mib = (float(n) for n in done.stdout.split())
        found.append(
            {"width": width, "height": height, "cpu_seconds": round(seconds, 2), "mib": round(mib)}
        )
    return found


def _picture(kinds: list[str]) -> None:
    """Draw the picture for the docs: one sample of each kind, before and after."""
    from xray.redaction import redact

    tile = (300, 240)
    shown = [*corpus.ORDINARY, *corpus.HARD]
    sheet = Image.new("L", (4 * tile[0], -(-len(shown) // 2) * tile[1]))
    for place, kind in enumerate(shown):
        sample = corpus.sample(SEED, kinds.index(kind), kind)
        for offset, image in enumerate((sample.image, redact(sample.image, outline=True).image)):
            image = image.resize((tile[0] - 4, tile[1] - 4), Image.Resampling.LANCZOS)
            sheet.paste(image, ((place % 2 * 2 + offset) * tile[0], place // 2 * tile[1]))
    sheet.save(PICTURE, quality=70, optimize=True)


def table(result: dict[str, Any]) -> Table:
    """Return a table of the figures by way, and of this project's by kind."""
    shown = Table(
        title=f"Text on {result['images']} images; readers: {', '.join(result['readers'])}"
    )
    for name in ("", "images", "leaks", "published", "quarantined", "characters", "false area"):
        shown.add_column(name, justify="left" if not name else "right")
    shown.add_column("|Δrisk| to bare", justify="right")
    shown.add_column("to text", justify="right")
    shown.add_column("CPU-s", justify="right")
    for way, figures in result["ways"].items():
        for group in ("ordinary", "hard", "clean"):
            if group in figures:
                shown.add_row(f"{NAMES[way]}: {group}", *_cells(figures[group]))
    for kind in corpus.SHARES:
        if kind in result["ways"]["xray"]:
            shown.add_row(f"  {kind}", *_cells(result["ways"]["xray"][kind]))
    for cost in result["sizes"]:
        shown.add_row(
            f"{cost['width']} x {cost['height']}: {cost['mib']} MiB",
            *[""] * 8,
            f"{cost['cpu_seconds']:.2f}",
        )
    return shown


def _cells(figures: dict[str, Any]) -> list[str]:
    characters = figures["characters"]
    return [
        str(figures["images"]),
        str(figures["leaks"]),
        str(figures["published_leaks"]),
        str(figures["quarantined"]),
        "" if characters is None else f"{characters:.2%}",
        f"{figures['false_area']:.2%}",
        f"{figures['risk_from_bare']:.4f}",
        f"{figures['risk_from_text']:.4f}",
        f"{figures['cpu_seconds']:.2f}",
    ]


if __name__ == "__main__":
    print(json.dumps(_costs(), indent=1))
