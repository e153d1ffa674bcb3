"""The search for text on one grey picture.

Marks that stand out like pen strokes (:mod:`xray.redaction.strokes`) are text if they are strong.
Weaker marks, and what the detector takes for text (:mod:`xray.redaction.ocr`), are text if
the reader can read them. A laterality marker that stands alone (:mod:`xray.redaction.markers`)
stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xray.redaction import codes, markers, ocr, strokes
from xray.redaction.fill import filled
from xray.redaction.geometry import (
    Grey,
    Mask,
    Rectangle,
    covered_part,
    draw_rectangle,
    is_covered,
    is_line,
    stretch_contrast,
    upright,
    with_margin,
)
from xray.redaction.plates import with_plates
from xray.redaction.strokes import Cluster
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import equalize_contrast, even_line


class Finder:
    """The search for text on one grey picture.

    Args:
        grey: the picture, shape (height, width).
        keep_markers: whether a marker that stands alone stays.
        where: 1 where candidates are read, for the search beside a marker; None for a search of the
            whole picture.
    """

    def __init__(self, grey: Grey, keep_markers: bool, where: Mask | None = None) -> None:
        self.mask = np.zeros(grey.shape, np.uint8)
        """1 where there is text."""
        self.markers = np.zeros(grey.shape, np.uint8)
        """1 where there is a marker that stays."""
        self.is_complete = True
        """Whether all candidates of the detector were read."""
        self._grey = grey
        self._without_markers = grey
        """The picture without the markers that stay. A marker inside a candidate's rectangle must
        not make the candidate legible."""
        self._keep_markers = keep_markers
        self._where = where

    def find(self) -> None:
        """Fill :attr:`mask` and :attr:`markers`."""
        bars = codes.bar_codes(self._grey)
        strong = strong_clusters(self._grey)
        likely = ocr.likely_text(self._grey, THRESHOLDS.candidate_likelihood)
        faint, likelihood = _faint_text(self._grey)
        if min(self._grey.shape) < THRESHOLDS.soft_anatomy_side:
            certain, doubtful = [], strong
        else:
            certain = self._certain_rectangles(strong, likely, bars)
            doubtful = [cluster for cluster in strong if not is_certain(cluster)]
        self.mask_rectangles(certain + bars)
        detected = [rectangle for rectangle, _ in likely + faint]
        self.is_complete &= self._read(detected, THRESHOLDS.max_read)
        self._read(self._lines(doubtful, likelihood), THRESHOLDS.max_strong_read)
        if not self._keep_markers and self._where is None:
            lone = [c.rectangle for c in strong if _is_likely(likelihood, c.rectangle)]
            self.mask_rectangles(rectangle for rectangle in lone if self._is_marker(rectangle))
        if self._where is None:
            # The search beside a marker leaves weak text to the search of the whole picture.
            weak = strokes.clusters(
                self._without_markers,
                min_contrast=THRESHOLDS.weak_contrast,
                min_ratio=THRESHOLDS.weak_ratio,
            )
            self._read(self._lines(weak, likelihood), THRESHOLDS.max_weak_read)

    def _certain_rectangles(
        self, strong: list[Cluster], likely: list[tuple[Rectangle, float]], bars: list[Rectangle]
    ) -> list[Rectangle]:
        """Return the rectangles, apart from bar codes, that are text without being read."""
        certain = [cluster.rectangle for cluster in strong if is_certain(cluster)]
        covered = np.zeros_like(self.mask)
        for rectangle in certain + bars:
            draw_rectangle(covered, rectangle)
        # The edge of a plate is no stroke.
        covered = with_plates(self._grey, covered, kept=np.zeros_like(covered))
        return certain + [
            rectangle
            for rectangle, likelihood in likely
            if likelihood > THRESHOLDS.certain_likelihood and self.is_plausible(rectangle, covered)
        ]

    def mask_rectangles(self, rectangles: Iterable[Rectangle]) -> None:
        """Add ``rectangles`` to :attr:`mask`, without the markers in them that stand alone."""
        mask, lines = np.zeros_like(self.mask), np.zeros_like(self.mask)
        for rectangle in rectangles:
            draw_rectangle(mask, rectangle)
            if is_line(*with_margin(rectangle)[1]):
                draw_rectangle(lines, rectangle)
        if self._keep_markers:
            self._exempt_markers(mask, lines)
        self.mask |= mask

    def _exempt_markers(self, mask: Mask, lines: Mask) -> None:
        """Move the markers that stand alone from ``mask`` to :attr:`markers`.

        A component with a line of text in it is no marker.
        """
        within = covered_part(mask)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[within])
        for number in range(1, count):
            left, top, width, height, _ = (int(n) for n in stats[number])
            if not markers.is_compact(width, height) or markers.has_text_beside(stats, number):
                continue
            component = np.zeros(mask.shape, bool)
            component[within] = labels == number
            if lines[component].any():
                continue
            left, top = left + within[1].start, top + within[0].start
            box = np.s_[top : top + height, left : left + width]
            letters = markers.marker_letters(self._grey[box])
            if letters.any():
                self.markers[box] |= letters
                self._without_markers = filled(self._grey, self.markers)
                mask[component] = self._text_beside_markers(component)[component]

    def _text_beside_markers(self, component: npt.NDArray[Any]) -> Mask:
        """Return a mask of the other text in and around a component that holds markers."""
        rows, columns = (
            _window(np.flatnonzero(component.any(axis=1 - axis)), component.shape[axis])
            for axis in (0, 1)
        )
        here = rows, columns
        finder = Finder(
            self._without_markers[here],
            keep_markers=False,
            where=component[here].astype(np.uint8),
        )
        finder.find()
        self.is_complete &= finder.is_complete
        result = np.zeros_like(self.mask)
        result[here] = finder.mask
        return result

    def is_plausible(self, rectangle: Rectangle, covered: Mask) -> bool:
        """Return whether what the detector found has the size and the strokes of text.

        A rectangle whose strokes are all ``covered`` already would add only tissue.
        """
        width, height = rectangle[1]
        if min(width, height) > THRESHOLDS.max_line_height * min(self._grey.shape):
            return False
        light, dark = strokes.hats(upright(self._grey, rectangle, 0, stretch=False))
        typical = max(np.percentile(hat, THRESHOLDS.plausible_percentile) for hat in (light, dark))
        if typical <= THRESHOLDS.plausible_contrast:
            return False
        is_new = upright(covered, rectangle, 0, stretch=False) == 0
        contrast = np.maximum(light, dark)[is_new]
        if contrast.size == 0:
            return False
        strongest = np.percentile(contrast, THRESHOLDS.new_stroke_percentile)
        return bool(strongest > THRESHOLDS.new_stroke_contrast)

    def _is_marker(self, rectangle: Rectangle) -> bool:
        """Return whether the text in ``rectangle`` is a marker."""
        left, top, width, height = cv2.boundingRect(cv2.boxPoints(with_margin(rectangle)))
        if not markers.is_compact(width, height):
            return False
        part = self._grey[max(0, top) : top + height, max(0, left) : left + width]
        return part.size > 0 and bool(markers.marker_letters(part).any())

    def _lines(self, clusters: list[Cluster], likelihood: Grey) -> list[Rectangle]:
        """Return the clusters that are worth reading, the likeliest first."""
        return [
            cluster.rectangle
            for cluster in sorted(clusters, key=_rank)
            if could_be_a_line(cluster) and _is_likely(likelihood, cluster.rectangle)
        ]

    def _read(self, rectangles: Iterable[Rectangle], most: int) -> bool:
        """Add the legible ones of ``rectangles`` to :attr:`mask`; at most ``most`` are read.

        Returns:
            Whether all of them were read.
        """
        seen = self.mask.copy()
        for rectangle in rectangles:
            if not self._is_worth_reading(rectangle, seen):
                continue
            if not most:
                return False
            most -= 1
            if is_legible(self._without_markers, rectangle):
                draw_rectangle(seen, rectangle)
                self.mask_rectangles([rectangle])
        return True

    def _is_worth_reading(self, rectangle: Rectangle, seen: Mask) -> bool:
        """Return whether a candidate is large enough, not ``seen`` yet, and in the right place."""
        width, height = rectangle[1]
        is_large_enough = (
            max(width, height) >= THRESHOLDS.min_line_length
            and min(width, height) >= THRESHOLDS.min_line_height
        )
        if not is_large_enough or is_covered(seen, rectangle, THRESHOLDS.already_covered):
            return False
        return self._where is None or is_covered(self._where, rectangle, 0)


def _faint_text(grey: Grey) -> tuple[list[tuple[Rectangle, float]], Grey]:
    """Find what the detector takes for text in pictures with equalized contrast.

    Returns:
        The rectangles as :func:`~xray.redaction.ocr.text_rectangles` does, and the likelihood of
        text (0 to 255) for each pixel of ``grey``.
    """
    found, levels = [], np.zeros(grey.shape, np.uint8)
    for scale in THRESHOLDS.faint_scales:
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        likelihood = ocr.likelihood(equalize_contrast(small))
        rectangles = ocr.text_rectangles(likelihood, 1 / scale, THRESHOLDS.candidate_likelihood)
        found += [pair for pair in rectangles if pair[1] > THRESHOLDS.faint_likelihood]
        here = cv2.resize((likelihood * 255).astype(np.uint8), grey.shape[::-1])
        np.maximum(levels, here, out=levels)
    return sorted(found, key=lambda pair: -pair[1]), levels


def _is_likely(likelihood: Grey, rectangle: Rectangle) -> bool:
    """Return whether the detector sees any text in ``rectangle``, however unlikely."""
    part = upright(likelihood, rectangle, 0, stretch=False)
    return bool(part.max() > THRESHOLDS.least_likelihood * 255)


def strong_clusters(grey: Grey) -> list[Cluster]:
    """Return the clusters of marks that stand out strongly."""
    return strokes.clusters(
        grey, min_contrast=THRESHOLDS.strong_contrast, min_ratio=THRESHOLDS.strong_ratio
    )


def is_certain(cluster: Cluster) -> bool:
    """Return whether ``cluster`` is so strong that it is text without being read.

    In the full picture, only text has several marks of that contrast.
    """
    if cluster.marks < THRESHOLDS.certain_marks:
        return False
    if cluster.scale == 1:
        return cluster.contrast >= THRESHOLDS.certain_contrast
    return (
        cluster.scale == THRESHOLDS.certain_reduced_scale
        and cluster.contrast >= THRESHOLDS.certain_reduced_contrast
        and cluster.marks >= THRESHOLDS.certain_reduced_marks
    )


def could_be_a_line(cluster: Cluster) -> bool:
    """Return whether ``cluster`` is worth reading.

    The reader sees letters in large anatomy. A cluster of anatomy is much higher than its marks,
    whereas a line of text is not.
    """
    height = min(cluster.rectangle[1])
    return (
        height < THRESHOLDS.large_line_height
        or height < THRESHOLDS.max_height_per_mark * cluster.mark_height
    )


def is_legible(grey: Grey, rectangle: Rectangle, letters: int = THRESHOLDS.legible_letters) -> bool:
    """Return whether the reader can read ``rectangle``, upright or upside down.

    Args:
        grey: the picture.
        rectangle: the part to read.
        letters: the minimum number of letters and digits in legible text.
    """
    height = min(rectangle[1])
    if height > THRESHOLDS.max_line_height * min(grey.shape):
        return False
    is_like_anatomy = (
        height >= THRESHOLDS.large_line_height or min(grey.shape) < THRESHOLDS.soft_anatomy_side
    )
    margin = THRESHOLDS.reading_margin * height + THRESHOLDS.reading_margin_pixels
    part = upright(grey, rectangle, margin, stretch=False)
    lines = stretch_contrast(part), even_line(part)
    most = 0
    for line in lines:
        reading = ocr.recognize(line)
        if _is_text(reading, letters, is_like_anatomy):
            return True
        most = max(most, ocr.letter_count(reading.text))
    if most < THRESHOLDS.turned_letters:
        return False
    # Text that is upside down looks like some letters, too.
    turned = (ocr.recognize(np.ascontiguousarray(line[::-1, ::-1])) for line in lines)
    return any(_is_text(reading, letters, is_like_anatomy) for reading in turned)


def _is_text(reading: ocr.RecognizedText, letters: int, is_like_anatomy: bool) -> bool:
    """Return whether the reader is confident enough of what it has read.

    In anatomy it sees a few letters, but seldom many.
    """
    count = ocr.letter_count(reading.text)
    least = THRESHOLDS.legible_confidence
    if is_like_anatomy and count < THRESHOLDS.many_letters:
        least = THRESHOLDS.legible_anatomy_confidence
    return count >= letters and reading.confidence > least


def _rank(cluster: Cluster) -> float:
    """Return a cluster's sorting key: the likelier the cluster is text, the lower the key."""
    even = 1 - min(THRESHOLDS.max_rank_unevenness, cluster.unevenness)
    ratio = min(cluster.contrast / cluster.background, THRESHOLDS.max_rank_contrast)
    return -cluster.marks * ratio * even


def _window(places: npt.NDArray[Any], size: int) -> slice:
    """Return a slice of an axis of this ``size`` that holds all ``places``.

    If the axis is long enough, the slice is long enough for the search of a large picture.
    """
    side = THRESHOLDS.soft_anatomy_side
    first, last = int(places[0]), int(places[-1])
    start = max(0, min((first + last - side) // 2, size - side, first))
    return slice(start, max(start + side, last + 1))
