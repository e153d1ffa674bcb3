"""The boxes that a person types into the release form."""

from __future__ import annotations

import re

from xray.errors import XrayError

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""
_BOX = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*")


class FormError(XrayError):
    """The entries of a form cannot be used: the person has to correct them."""


def parse_boxes(text: str) -> list[Box]:
    """Return the boxes in a text such as ``0, 900, 310, 1000; 40, 20, 200, 60``.

    Raises:
        FormError: a box is not four whole numbers, or it is empty.
    """
    boxes = []
    for number, part in enumerate(filter(str.strip, text.split(";")), 1):
        match = _BOX.fullmatch(part)
        if not match:
            raise FormError(
                f"Box {number} is not four whole numbers: type left, top, right, bottom in "
                "pixels, with a semicolon between two boxes."
            )
        left, top, right, bottom = map(int, match.groups())
        if not (left < right and top < bottom):
            raise FormError(
                f"Box {number} is empty: right must be greater than left, and bottom greater "
                "than top."
            )
        boxes.append((left, top, right, bottom))
    return boxes
