"""xray.redaction.geometry"""

from __future__ import annotations

import numpy as np
import pytest

from xray.redaction import geometry


def test_upright_cuts_out_a_level_rectangle() -> None:
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 256, (60, 80), np.uint8).astype(np.uint8)
    part = geometry.upright(grey, ((29.5, 19.5), (40.0, 20.0), 0.0), 0, stretch=False)
    assert np.array_equal(part, grey[10:30, 10:50])
    wider = geometry.upright(grey, ((29.5, 19.5), (40.0, 20.0), 0.0), 3, stretch=False)
    assert np.array_equal(wider, grey[7:33, 7:53])


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_upright_makes_the_longer_side_level(angle: float) -> None:
    mask = np.zeros((300, 300), np.uint8)
    rectangle = ((150.0, 150.0), (120.0, 30.0), float(angle))
    geometry.draw_rectangle(mask, rectangle)
    for same in (rectangle, (rectangle[0], (30.0, 120.0), angle + 90.0)):
        part = geometry.upright(mask, same, 0, stretch=False)
        assert part.shape == (30, 120)
        assert part.all()
    assert not geometry.upright(mask, rectangle, 40, stretch=False).all()


def test_the_margin_of_a_line_can_be_undone() -> None:
    for height in (10.0, 30.0, 60.0):
        with_margins = height + geometry.both_margins(height)
        assert geometry.without_margin(with_margins) == pytest.approx(height, abs=1)
    assert geometry.both_margins(100) == geometry.both_margins(60), "it does not grow any more"


def test_bounding_boxes_end_outside_of_their_parts() -> None:
    mask = np.zeros((50, 60), np.uint8)
    mask[5:10, 20:40] = mask[30:50, 0:7] = 1
    assert geometry.bounding_boxes(mask) == ((20, 5, 40, 10), (0, 30, 7, 50))


def test_stretching_uses_the_whole_range_but_not_for_noise() -> None:
    ramp = np.linspace(100, 150, 1000).astype(np.uint8).reshape(20, 50)
    stretched = geometry.stretch_contrast(ramp)
    assert (stretched.min(), stretched.max()) == (0, 255)
    noise = 100 + (np.arange(1000) % 2).reshape(20, 50).astype(np.uint8)
    assert np.ptp(geometry.stretch_contrast(noise)) < 40
