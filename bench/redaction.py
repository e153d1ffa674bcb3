"""What redaction misses, and what it costs: ``make bench PART=redaction``.

A corpus of X-rays with known text (:mod:`bench.corpus`) goes through the
product, the original system's rule, and Presidio's image redactor if
``--presidio`` names a Python that has it. Then two readers try to read each text
where it stood, turned upright and enlarged, which is more than whoever finds the
image can do: PP-OCR's, and Tesseract if it is installed. Bar and QR codes go to
OpenCV's decoders. A *leak* is an image of which four characters in a row were
read. The risk is compared with that of the same image before the text was
written on it, which is what the fill is to restore, and with that of the image
as it came, in which the text itself moves it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from bench import corpus
from bench.corpus import Sample, Text

IN_A_ROW = 4
"""Characters that make a leak."""
FAINTEST = 6
"""Grey levels of a stroke that a reader is asked about; the faintest text has more than twice."""
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
    """The options of this part."""
    parser.add_argument("--images", type=int, default=500, help="size of the corpus")
    parser.add_argument(
        "--presidio",
        type=Path,
        default=None,
        help="a Python that has presidio-image-redactor and a spaCy model",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure; the figures by way and kind."""
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
        "readers": _readers(),
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
    """One sample through every way but Presidio's; it is left in the folder for that."""
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
    index, kind, folder = job
    cv2.setNumThreads(1)
    sample = corpus.sample(SEED, index, kind)
    with Image.open(folder / "out" / f"{index:05}.png") as image:
        redacted = image.convert("L")
    return [_judge(sample, index, "presidio", lambda: (redacted, False))]


def _presidio(python: Path, folder: Path) -> float:
    """Redact the folder in Presidio's own environment; the CPU-seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(python), str(PRESIDIO), str(folder), str(folder / "out")], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _xray(image: Image.Image) -> tuple[Image.Image, bool]:
    from xray.redaction import redact

    done = redact(image)
    return done.image, done.quarantined


def _corner(image: Image.Image) -> Image.Image:
    """The original system's: 300 x 100 pixels at the bottom left, blurred by 5."""
    result = image.copy()
    box = (0, max(0, image.height - 100), min(300, image.width), image.height)
    result.paste(image.crop(box).filter(ImageFilter.GaussianBlur(5)), box)
    return result


def _judge(
    sample: Sample, index: int, way: str, work: Callable[[], tuple[Image.Image, bool]]
) -> dict[str, Any]:
    """What one way made of one sample."""
    began = time.process_time()
    image, quarantined = work()
    seconds = time.process_time() - began
    before, after = np.asarray(sample.image).astype(int), np.asarray(image).astype(int)
    changed = np.abs(before - after) > 0
    # Filled ground can equal what was there: a pixel counts as changed if its neighbours are.
    changed = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7))) > 0
    read = [text.string for text in sample.texts if _is_read(image, text, sample.kind)]
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
    """Share of the letters of whose ink at least nine tenths are gone."""
    if not sample.letters.any():
        return None
    ink = np.bincount(sample.letters.ravel())[1:]
    gone = np.bincount(sample.letters.ravel(), changed.ravel())[1:]
    return float((gone[ink > 0] / ink[ink > 0] >= 0.9).mean())


def _risk_moved(before: Image.Image, after: Image.Image) -> float:
    model = _model()
    return abs(model.score(before) - model.score(after))


_LOADED: list[Any] = []


def _model() -> Any:
    from xray.risk import RiskModel

    if not _LOADED:
        _LOADED.append(RiskModel.load())
    return _LOADED[0]


def _is_read(image: Image.Image, text: Text, kind: str) -> bool:
    """Whether a reader that knows where ``text`` stood reads any of it."""
    if kind == "codes":
        return _is_decoded(image, text)
    from xray.redaction import ocr

    wanted = plain(text.string)
    line = _line(image, text)
    if _is_blank(line):
        return False
    line = cv2.normalize(line, None, 0, 255, cv2.NORM_MINMAX)
    if has_in_common(wanted, plain(ocr.read([line])[0].text)):
        return True
    even = cv2.createCLAHE(4, (4, 4)).apply(line)
    if has_in_common(wanted, plain(ocr.read([even])[0].text)):
        return True
    return any(has_in_common(wanted, plain(said)) for said in _tesseract(line))


def _line(image: Image.Image, text: Text) -> Any:
    """Where ``text`` stood, upright, with a margin."""
    quad = text.quad.astype(np.float32)
    width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    scale = max(1.0, 40 / height)
    margin = 0.25 * height * scale
    wide, tall = width * scale, height * scale
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32) + margin
    matrix = cv2.getPerspectiveTransform(quad, corners.astype(np.float32))
    size = int(wide + 2 * margin), int(tall + 2 * margin)
    part = cv2.warpPerspective(
        np.asarray(image), matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return part


def _is_blank(line: Any) -> bool:
    """Whether there is no stroke in it, however faint."""
    box = np.ones((15, 15), np.uint8)
    light = cv2.morphologyEx(line, cv2.MORPH_TOPHAT, box)
    dark = cv2.morphologyEx(line, cv2.MORPH_BLACKHAT, box)
    return bool(max(light.max(), dark.max()) < FAINTEST)


def _tesseract(line: Any) -> Iterator[str]:
    """What Tesseract reads, light on dark and dark on light; nothing if it is not there."""
    program = shutil.which("tesseract")
    if not program:
        return
    for shown in (line, 255 - line):
        data = cv2.imencode(".png", shown)[1].tobytes()
        done = subprocess.run(
            [program, "-", "-", "--psm", "7"],
            input=data,
            capture_output=True,
            check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
        yield done.stdout.decode(errors="replace")


def _is_decoded(image: Image.Image, text: Text) -> bool:
    left, top = np.maximum(text.quad.min(axis=0).astype(int) - 20, 0)
    right, bottom = text.quad.max(axis=0).astype(int) + 20
    part = np.asarray(image)[top:bottom, left:right]
    part = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    said = cv2.QRCodeDetector().detectAndDecode(part)[0]
    said += cv2.barcode.BarcodeDetector().detectAndDecode(part)[0]
    return has_in_common(plain(text.string), plain(said))


def plain(text: str) -> str:
    """Its letters and digits, without case and accents."""
    parted = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parted.lower() if c.isalnum())


def has_in_common(wanted: str, read: str) -> bool:
    """Whether four characters in a row of one stand in the other."""
    return any(wanted[n : n + IN_A_ROW] in read for n in range(len(wanted) - IN_A_ROW + 1))


def _readers() -> list[str]:
    program = shutil.which("tesseract")
    if not program:
        return ["PP-OCRv6"]
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return ["PP-OCRv6", said.stdout.splitlines()[0]]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one way: all, by group, and by kind."""
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
    """CPU-seconds and the whole process's memory, by size, each in a process of its own."""
    import sys

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
    """Before and after, for the docs: one sample of each kind."""
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
    """The figures, way by way, and the product's kind by kind."""
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
