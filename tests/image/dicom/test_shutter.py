"""xray.image.dicom.shutter"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.dicom_files import Pixels, dicom
from xray.errors import ImageError
from xray.image import decode

RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": 101,
    "ShutterRightVerticalEdge": 300,
    "ShutterUpperHorizontalEdge": 51,
    "ShutterLowerHorizontalEdge": 250,
}
CIRCLE = {
    "ShutterShape": "CIRCULAR",
    "CenterOfCircularShutter": [200, 300],
    "RadiusOfCircularShutter": 100,
}
POLYGON = {
    "ShutterShape": "POLYGONAL",
    "VerticesOfThePolygonalShutter": [51, 101, 51, 300, 250, 300, 250, 101],
}


def inside_rectangle(shape: tuple[int, ...]) -> Any:
    inside = np.zeros(shape, bool)
    inside[50:250, 100:300] = True
    return inside


def inside_circle(shape: tuple[int, ...]) -> Any:
    rows, columns = np.indices(shape)
    return (rows - 199) ** 2 + (columns - 299) ** 2 <= 100**2


@pytest.mark.parametrize(
    ("elements", "inside"),
    [
        (RECTANGLE, inside_rectangle),
        (CIRCLE, inside_circle),
        (POLYGON, inside_rectangle),
        (
            RECTANGLE | CIRCLE | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]},
            lambda shape: inside_rectangle(shape) & inside_circle(shape),
        ),
    ],
    ids=["rectangle", "circle", "polygon", "both"],
)
def test_what_is_outside_of_the_shutter_is_covered(
    chest8: Pixels, elements: dict[str, Any], inside: Any
) -> None:
    pixels = chest8 // 2 + 100
    seen = np.asarray(decode(dicom(pixels, **elements)).pixels)
    shown = inside(pixels.shape)
    assert np.array_equal(seen[shown], pixels[shown])
    assert not seen[~shown].any()


def test_the_shutter_has_the_shade_that_the_file_gives(chest8: Pixels) -> None:
    seen = np.asarray(decode(dicom(chest8, **RECTANGLE, ShutterPresentationValue=32768)).pixels)
    assert set(seen[:50].flat) == {128}


def test_what_is_covered_is_no_part_of_the_range(chest8: Pixels) -> None:
    values = chest8.astype(np.int16) + 500
    values[:50], values[250:], values[:, :100], values[:, 300:] = [-30_000] * 4
    seen = np.asarray(decode(dicom(values, **RECTANGLE)).pixels)[50:250, 100:300]
    assert seen.min() == 0
    assert seen.max() == 65535


def test_an_oval_pixel_makes_a_round_shutter(chest8: Pixels) -> None:
    elements = CIRCLE | {"CenterOfCircularShutter": [100, 300], "PixelAspectRatio": [2, 1]}
    seen = np.asarray(decode(dicom(chest8 // 2 + 100, **elements)).pixels) > 50
    assert abs(seen.any(axis=1).sum() - seen.any(axis=0).sum()) <= 4


def test_a_wrong_shutter_is_refused(chest8: Pixels) -> None:
    behind = RECTANGLE | {"ShutterLeftVerticalEdge": 301}
    with pytest.raises(ImageError, match="shutter covers the whole image"):
        decode(dicom(chest8, **behind))
    without_radius = {**CIRCLE, "RadiusOfCircularShutter": None}
    with pytest.raises(ImageError, match="damaged where it describes the shutter"):
        decode(dicom(chest8, **without_radius))


def test_a_bitmap_shutter_covers_nothing(chest8: Pixels) -> None:
    seen = decode(dicom(chest8, ShutterShape="BITMAP")).pixels
    assert np.array_equal(seen, chest8)
