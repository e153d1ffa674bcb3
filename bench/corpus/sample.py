"""An X-ray of the corpus: a picture or a file, and the text on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from bench.canvas import Canvas, Text
from bench.lettering import Pixels
from xray.image import anonymous, decode


@dataclass
class Sample:
    """An image, and the text on it."""

    kind: str
    source: Image.Image | bytes
    """A picture in mode L, or a file."""
    bare: Image.Image
    """The same image without text, in mode L."""
    variant: str = ""
    """How the text of a new kind is hidden."""
    texts: list[Text] = field(default_factory=list)
    letters: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    """The number of the letter of which each pixel is ink, from 1; 0 for none."""
    zone: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """1 where text stands, with the margin that is needed to cover it."""

    @cached_property
    def full(self) -> Image.Image:
        """The picture with all its depth and colour, in mode L, RGB or I;16.

        Raises:
            ImageError: the file is refused.
        """
        return decode(self.source).pixels if isinstance(self.source, bytes) else self.source

    @cached_property
    def image(self) -> Image.Image:
        """The picture as the redaction gets it.

        Raises:
            ImageError: the file is refused.
        """
        if isinstance(self.source, bytes):
            return anonymous(decode(self.source)).pixels
        return self.source


def on_canvas(
    kind: str,
    variant: str,
    source: Image.Image | bytes,
    bare: Image.Image,
    canvas: Canvas,
) -> Sample:
    """Return the sample whose text was put on ``canvas``."""
    return Sample(kind, source, bare, variant, canvas.texts, canvas.letters, canvas.zone)
