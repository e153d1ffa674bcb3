"""What the redaction misses, and what it costs: ``make bench PART=redaction``.

A corpus of X-rays with known text (:mod:`bench.corpus`) goes through this project's redaction, the
original system's rule, and Presidio's image redactor if ``--presidio`` names a Python that has it.
Then readers try to read each text where it stood (:mod:`bench.readers`). A *leak* is an image of
which they read four characters in a row. ``python -m bench redaction --kinds depth,colour`` runs a
part of the corpus.

The kinds that are files are decoded first. This project publishes what its redaction was given, in
8 bits; the other ways keep depth and colour. A file that the decoder refuses counts as quarantined.

The risk of each result is compared twice, on the kinds that show a chest to the model: with the
risk of the same image before text was written on it, which is what the fill should restore, and
with the risk of the image with its text, which itself changes the risk. With ``--data DIR``, the
masks are filled on real X-rays as well (:mod:`bench.real_chests`).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFilter
from rich.console import Console

from bench import corpus, readers, real_chests, redaction_sizes
from bench.corpus import Sample
from bench.redaction_figures import KINDS, summary, table
from xray.errors import ImageError
from xray.image import eight_bit
from xray.redaction import redact

__all__ = ["add_options", "run", "table"]

SEED = 11
WAYS = "untouched,corner,xray"
IMAGES = 500
"""The size of the mixed corpus."""
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "redaction.jpeg"
PRESIDIO = Path(__file__).with_name("presidio.py")
LEAST_CHANGE = 4
"""The change of a pixel in grey levels that counts; the redaction may smooth below it."""


class Job(NamedTuple):
    """A sample that is measured."""

    index: int
    kind: str

    @property
    def file(self) -> str:
        """The name of its file in the folder for Presidio."""
        return f"{self.kind.replace(' ', '-')}-{self.index:05}.png"


class Outcome(NamedTuple):
    """What a way makes of an image."""

    image: Image.Image
    mask: Any = None
    """1 where the image was drawn anew, shape (height, width), if the way knows."""
    quarantined: bool = False


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument(
        "--images",
        type=int,
        default=IMAGES,
        help=f"size of the mixed corpus; the new kinds shrink with it (default: {IMAGES})",
    )
    parser.add_argument("--kinds", help=f"only these, with commas between: {', '.join(KINDS)}")
    parser.add_argument(
        "--ways",
        default=WAYS,
        help="the ways to measure, with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--presidio",
        type=Path,
        help="a Python that has presidio-image-redactor and a spaCy model",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, and return the figures by way and kind."""
    chosen = options.kinds.split(",") if options.kinds else None
    partly = bool(chosen) or options.ways != WAYS
    jobs = plan(options.images, chosen)
    ways = options.ways.split(",")
    console.print(f"{len(jobs)} images, {options.workers} processes …")
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="xray-bench-") as name,
        ProcessPoolExecutor(options.workers) as pool,
    ):
        folder = Path(name)
        for done, found in enumerate(
            pool.map(partial(_measure, ways, folder, options.data), jobs), 1
        ):
            rows += found
            _report(console, done, len(jobs), found)
        if options.presidio:
            console.print("Presidio …")
            seconds = _presidio(options.presidio, folder)
            rows += list(pool.map(partial(_measure_presidio, folder), jobs))
            ways.insert(-1, "presidio")
    result = {
        "images": len(jobs),
        "readers": readers.names(),
        "ways": {way: summary([row for row in rows if row["way"] == way]) for way in ways},
        "missed": _listed(rows, "leak"),
        "withheld": _listed(rows, "quarantined"),
        "sizes": [] if partly else redaction_sizes.costs(),
        "partial": partly,
    }
    if options.presidio:
        result["ways"]["presidio"]["all"]["cpu_seconds"] = seconds / len(jobs)
    if not partly:
        _picture(jobs)
    return result


def plan(images: int, chosen: list[str] | None = None) -> list[Job]:
    """Return the samples: the mixed corpus of so many images, and the new kinds in proportion.

    Args:
        images: the size of the mixed corpus.
        chosen: the kinds that are measured; None for all.

    Raises:
        ValueError: there is no such kind.
    """
    unknown = set(chosen or ()) - set(KINDS)
    if unknown:
        raise ValueError(f"There is no kind {', '.join(sorted(unknown))}: use {', '.join(KINDS)}.")
    jobs = [Job(index, kind) for index, kind in enumerate(corpus.kinds(images))]
    for kind, count in corpus.NEW.items():
        jobs += [Job(index, kind) for index in range(-(-count * images // IMAGES))]
    return [job for job in jobs if not chosen or job.kind in chosen]


def _report(console: Console, done: int, total: int, rows: list[dict[str, Any]]) -> None:
    """Print what is published and still readable at once, and the progress now and then."""
    for row in rows:
        if row["way"] == "xray" and row["published_leak"]:
            name = " ".join(filter(None, (row["kind"], str(row["index"]), row["variant"])))
            console.print(f"  readable: {name}: {row['texts']}", highlight=False)
    if done % 25 == 0 or done == total:
        console.print(f"  {done} of {total}")


def _listed(rows: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """Return the samples with a ``mark`` after this project's redaction."""
    names = ("index", "kind", "variant", "quarantined", "texts")
    return [
        {name: row[name] for name in names} for row in rows if row["way"] == "xray" and row[mark]
    ]


def _measure(ways: list[str], folder: Path, chests: Path | None, job: Job) -> list[dict[str, Any]]:
    """Judge ways on one sample, and save the sample for Presidio."""
    cv2.setNumThreads(1)
    sample = corpus.sample(SEED, job.index, job.kind)
    try:
        _grey(sample.image).save(folder / job.file, compress_level=1)
    except ImageError:
        return [_row(way, job, sample, quarantined=True) for way in ways]
    return [_judge(sample, job, way, chests=chests) for way in ways]


def _measure_presidio(folder: Path, job: Job) -> dict[str, Any]:
    """Judge Presidio's result on one sample."""
    cv2.setNumThreads(1)
    sample = corpus.sample(SEED, job.index, job.kind)
    if not (folder / "out" / job.file).exists():
        return _row("presidio", job, sample, quarantined=True)
    with Image.open(folder / "out" / job.file) as image:
        return _judge(sample, job, "presidio", Outcome(image.convert("L")))


def _presidio(python: Path, folder: Path) -> float:
    """Redact the folder in Presidio's own environment, and return the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(python), str(PRESIDIO), str(folder), str(folder / "out")], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _work(way: str, sample: Sample) -> Outcome:
    """Return what a way makes of a sample."""
    match way:
        case "untouched":
            return Outcome(sample.full)
        case "corner":
            return Outcome(_corner(sample.full))
        case "xray":
            done = redact(sample.image)
            return Outcome(done.image, done.mask, done.quarantined)
    raise ValueError(f"There is no way {way}: use untouched, corner or xray.")


def _corner(image: Image.Image) -> Image.Image:
    """Blur 300 x 100 pixels at the bottom left by 5, as the original system does."""
    result = image.copy()
    box = (0, max(0, image.height - 100), min(300, image.width), image.height)
    part = image.crop(box)
    if image.mode == "I;16":  # Pillow blurs 8 bits alone.
        blurred = Image.fromarray(cv2.GaussianBlur(np.asarray(part), (0, 0), 5))
    else:
        blurred = part.filter(ImageFilter.GaussianBlur(5))
    result.paste(blurred, box)
    return result


def _judge(
    sample: Sample,
    job: Job,
    way: str,
    outcome: Outcome | None = None,
    *,
    chests: Path | None = None,
) -> dict[str, Any]:
    """Run one way on one sample, unless its outcome is known, and return the figures."""
    began = time.process_time()
    outcome = outcome or _work(way, sample)
    seconds = time.process_time() - began
    image = outcome.image
    changed = _changed(sample, outcome)
    read = [text.string for text in sample.texts if readers.is_read(image, text, sample.kind)]
    scored = sample.kind in corpus.READABLE
    return _row(
        way,
        job,
        sample,
        leak=bool(read),
        texts=read,
        quarantined=outcome.quarantined,
        published_leak=bool(read) and not outcome.quarantined,
        characters=_removed(sample, changed),
        false_area=float((changed & (sample.zone == 0)).mean()),
        risk_from_bare=_risk_moved(sample.bare, image) if scored else None,
        risk_from_text=_risk_moved(sample.image, image) if scored else None,
        risk_on_real=(
            _risk_moved(*real_chests.redacted(chests, job.index, outcome.mask))
            if scored and chests and outcome.mask is not None
            else None
        ),
        cpu_seconds=seconds,
    )


def _row(way: str, job: Job, sample: Sample, **figures: Any) -> dict[str, Any]:
    """Return the figures of one sample; those of a refused file are mostly unknown."""
    risks = ("risk_from_bare", "risk_from_text", "risk_on_real")
    unknown = ("characters", "false_area", *risks, "cpu_seconds")
    return {
        "way": way,
        "index": job.index,
        "kind": job.kind,
        "variant": sample.variant,
        "leak": False,
        "published_leak": False,
        "texts": [],
        **dict.fromkeys(unknown),
        **figures,
    }


def _grey(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit grey."""
    return eight_bit(image).convert("L")


def _changed(sample: Sample, outcome: Outcome) -> Any:
    """Return where the image was drawn anew, of shape (height, width)."""
    before, after = (
        np.asarray(_grey(image)).astype(int) for image in (sample.image, outcome.image)
    )
    changed = np.abs(before - after) >= LEAST_CHANGE
    # A filled pixel can equal the one before: it counts as changed if its neighbours are changed.
    box = np.ones((7, 7), np.uint8)
    closed = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, box) > 0
    return closed if outcome.mask is None else closed | (outcome.mask > 0)


def _removed(sample: Sample, changed: Any) -> float | None:
    """Return the share of the letters that have lost at least nine tenths of their ink.

    In a file, they may have lost it before the redaction: there it is not known.
    """
    if not sample.letters.any() or isinstance(sample.source, bytes):
        return None
    ink = np.bincount(sample.letters.ravel())[1:]
    gone = np.bincount(sample.letters.ravel(), changed.ravel())[1:]
    return float((gone[ink > 0] / ink[ink > 0] >= 0.9).mean())


def _risk_moved(before: Image.Image, after: Image.Image) -> float:
    """Return the absolute difference of the two images' risks."""
    model = _model()
    return float(abs(model.score(before) - model.score(after)))


@cache
def _model() -> Any:
    """Load the model, once per process."""
    from xray.risk import RiskModel

    return RiskModel.load()


def _picture(jobs: list[Job]) -> None:
    """Draw the picture for the docs: one sample of each kind, before and after."""
    tile = (300, 240)
    shown = list(_first_of_each_kind(jobs))
    sheet = Image.new("L", (4 * tile[0], -(-len(shown) // 2) * tile[1]))
    for place, job in enumerate(shown):
        image = corpus.sample(SEED, job.index, job.kind).image
        for offset, side in enumerate((image, redact(image, outline=True).image)):
            small = _grey(side).resize((tile[0] - 4, tile[1] - 4), Image.Resampling.LANCZOS)
            sheet.paste(small, ((place % 2 * 2 + offset) * tile[0], place // 2 * tile[1]))
    sheet.save(PICTURE, quality=70, optimize=True)


def _first_of_each_kind(jobs: list[Job]) -> Iterator[Job]:
    """Yield the first sample of each kind with text."""
    for kind in KINDS:
        first = next((job for job in jobs if job.kind == kind), None)
        if first and kind != "clean":
            yield first
