"""xray.redaction.find"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from tests.support.text_images import with_text
from xray.redaction.find import Finder, could_be_a_line, is_certain, is_legible
from xray.redaction.strokes import Cluster


def cluster(**changes: Any) -> Cluster:
    """Return a cluster that is certain, unless ``changes`` say otherwise."""
    values: dict[str, Any] = {
        "rectangle": ((600.0, 600.0), (200.0, 20.0), 0.0),
        "marks": 4,
        "contrast": 70.0,
        "background": 7.0,
        "mark_height": 16.0,
        "unevenness": 0.3,
        "scale": 1.0,
    }
    return Cluster(**{**values, **changes})


def test_what_is_certain_without_being_read() -> None:
    assert is_certain(cluster())
    assert is_certain(cluster(marks=3, contrast=35.0))
    assert not is_certain(cluster(marks=2)), "too few marks"
    assert not is_certain(cluster(contrast=34.0)), "too faint"
    assert is_certain(cluster(scale=0.5))
    assert not is_certain(cluster(scale=0.5, contrast=69.0)), "more is needed in a reduced picture"
    assert not is_certain(cluster(scale=0.5, marks=3))
    assert not is_certain(cluster(scale=0.25, contrast=200.0)), "ribs can look like that"


def test_the_larger_anatomy_is_no_line_of_text() -> None:
    def large(height: float, mark: float) -> Cluster:
        rectangle = (600.0, 600.0), (700.0, height), 0.0
        return cluster(rectangle=rectangle, marks=17, contrast=23.0, mark_height=mark, scale=0.25)

    assert could_be_a_line(large(90, 60)), "large letters"
    assert could_be_a_line(large(42, 15)), "lines that run into each other"
    assert not could_be_a_line(large(224, 57)), "ribs"


def test_text_is_legible_either_way_up(lung: Image.Image) -> None:
    image = with_text(lung, "Ada Ashgrove", (150, 185))
    line = ((225.0, 200.0), (160.0, 26.0), 0.0)
    assert is_legible(np.asarray(image), line)
    turned = np.ascontiguousarray(np.asarray(image)[::-1, ::-1])
    assert is_legible(turned, ((274.0, 199.0), (160.0, 26.0), 0.0))
    assert not is_legible(np.asarray(lung), line)
    assert not is_legible(np.asarray(image), ((225.0, 200.0), (160.0, 81.0), 0.0)), "too high"


def test_a_wider_rectangle_adds_nothing_to_what_covers_its_strokes(lung: Image.Image) -> None:
    """The detector draws a wide rectangle around a bar code, with tissue in it."""
    large = lung.resize((1000, 800))
    bars = np.array(large)
    bars[300:350, 400:500][:, ::6] = 240
    covered = np.zeros(bars.shape, np.uint8)
    covered[295:355, 395:505] = 1
    around = ((460.0, 330.0), (190.0, 90.0), 0.0)

    def adds(pixels: Any, covered: Any) -> bool:
        return Finder(np.asarray(pixels), True).is_plausible(around, covered)

    assert not adds(large, covered), "there is no stroke in it"
    assert adds(bars, np.zeros_like(covered))
    assert not adds(bars, covered)
    faint = with_text(Image.fromarray(bars), "1234", (512, 315), fill=150, size=26)
    assert adds(faint, covered), "there is more to be read"
