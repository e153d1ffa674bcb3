"""Anonymised pixels: burned-in text found, removed for good, and looked for again.

**Finding.** Marks that stand out like pen strokes (:mod:`xray.redaction.strokes`) are text
where they are strong; weaker ones, and what a network takes for text
(:mod:`xray.redaction.ocr`), are text if a reader can read them. A laterality marker that
stands alone stays, unless the settings want it gone.

**Removing.** A text's whole rectangle, with a margin, is drawn anew from what
surrounds it. No pixel of it has a part in that, so nobody can bring it back,
and no letter's shape survives. Being smooth, it hardly moves the risk.

**Checking.** The result is looked at again, by the network at another scale and
contrast, and what is found is read. Text that is still there is removed too, and
the result looked at once more. What cannot be made free of text is *quarantined*.

``python -m xray.redaction IN OUT [--report FILE]`` redacts a file or a folder.
Output names are the input's, but DICOM becomes PNG: rename them where a name
tells who it is. A quarantined image is not written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.errors import ImageError
from xray.image import Format, anonymous, decode, eight_bit, encode
from xray.redaction import ocr, strokes
from xray.redaction.strokes import Cluster, Grey, Mask, Rectangle

ENGINE = "strokes+PP-OCRv6"
MARKERS = frozenset(
    ["L", "R", "LEFT", "RIGHT", "AP", "PA", "A-P", "P-A", "LAT", "LL", "RL", "ERECT", "SUPINE"]
)
"""What may stand on an X-ray by itself: sides, views and positions."""
SURE = 0.6
"""The reader's confidence from which on something is text."""
SURER = 0.85
"""The same where it sees letters in anatomy: in what is large, or coarse."""
LARGE = 64
"""Pixels of height that such text has."""
LARGEST = 0.2
"""Height of a line as a share of the image's shorter side, at most."""
PLAIN = 400
"""Pixels of the shorter side from which on anatomy is too soft to look like strokes."""
STILL = 12
"""Grey levels by which something stands out where there is no stroke, however faint, at most."""
LEGIBLE = 3
"""Letters and digits that it must read for that."""
MOST_READ = 24
"""Weak candidates that are read, the likeliest first."""
GOES_ON = 4
"""Heights of a line that are looked at beyond its ends."""
MOST_MASKED = 0.25
"""Share of the image: where more is text, it is a document and not an X-ray."""
ROUNDS = 3
"""How often a result is looked at before it is given up."""
SMALLEST = 12
"""Pixels of height that a marker has, at least."""
DISTINCT = 0.7
"""How far a marker's letters stand out, as a share of what stands out most."""
SHADOW = 0.15
"""How far a marker's shadow or seam reaches, as a share of the letters' height."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom are outside."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """A redacted image and what was done to it."""

    image: Image.Image
    boxes: tuple[Box, ...]
    """Around each text that was removed."""
    mask: Mask
    """1 where the image was drawn anew, shape (height, width)."""
    engine: str
    verified: bool
    """Whether a second look found nothing readable."""
    quarantined: bool
    """Whether it must not be published."""

    def summary(self) -> dict[str, Any]:
        """What an audit record says of it."""
        return {
            "engine": self.engine,
            "regions": len(self.boxes),
            "verified": self.verified,
            "quarantined": self.quarantined,
        }


def redact(
    image: Image.Image,
    depth: int | None = None,
    *,
    keep_markers: bool = True,
    outline: bool = False,
) -> Redaction:
    """``image`` (mode L, RGB or I;16) without the text on it.

    Args:
        image: the picture.
        depth: in mode I;16, the bits that count; found in the values if None.
        keep_markers: whether a laterality marker that stands alone stays.
        outline: whether a thin line shows where something was removed.
    """
    pixels = np.asarray(image)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    kept = np.zeros_like(mask)
    for view in views(image, depth):
        finder = Finder(view, keep_markers)
        finder.find()
        mask |= finder.mask
        kept |= finder.kept
    result, verified = pixels, False
    for _ in range(ROUNDS):
        result = filled(pixels, mask)
        if mask.mean() > MOST_MASKED:
            break
        left = leftover(Image.fromarray(result), depth, mask, kept)
        if not left.any():
            verified = True
            break
        mask |= left
    if outline:
        result = _outlined(result, mask)
    return Redaction(
        Image.fromarray(result), _boxes(mask), mask, ENGINE, verified, quarantined=not verified
    )


def masked(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """``image`` without what stands in the ``boxes``, which a person gave."""
    pixels = np.asarray(image)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    for left, top, right, bottom in boxes:
        mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
    return Image.fromarray(filled(pixels, mask))


def views(image: Image.Image, depth: int | None = None) -> list[Grey]:
    """Grey pictures in which its text can be seen, stretched to all of 0 to 255.

    Coloured text may be as bright as its ground, so of a coloured picture there
    is a second one: the colour's strength.
    """
    shown = np.asarray(eight_bit(image, depth))
    if shown.ndim == 2:
        return [_stretched(shown)]
    strength = shown.max(axis=2) - shown.min(axis=2)
    grey = np.asarray(Image.fromarray(shown).convert("L"))
    return [_stretched(grey)] + ([strength] if strength.max() > 48 else [])


def _stretched(grey: Grey) -> Grey:
    low, high = int(grey.min()), int(grey.max())
    if high - low in (0, 255):
        return grey
    result: Grey = np.rint((grey.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)
    return result


class Finder:
    """Looks for text on one grey picture.

    Args:
        grey: the picture, shape (height, width).
        keep_markers: whether a marker that stands alone stays.
        where: 1 where text is read, around a marker; everywhere if None.
    """

    def __init__(self, grey: Grey, keep_markers: bool, where: Mask | None = None) -> None:
        self.mask = np.zeros(grey.shape, np.uint8)
        """1 where there is text."""
        self.kept = np.zeros(grey.shape, np.uint8)
        """1 where there is a marker that stays."""
        self._grey = grey
        self._rest = grey
        """Without the markers that stay: what makes a rectangle around one legible is not it."""
        self._keep_markers = keep_markers
        self._where = where

    def find(self) -> None:
        """Fill :attr:`mask` and :attr:`kept`."""
        strong = strokes.clusters(self._grey, floor=22, multiple=3)
        likely = likely_text(self._grey, 0.2)
        if min(self._grey.shape) < PLAIN:
            certain, doubtful = [], strong
        else:
            certain = [c.rectangle for c in strong if is_certain(c)]
            doubtful = [c for c in strong if not is_certain(c)]
            covered = np.zeros_like(self.mask)
            for rectangle in certain:
                draw(covered, rectangle)
            certain += [r for r, p in likely if p > 0.5 and self._is_plausible(r, covered)]
        self._take(certain)
        candidates = sorted(doubtful, key=_rank)[: MOST_READ // 2]
        if self._where is None:  # What is weak around a marker is looked for with all the rest.
            weak = strokes.clusters(self._rest, floor=6, multiple=2.2)
            candidates += sorted(weak, key=_rank)
        lines = [c.rectangle for c in candidates if could_be_a_line(c)]
        self._read([r for r, _ in likely] + lines)

    def _take(self, rectangles: Iterable[Rectangle]) -> None:
        """Mask ``rectangles``, but for a marker that stands alone."""
        mask, lines = np.zeros_like(self.mask), np.zeros_like(self.mask)
        for rectangle in rectangles:
            draw(mask, rectangle)
            if is_line(*grown(rectangle)[1]):
                draw(lines, rectangle)
        if self._keep_markers:
            self._spare_markers(mask, lines)
        self.mask |= mask

    def _spare_markers(self, mask: Mask, lines: Mask) -> None:
        """Take what is only markers out of ``mask``, and note them; no part of it is a line."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        for number in range(1, count):
            left, top, width, height, _ = (int(n) for n in stats[number])
            if not is_compact(width, height) or self._has_company(stats, number):
                continue
            component = labels == number
            if lines[component].any():
                continue
            letters = markers_in(self._grey[top : top + height, left : left + width])
            if letters.any():
                self.kept[top : top + height, left : left + width] |= letters
                self._rest = filled(self._grey, self.kept)
                mask[component] = self._beside(component.astype(np.uint8))[component]

    def _beside(self, component: Mask) -> Mask:
        """What is text in and around a ``component``, beside the markers that are kept there."""
        here = tuple(
            _window(np.flatnonzero(component.any(axis=1 - axis)), component.shape[axis])
            for axis in (0, 1)
        )
        finder = Finder(self._rest[here], keep_markers=False, where=component[here])
        finder.find()
        result = np.zeros_like(self.mask)
        result[here] = finder.mask
        return result

    def _has_company(self, stats: Any, number: int) -> bool:
        """Whether other text stands beside it on the same line."""
        left, top, width, height, _ = (int(n) for n in stats[number])
        for other in range(1, len(stats)):
            x, y, w, h, _ = (int(n) for n in stats[other])
            gap = max(x - (left + width), left - (x + w))
            level = min(y + h, top + height) - max(y, top) > 0.4 * min(h, height)
            if other != number and level and gap < 1.5 * height and h > 0.3 * height:
                return True
        return False

    def _is_plausible(self, rectangle: Rectangle, covered: Mask) -> bool:
        """Whether it has a text's size, and strokes in it, and not only where it is ``covered``."""
        width, height = rectangle[1]
        if min(width, height) > LARGEST * min(self._grey.shape):
            return False
        light, dark = strokes.hats(strokes.upright(self._grey, rectangle, 0, stretch=False))
        if max(np.percentile(light, 95), np.percentile(dark, 95)) <= 20:
            return False
        rest = np.maximum(light, dark)[strokes.upright(covered, rectangle, 0, stretch=False) == 0]
        return rest.size > 0 and bool(np.percentile(rest, 99) > STILL)

    def _read(self, rectangles: Iterable[Rectangle]) -> None:
        """Mask those of ``rectangles`` that can be read, the first of them at most."""
        seen = self.mask.copy()
        left = MOST_READ
        for rectangle in rectangles:
            width, height = rectangle[1]
            if max(width, height) < 12 or min(width, height) < 5 or _is_covered(seen, rectangle):
                continue
            if self._where is not None and not _is_covered(self._where, rectangle, 0):
                continue
            if not left:
                break
            left -= 1
            if is_legible(self._rest, rectangle):
                draw(seen, rectangle)
                self._take([rectangle])


def is_certain(cluster: Cluster) -> bool:
    """Whether it needs no reader: in the whole picture, nothing but text looks like that."""
    if cluster.marks < 3:
        return False
    if cluster.scale == 1:
        return cluster.contrast >= 35
    return cluster.scale == 0.5 and cluster.contrast >= 70 and cluster.marks >= 4


def could_be_a_line(cluster: Cluster) -> bool:
    """Whether a reader can make sense of it: where anatomy is large, one sees letters in it."""
    height = min(cluster.rectangle[1])
    return height < LARGE or height < 2.5 * cluster.height


def _rank(cluster: Cluster) -> float:
    """The less, the likelier it is text."""
    even = 1 - min(0.9, cluster.evenness)
    return -cluster.marks * min(cluster.contrast / cluster.unrest, 6) * even


def is_compact(width: int, height: int) -> bool:
    """Whether it can be a marker, by its shape."""
    return not is_line(width, height) and min(width, height) > SMALLEST


def is_line(width: float, height: float) -> bool:
    """Whether it is too long for a marker."""
    return max(width, height) >= 3.2 * min(width, height)


def is_marker(part: Grey) -> bool:
    """Whether ``part`` of the picture says what a marker says, and no more.

    A name that lies on its side may be read as an l: what is read of it another way up counts.
    """
    readings = [ocr.read([strokes.stretched(np.rot90(part, turns))])[0] for turns in range(4)]
    sure = [reading.text.strip(" .-") for reading in readings if reading.confidence > SURE]
    marker = max((text for text in sure if text.upper() in MARKERS), key=len, default="")
    return bool(marker) and all(_letters(text) <= _letters(marker) for text in sure)


def markers_in(part: Grey) -> Mask:
    """Where in ``part`` a marker's letters are, if no row of it says more: R, or A-P above R."""
    light = _light_markers_in(part)
    return light if light.any() else _light_markers_in(255 - part)


def _light_markers_in(part: Grey) -> Mask:
    letters, rows = tall_letters(part)
    for left, top, right, bottom in rows:
        margin = (bottom - top) // 3
        x, y = max(0, left - margin), max(0, top - margin)
        if not is_marker(part[y : bottom + margin, x : right + margin]):
            return np.zeros_like(letters)
    reach = max([3, *(round(SHADOW * (bottom - top)) for _, top, _, bottom in rows)])
    return cv2.dilate(letters, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))


def tall_letters(part: Grey) -> tuple[Mask, list[Box]]:
    """The tall letters in each row of what is lightest in ``part``, with their dashes, and a box
    around each row's."""
    middle = int(np.median(part))
    ink = (part > middle + DISTINCT * (int(part.max()) - middle)).astype(np.uint8)
    letters, rows = np.zeros_like(ink), []
    steps = np.flatnonzero(np.diff(np.pad(ink.any(axis=1), 1).astype(np.int8))).tolist()
    for top, bottom in zip(steps[::2], steps[1::2], strict=True):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(ink[top:bottom])
        height, width = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
        is_tall = height >= max(SMALLEST, 0.6 * (bottom - top))
        is_dash = (height < 0.25 * (bottom - top)) & (width > 1.5 * height)
        is_tall[0] = is_dash[0] = False
        if is_tall.any():
            letters[top:bottom] = (is_tall | is_dash)[labels]
            columns = np.flatnonzero(is_tall[labels].any(axis=0)).tolist()
            rows.append((columns[0], top, columns[-1] + 1, bottom))
    return letters, rows


def _window(places: npt.NDArray[Any], size: int) -> slice:
    """What holds all ``places`` of ``size``, and is as wide as whole pictures are, if it can be."""
    first, last = int(places[0]), int(places[-1])
    start = max(0, min((first + last - PLAIN) // 2, size - PLAIN, first))
    return slice(start, max(start + PLAIN, last + 1))


def _letters(text: str) -> int:
    return sum(character.isalnum() for character in text)


def is_legible(grey: Grey, rectangle: Rectangle) -> bool:
    """Whether a reader makes letters of it, one way up or the other."""
    height = min(rectangle[1])
    if height > LARGEST * min(grey.shape):
        return False
    sure = SURE if height < LARGE and min(grey.shape) >= PLAIN else SURER
    part = strokes.upright(grey, rectangle, 0.3 * height + 1)
    for turned in (part, np.ascontiguousarray(part[::-1, ::-1])):
        reading = ocr.read([turned])[0]
        if _letters(reading.text) >= LEGIBLE and reading.confidence > sure:
            return True
    return False


def leftover(image: Image.Image, depth: int | None, known: Mask, kept: Mask) -> Mask:
    """Where a second look still finds text but what is ``known`` or, a marker, ``kept``."""
    mask = np.zeros(known.shape, np.uint8)
    ends = list(beyond(known))
    for everything in views(image, depth):
        view = filled(everything, kept)
        for end in ends:
            if is_legible(view, end):
                draw(mask, end)
        even = evened(view)
        rectangles = [r for r, _ in likely_text(even, 0.15)]
        rectangles += [
            c.rectangle for c in strokes.clusters(view, floor=22, multiple=3) if is_certain(c)
        ]
        left = MOST_READ
        for rectangle in rectangles:
            if left and not _is_covered(known, rectangle, 0.5) and min(rectangle[1]) >= 5:
                left -= 1
                if is_legible(view, rectangle):
                    draw(mask, rectangle)
    return mask


def beyond(mask: Mask) -> Iterator[Rectangle]:
    """Where each line of text that the ``mask`` covers would go on, at both of its ends.

    Where the ground gets brighter, the rest of a line may be too faint to be found by itself.
    """
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines:
        around: Any = cv2.minAreaRect(outline)
        (x, y), (width, height), angle = strokes.lying(around)
        if not is_line(width, height):
            continue
        height = max(5.0, height - _margins(height / 1.3))
        along = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        for end in (-1, 1):
            centre = np.array([x, y]) + end * along * (width + GOES_ON * height) / 2
            if 0 <= centre[0] < mask.shape[1] and 0 <= centre[1] < mask.shape[0]:
                yield (float(centre[0]), float(centre[1])), (GOES_ON * height, height), angle


def evened(grey: Grey) -> Grey:
    """``grey`` with the same contrast everywhere: what is faint becomes plain."""
    values = grey.astype(np.float32)
    rest = values - _smooth(values, 37)
    # Sums that run along lose a little: a mean of squares can come out below nought.
    spread = np.sqrt(np.maximum(_smooth(rest * rest, 61), 0)) + 4
    result: Grey = (128 + rest / spread * 40).clip(0, 255).astype(np.uint8)
    return result


def _smooth(values: npt.NDArray[np.float32], side: int) -> Any:
    """Two means over a square: near a Gaussian of .41 ``side``, and as cheap at every width."""
    return cv2.blur(cv2.blur(values, (side, side)), (side, side))


def likely_text(grey: Grey, least: float) -> list[tuple[Rectangle, float]]:
    """What the network takes for text, in half the resolution unless that is low already."""
    if min(grey.shape) < PLAIN:
        return boxes_of(ocr.likelihood(grey), 1, least)
    size = grey.shape[1] // 2, grey.shape[0] // 2
    half = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return boxes_of(ocr.likelihood(half), 2, least)


def boxes_of(
    likelihood: npt.NDArray[np.float32], scale: float, least: float
) -> list[tuple[Rectangle, float]]:
    """Rectangles around what is likely text, and how likely; the likeliest first.

    The network marks a text's inside: it is grown by what that leaves out, which is more of a line
    than of a square.
    """
    outlines, _ = cv2.findContours(
        (likelihood > least).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    found = []
    for outline in outlines:
        (x, y), (width, height), angle = cv2.minAreaRect(outline)
        if min(width, height) < 2:
            continue
        grow = min(1.4 * min(width, height), 1.7 * width * height / (width + height))
        left, top, wide, tall = cv2.boundingRect(outline)
        best = float(likelihood[top : top + tall, left : left + wide].max())
        size = ((width + grow) * scale, (height + grow) * scale)
        found.append((((x * scale, y * scale), size, angle), best))
    return sorted(found, key=lambda pair: -pair[1])


def draw(mask: Mask, rectangle: Rectangle) -> None:
    """Put ``rectangle`` into ``mask``, with its margin."""
    cv2.fillPoly(mask, [np.rint(cv2.boxPoints(grown(rectangle))).astype(np.int32)], 1)


def grown(rectangle: Rectangle) -> Rectangle:
    """``rectangle`` with the margin that hides a letter's edge."""
    centre, (width, height), angle = rectangle
    margins = _margins(min(width, height))
    return centre, (width + margins, height + margins), angle


def _margins(height: float) -> float:
    """Of a line of this height, both together."""
    return 2 * (2 + 0.15 * min(height, 60))


def _is_covered(mask: Mask, rectangle: Rectangle, share: float = 0.8) -> bool:
    part = strokes.upright(mask, rectangle, 0, stretch=False)
    return bool(part.mean() > share)


def filled(pixels: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    """``pixels`` with what the ``mask`` covers drawn anew from what it does not.

    Each part by itself, from its surroundings: the picture is reduced until the
    known pixels meet, and enlarged again (pull and push).
    """
    result = pixels.copy()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    for number in range(1, count):
        left, top, width, height, _ = (int(n) for n in stats[number])
        reach = max(8, min(width, height))
        here = np.s_[
            max(0, top - reach) : top + height + reach, max(0, left - reach) : left + width + reach
        ]
        known = (mask[here] == 0).astype(np.float32)
        values = pixels[here].astype(np.float32)
        if not known.any():
            result[here] = 0
            continue
        smooth = _pulled_and_pushed(values, known)
        inside = labels[here] == number
        drawn = np.rint(smooth).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
        result[here][inside] = drawn[inside]
    return result


def _pulled_and_pushed(
    values: npt.NDArray[np.float32], known: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """``values`` with the unknown ones (``known`` is 0) continued smoothly."""
    weight = known if values.ndim == 2 else known[..., None]
    if known.all() or min(known.shape) < 2:
        mean = (values * weight).sum((0, 1)) / max(1.0, float(known.sum()))
        return np.where(weight > 0, values, mean).astype(np.float32)
    less = cv2.pyrDown(known)
    sums = cv2.pyrDown(values * weight)
    share = less if values.ndim == 2 else less[..., None]
    coarse = np.where(share > 0, sums / np.maximum(share, 1e-6), 0).astype(np.float32)
    coarse = _pulled_and_pushed(coarse, (less > 1e-3).astype(np.float32))
    fine = cv2.pyrUp(coarse, dstsize=(values.shape[1], values.shape[0]))
    result: npt.NDArray[np.float32] = np.where(weight > 0, values, fine).astype(np.float32)
    return result


def _outlined(pixels: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    """``pixels`` with a thin line around what was removed, in the middle of their greys."""
    result = pixels.copy()
    edge = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    result[edge > 0] = (int(pixels.max()) + int(pixels.min())) // 2
    return result


def _boxes(mask: Mask) -> tuple[Box, ...]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    return tuple((int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:])


def redact_file(source: Path, target: Path, name: str) -> dict[str, Any]:
    """Redact one file; the report's entry for it, with ``error`` set if it could not be.

    Nothing is written of one that is quarantined.
    """
    entry: dict[str, Any] = {
        "file": name,
        "output": None,
        "boxes": [],
        "engine": ENGINE,
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
    done = redact(picture.pixels, picture.depth)
    entry = {
        **entry,
        "boxes": [list(box) for box in done.boxes],
        "verified": done.verified,
        "quarantined": done.quarantined,
    }
    if done.quarantined:
        return entry
    if original.format is Format.DICOM:
        target = _as_png(target, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(replace(picture, pixels=done.image)))
    return {**entry, "output": str(target)}


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
    """The command line: 0 if all were redacted, 1 if one failed or was quarantined, 2 for a wrong
    call.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xray.redaction",
        description="Remove the text on images, and their metadata; file names are kept. What "
        "cannot be made free of text is not written.",
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
    written = all(entry["output"] is not None for entry in report)
    return 0 if written else 1
