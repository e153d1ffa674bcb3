"""xray.redaction.views"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.text_images import ink, with_text
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import Magnifier, equalize_contrast, even_line, flattened, stretched

Pixels = npt.NDArray[np.uint8]
FLAT = THRESHOLDS.flat_contrast


def noisy(deviation: float, shape: tuple[int, int] = (200, 300)) -> Pixels:
    """Return a grey ground with noise."""
    values = np.random.default_rng(4).normal(100, deviation, shape)
    return np.rint(values).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("ground", [0, 1, 100, 254, 255])
@pytest.mark.parametrize("height", [-2, -1, 1, 2])
def test_faint_text_on_even_ground_vanishes(ground: int, height: int) -> None:
    level = ground + height
    if not 0 <= level <= 255:
        level = ground - height
    blank = Image.new("L", (300, 120), ground)
    image = with_text(blank, "Ada Ashgrove", (20, 40), fill=level)
    assert (np.asarray(image) != ground).any()
    assert (flattened(np.asarray(image)) == ground).all()


def test_stronger_text_stays_as_it_is() -> None:
    image = with_text(Image.new("L", (300, 120), 100), "Ada", (20, 40), fill=101 + FLAT)
    assert np.array_equal(flattened(np.asarray(image)), np.asarray(image))


def test_faint_text_vanishes_beside_what_is_strong() -> None:
    pixels = np.array(with_text(Image.new("L", (600, 120), 0), "Ada 1957", (20, 40), fill=FLAT))
    pixels[:, 500:] = noisy(20, (120, 100))
    assert not flattened(pixels)[:, :200].any()


@pytest.mark.parametrize("deviation", [0.3, 0.6, 1, 2, 20])
def test_no_pixel_changes_by_more_than_the_faintest_contrast(deviation: float) -> None:
    pixels = noisy(deviation)
    change = np.abs(flattened(pixels).astype(int) - pixels)
    assert change.max() <= FLAT
    assert flattened(pixels).dtype == np.uint8


def test_noise_and_slopes_stay() -> None:
    assert np.array_equal(flattened(noisy(3)), noisy(3))
    for steps in (1, 2, 5):
        slope = np.tile(np.arange(600) // steps % 256, (100, 1)).astype(np.uint8)[:, : 256 * steps]
        inside = np.s_[:, THRESHOLDS.flat_width : -THRESHOLDS.flat_width]
        assert np.array_equal(flattened(slope)[inside], slope[inside])


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((64, 64), THRESHOLDS.max_enlargement),
        ((240, 320), THRESHOLDS.max_enlargement),
        ((933, 701), THRESHOLDS.enlarged_side / 701),
        ((THRESHOLDS.small_side - 1, 2000), None),
    ],
)
def test_a_small_picture_is_enlarged(shape: tuple[int, int], scale: float | None) -> None:
    magnifier = Magnifier(shape)
    assert magnifier.scale > 1
    assert scale is None or magnifier.scale == pytest.approx(scale)
    large = magnifier.enlarge(noisy(5, shape))
    assert large.shape == tuple(round(side * magnifier.scale) for side in shape)
    assert large.dtype == np.uint8
    assert min(large.shape) <= THRESHOLDS.enlarged_side


def test_a_large_picture_is_looked_at_as_it_is() -> None:
    side = THRESHOLDS.small_side
    pixels = noisy(5, (side, side + 100))
    magnifier = Magnifier(pixels.shape)
    assert magnifier.scale == 1
    assert magnifier.enlarge(pixels) is pixels
    assert magnifier.reduce(pixels) is pixels


@pytest.mark.parametrize("shape", [(70, 90), (933, 701)])
def test_a_reduced_mask_covers_every_pixel_that_is_touched(shape: tuple[int, int]) -> None:
    magnifier = Magnifier(shape)
    large = magnifier.enlarge(np.zeros(shape, np.uint8))
    mask = np.zeros_like(large)
    rng = np.random.default_rng(6)
    rows, columns = (rng.integers(0, side, 100) for side in large.shape)
    mask[rows, columns] = 1
    expected = np.zeros(shape, np.uint8)
    for row, column in zip(rows, columns, strict=True):
        (top, bottom), (left, right) = (
            (int(place * small / whole), int(np.ceil((place + 1) * small / whole - 1e-6)))
            for place, small, whole in zip((row, column), shape, large.shape, strict=True)
        )
        expected[top:bottom, left:right] = 1
    reduced = magnifier.reduce(mask)
    assert reduced.dtype == np.uint8
    assert np.array_equal(reduced, expected)


def test_stretching_uses_the_whole_range() -> None:
    ramp = np.tile(np.arange(100, 151), (5, 1)).astype(np.uint8)
    levels = stretched(ramp)
    assert (levels.min(), levels.max()) == (0, 255)
    assert (np.diff(levels[0].astype(int)) >= 5).all(), "in the same order"
    whole = np.tile(np.arange(256), (5, 1)).astype(np.uint8)
    even = np.full((5, 9), 7, np.uint8)
    for same in (whole, even):
        assert stretched(same) is same


def test_the_equalized_contrast_of_faint_and_strong_text_is_alike() -> None:
    blank = Image.new("L", (600, 300), 80)
    faint = with_text(blank, "Ada Ashgrove", (60, 200), fill=100)
    strong = with_text(blank, "Ada Ashgrove", (60, 200), fill=240)
    letters = ink(strong, blank)
    spans = []
    for image in (faint, strong):
        grey = equalize_contrast(np.asarray(image))
        assert grey.dtype == np.uint8
        assert abs(int(grey[20, 300]) - 128) <= 1, "far from the text"
        spans.append(np.median(grey[letters]) - 128)
    assert spans[0] > 2 * 20, "more than twice its contrast"
    assert spans[0] > 0.5 * spans[1]


def test_a_line_across_an_edge_gets_the_same_contrast_everywhere() -> None:
    ground = np.full((40, 360), 30, np.uint8)
    ground[:, 180:] = 225
    blank = Image.fromarray(ground)
    image = with_text(blank, "Ada 1957", (20, 5), fill=60)
    image.paste(with_text(blank, "Ada 1957", (200, 5), fill=250).crop((180, 0, 360, 40)), (180, 0))
    letters = ink(image, blank, least=15)
    dark, bright = letters.copy(), letters.copy()
    dark[:, 160:] = bright[:, :200] = False
    line = even_line(np.asarray(image)).astype(int)
    assert line.shape == ground.shape
    spans = [np.median(line[where]) - np.median(line[~letters]) for where in (dark, bright)]
    assert min(spans) > 30, "the whole range in each half"
    assert max(spans) < 2 * min(spans)
