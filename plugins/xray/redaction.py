"""Anonymised pixels: burned-in text made unreadable for good.

So far this is the original system's rule, the corner at the bottom left,
but the pixels are replaced instead of blurred: what is gone can be brought
back by nobody. Text anywhere else stays; nothing here looks for it, and the
report says so (``verified`` is false).

``python -m xray.redaction IN OUT [--report FILE]`` redacts a file or a folder.
Output names are the input's, but DICOM becomes PNG: rename them where a name
tells who it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.errors import ImageError
from xray.image import Format, anonymous, decode, encode

CORNER_WIDTH = 300
CORNER_HEIGHT = 100
"""Pixels, as in the original system."""
_SMOOTHING = 31
"""Pixels over which the border is averaged before it is drawn into the box."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom are outside."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """A redacted image and what was done to it."""

    image: Image.Image
    boxes: tuple[Box, ...]
    engine: str
    verified: bool
    """Whether a second look found nothing readable."""
    quarantined: bool
    """Whether it must not be published."""


def redact(image: Image.Image) -> Redaction:
    """``image`` (mode L, RGB or I;16) with the corner rule's box filled from what surrounds it.

    A black box would move the risk by .04 on average; a smooth continuation of
    the picture hardly does. No pixel inside the box has any part in the fill.
    """
    box = (0, max(0, image.height - CORNER_HEIGHT), min(CORNER_WIDTH, image.width), image.height)
    filled = Image.fromarray(_filled(np.asarray(image), box))
    return Redaction(filled, (box,), "corner-rule", verified=False, quarantined=False)


def _filled(pixels: npt.NDArray[Any], box: Box) -> npt.NDArray[Any]:
    """``pixels`` with ``box`` drawn anew from the row above it and the column right of it."""
    left, top, right, bottom = box
    result = pixels.copy()
    height, width = bottom - top, right - left
    above = _smooth(pixels[top - 1, left:right]) if top > 0 else None
    beside = _smooth(pixels[top:bottom, right]) if right < pixels.shape[1] else None
    if above is None and beside is None:
        result[top:bottom, left:right] = 0
        return result
    down = np.arange(1, height + 1, dtype=np.float64).reshape(-1, 1)
    across = np.arange(width, 0, -1, dtype=np.float64).reshape(1, -1)
    if pixels.ndim == 3:
        down, across = down[..., None], across[..., None]
    # Each border's share falls with the distance from it.
    near_top = across / (down + across) if beside is not None else np.ones_like(down + across)
    fill = np.zeros((height, width, *pixels.shape[2:]))
    if above is not None:
        fill += near_top * above[None]
    if beside is not None:
        fill += (1 - near_top if above is not None else 1) * beside[:, None]
    result[top:bottom, left:right] = np.rint(fill).clip(0, np.iinfo(pixels.dtype).max)
    return result


def _smooth(line: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A running mean along a border, shape (n,) or (n, channels)."""
    reach = min(_SMOOTHING, len(line)) // 2
    padded = np.pad(
        line.astype(np.float64), [(reach + 1, reach)] + [(0, 0)] * (line.ndim - 1), "edge"
    )
    total = padded.cumsum(axis=0)
    window = 2 * reach + 1
    mean: npt.NDArray[np.float64] = (total[window:] - total[:-window]) / window
    return mean


def redact_file(source: Path, target: Path, name: str) -> dict[str, Any]:
    """Redact one file; the report's entry for it, with ``error`` set if it could not be."""
    entry: dict[str, Any] = {
        "file": name,
        "output": None,
        "boxes": [],
        "engine": "corner-rule",
        "verified": False,
        "quarantined": False,
        "error": None,
    }
    try:
        original = decode(source.read_bytes())
    except ImageError as error:
        return {**entry, "error": str(error)}
    except OSError as error:
        return {**entry, "error": f"The file cannot be read: {error.strerror}."}
    picture = anonymous(original)
    done = redact(picture.pixels)
    if original.format is Format.DICOM:
        target = _as_png(target, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(replace(picture, pixels=done.image)))
    return {
        **entry,
        "output": str(target),
        "boxes": [list(box) for box in done.boxes],
        "engine": done.engine,
        "verified": done.verified,
        "quarantined": done.quarantined,
    }


def _as_png(target: Path, source: Path) -> Path:
    """``target`` with the extension .png in place of .dcm, unless a neighbour has that name."""
    if target.suffix.lower() == ".png":
        return target
    is_free = not source.with_suffix(".png").exists()
    if target.suffix.lower() == ".dcm" and is_free:
        return target.with_suffix(".png")
    return target.with_name(f"{target.name}.png")


def _pairs(source: Path, target: Path) -> Iterator[tuple[Path, Path, str]]:
    """Input, output and the report's name of each file."""
    if source.is_file():
        yield source, target / source.name if target.is_dir() else target, source.name
        return
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = path.relative_to(source)
        yield path, target / name, str(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 if all were redacted, 1 if one was not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m xray.redaction",
        description="Redact the burned-in corner text of images; metadata is dropped, names kept.",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="an image, or a folder of them")
    parser.add_argument("target", metavar="OUT", type=Path, help="a file, or a folder")
    parser.add_argument("--report", type=Path, help="where the JSON report goes, not to stdout")
    options = parser.parse_args(arguments)
    source, target = options.source.resolve(), options.target.resolve()
    if not source.exists():
        parser.error("IN does not exist")
    if target == source or source in target.parents:
        parser.error("OUT must not be IN or inside it: the originals would be overwritten")
    report = [redact_file(*pair) for pair in _pairs(source, target)]
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    if options.report:
        options.report.write_text(text)
    else:
        sys.stdout.write(text)
    return 0 if all(entry["error"] is None for entry in report) else 1


if __name__ == "__main__":
    sys.exit(main())
