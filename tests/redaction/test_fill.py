"""xray.redaction.fill"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.text_images import with_text
from xray.redaction import filled, masked
from xray.redaction.fill import outlined


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_nothing_under_the_mask_has_a_part_in_the_fill(shape: tuple[int, ...], kind: Any) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, np.iinfo(kind).max, shape).astype(kind)
    mask = np.zeros(shape[:2], np.uint8)
    mask[5:20, 10:30] = mask[30:, 40:] = 1
    other = pixels.copy()
    other[mask > 0] = rng.integers(0, np.iinfo(kind).max, other[mask > 0].shape)
    done = filled(pixels, mask)
    assert np.array_equal(done, filled(other, mask))
    assert np.array_equal(done[mask == 0], pixels[mask == 0])
    assert done.dtype == kind
    assert not np.array_equal(done, pixels)


def test_an_image_that_is_masked_whole_is_black() -> None:
    pixels = np.full((9, 9), 7, np.uint8)
    assert not filled(pixels, np.ones((9, 9), np.uint8)).any()


def test_the_fill_continues_the_picture() -> None:
    ramp = np.tile(np.linspace(40, 200, 640).astype(np.uint8), (480, 1))
    mask = np.zeros(ramp.shape, np.uint8)
    mask[200:240, 100:400] = 1
    assert np.abs(filled(ramp, mask).astype(int) - ramp).mean() < 2


def test_boxes_given_by_hand_are_removed(lung: Image.Image) -> None:
    image = with_text(lung, "Ada", (150, 40))
    done = np.asarray(masked(image, [(140, 30, 220, 80), (-5, -5, 10, 10)]))
    assert done[30:80, 140:220].max() < 200
    assert np.array_equal(done[100:], np.asarray(image)[100:])


def test_an_outline_is_one_pixel_wide_and_inside_the_mask() -> None:
    pixels = np.full((20, 30), 50, np.uint8)
    pixels[0, 0] = 250
    mask = np.zeros_like(pixels)
    mask[5:15, 5:25] = 1
    done = outlined(pixels, mask)
    changed = done != pixels
    assert not changed[mask == 0].any()
    assert not changed[6:14, 6:24].any()
    assert changed.sum() == 2 * 20 + 2 * 8
    assert (done[changed] == 150).all()
