"""xray.image.grey_range: outliers do not flatten an image, and nothing else changes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from xray.image.grey_range import sixteen_bit, value_range

FULL = (0, 65535)
Values = npt.NDArray[Any]


@pytest.fixture
def values(chest: Image.Image) -> Values:
    """A picture with values from 1000 to 4000 in 16 bits."""
    unit = np.asarray(chest).astype(float) / 255
    return np.rint(1000 + unit * 3000).astype(np.uint16)


def test_an_ordinary_image_has_its_full_range(values: Values) -> None:
    for full in [(0, 4095), (1000, 4000), (0, 16383)]:
        assert value_range(values, full) == full


def test_a_black_border_and_a_white_marker_are_no_outliers(values: Values) -> None:
    values[:200] = 0
    values[300:310, 100:130] = 4095
    assert value_range(values, (0, 4095)) == (0, 4095)


@pytest.mark.parametrize("outliers", [[65535], [65535, 40000, 9000], [30000] * 50])
def test_a_few_bright_pixels_are_clipped(values: Values, outliers: list[int]) -> None:
    highest = int(values.max())
    values.ravel()[: len(outliers)] = outliers
    assert value_range(values, FULL) == (0, highest)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_border_of_one_far_value_is_clipped(values: Values, share: float) -> None:
    signed = values.astype(np.int16)
    signed[: int(len(values) * share)] = -32768
    chest = signed[signed > -32768]
    assert value_range(signed, (-32768, int(chest.max()))) == (chest.min(), chest.max())


def test_both_ends_can_have_outliers(values: Values) -> None:
    floats = values.astype(np.float32)
    floats[:9], floats[9, 9] = -3e38, 3e38
    assert value_range(floats, (-3e38, 3e38)) == (floats[10:].min(), floats[10:].max())


def test_text_whose_smooth_edges_fill_the_gap_is_clipped(values: Values) -> None:
    lowest, highest = int(values.min()), int(values.max())
    values[20:40, 20:100] = 60000
    values[40, 20:100] = np.linspace(highest, 60000, 80)
    low, high = value_range(values, FULL)
    assert low == lowest
    assert highest <= high < 2 * highest


def test_a_dark_image_is_shown_by_its_values(values: Values) -> None:
    assert value_range(values, FULL) == (values.min(), values.max())


@pytest.mark.parametrize(
    "few", [[7], [7, 9], [0, 7, 65535], [0, *[5] * 500, 9, 65535]], ids=["1", "2", "3", "flat"]
)
def test_too_few_values_have_no_bulk(few: list[int]) -> None:
    assert value_range(np.array([few], np.uint16), FULL) == FULL


def test_eight_bits_are_never_changed(values: Values) -> None:
    dark = (values // 1000).astype(np.uint16)
    dark[0, 0] = 255
    assert value_range(dark, (0, 255)) == (0, 255)


def test_the_range_becomes_sixteen_bits() -> None:
    values = np.array([[-9.0, 0.0, 0.5, 1.0, 1e30]])
    assert sixteen_bit(values, 0.0, 1.0).tolist() == [[0, 0, 32768, 65535, 65535]]
    assert sixteen_bit(values, 1.0, 1.0).tolist() == [[0] * 5]
