"""An image that text is put on, with a record of each letter's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bench.lettering import Line, Pixels


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text on an image."""

    string: str
    quad: Pixels
    """Its corners, shape (4, 2), x and y in pixels, clockwise from the first letter's top left."""
    size: int
    """Size of its font, in pixels."""


class Canvas:
    """An image in grey that text is put on.

    Args:
        pixels: the image, shape (height, width), uint8; it is changed in place.
        rng: the source of places and grey levels.
    """

    def __init__(self, pixels: Pixels, rng: np.random.Generator) -> None:
        self.pixels = pixels
        self.rng = rng
        self.letters = np.zeros(pixels.shape, np.int32)
        """The number of the letter of which each pixel is ink, from 1; 0 for none."""
        self.zone = np.zeros(pixels.shape, np.uint8)
        """1 where text stands, with a margin."""
        self.texts: list[Text] = []

    def stamp(
        self,
        ink: Pixels,
        letters: Pixels,
        lines: list[Line],
        *,
        contrast: tuple[int, int],
        inside: float = 1.0,
        ground: bool = False,
    ) -> None:
        """Put ``ink`` where it can be seen with the ``contrast``.

        Args:
            ink: the share of each pixel that is ink, 0 to 1.
            letters: the number of the letter that each pixel belongs to.
            lines: the lines, with their corners in the ink's pixels.
            contrast: minimum and maximum in grey levels; the minimum holds against every pixel of
                the background.
            inside: the share of the text that is on the image, at least.
            ground: whether the text stands on an opaque plate.

        Raises:
            ValueError: there is no room for the text.
        """
        height, width = ink.shape
        for _ in range(200):
            left, top = self._place(width, height, inside)
            if self._try(ink, letters, lines, left, top, contrast, ground):
                return
        raise ValueError("There is no room for the text.")

    def claim(self, corners: Pixels, margin: float) -> None:
        """Add a line with these ``corners`` and a ``margin`` in pixels to the zone."""
        line = np.zeros_like(self.zone)
        cv2.fillPoly(line, [np.rint(corners).astype(np.int32)], 1)
        reach = int(margin)
        box = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
        self.zone |= cv2.dilate(line, box)

    def _place(self, width: int, height: int, inside: float) -> tuple[int, int]:
        """Choose the left and the top of a text of this size."""
        tall, wide = self.pixels.shape
        rng = self.rng
        left = int(rng.integers(0, max(1, wide - width)))
        top = int(rng.integers(0, max(1, tall - height)))
        if inside < 1:
            off = rng.uniform(1 - inside, 0.5)
            match rng.integers(4):
                case 0:
                    left = -int(off * width)
                case 1:
                    left = wide - int((1 - off) * width)
                case 2:
                    top = -int(off * height)
                case _:
                    top = tall - int((1 - off) * height)
        elif rng.random() < 0.4:  # Close to a corner, where most software writes.
            edge = int(rng.integers(2, 20))
            left = edge if rng.random() < 0.5 else max(0, wide - width - edge)
            top = edge if rng.random() < 0.5 else max(0, tall - height - edge)
        return left, top

    def _try(
        self,
        ink: Pixels,
        letters: Pixels,
        lines: list[Line],
        left: int,
        top: int,
        contrast: tuple[int, int],
        ground: bool,
    ) -> bool:
        """Put the text at this place; return whether it is free and the contrast is possible."""
        tall, wide = self.pixels.shape
        y0, x0 = max(0, top), max(0, left)
        y1, x1 = min(tall, top + ink.shape[0]), min(wide, left + ink.shape[1])
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        here = (slice(y0, y1), slice(x0, x1))
        alpha, view = ink[part], self.pixels[here].astype(np.float32)
        if not (alpha > 0.5).any() or self.zone[here].any():
            return False
        if ground:
            plate = self.rng.integers(0, 30) if self.rng.random() < 0.7 else 235
            view = np.full_like(view, plate)
        level = self._level(view, alpha, contrast)
        if level is None:
            return False
        self.pixels[here] = np.rint(view + (level - view) * alpha).clip(0, 255).astype(np.uint8)
        first = int(self.letters.max())
        numbers = np.where((letters[part] > 0) & (alpha > 0.4), letters[part] + first, 0)
        self.letters[here] = np.where(numbers > 0, numbers, self.letters[here])
        for string, quad, size in lines:
            corners = quad + np.array([left, top], np.float32)
            self.texts.append(Text(string, corners, size))
            self.claim(corners, max(5.0, 0.6 * size))
        if ground:
            self.zone[max(0, y0 - 6) : y1 + 6, max(0, x0 - 6) : x1 + 6] = 1
        return True

    def _level(self, view: Pixels, alpha: Pixels, contrast: tuple[int, int]) -> float | None:
        """Choose a grey level with enough contrast to the background; None if there is none."""
        under = view[cv2.dilate((alpha > 0.3).astype(np.uint8), np.ones((5, 5))) > 0]
        low, high = np.percentile(under, (3, 97))
        least, most = contrast
        wanted = self.rng.uniform(least, most)
        faint = most < 60
        light = (np.mean(under) if faint else high) + wanted
        dark = (np.mean(under) if faint else low) - wanted
        choices = [level for level in (light, dark) if 0 <= level <= 255]
        if choices:
            # Software writes white where it can.
            return choices[0] if self.rng.random() < 0.75 else choices[-1]
        if faint:
            return None
        if high + least <= 255:
            return 255.0
        return 0.0 if low >= least else None
