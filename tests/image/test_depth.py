"""Nothing that an anonymous picture leaves out, and nothing far away, hides what is shown.

Text that the inspection cannot see must not be in the pixels that it passes on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support import hidden_text
from tests.support.dicom_files import dicom
from tests.support.text_images import with_text
from xray.image import anonymous, decode

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def lettered(chest: Image.Image) -> Pixels:
    """The picture with text on it, from 0 to 255."""
    return np.array(with_text(chest, "Ada Ashgrove 1957", (200, 300), size=40))


@pytest.fixture
def text(chest: Image.Image) -> npt.NDArray[np.bool_]:
    """Where a line of text is in the upper part of a picture."""
    return np.asarray(with_text(Image.new("L", chest.size), "Ada Ashgrove", (30, 30))) > 127


def published(data: bytes) -> npt.NDArray[np.int64]:
    """Return the values of the anonymous picture of a file."""
    return np.asarray(anonymous(decode(data)).pixels, int)


@pytest.mark.parametrize(
    "make",
    [
        hidden_text.signed_without_window,
        hidden_text.left_aligned,
        hidden_text.empty_voi_lut_function,
        hidden_text.undeclared_padding,
        hidden_text.hot_pixel,
        hidden_text.sentinel,
        hidden_text.far_floats,
        hidden_text.far_integers,
    ],
)
def test_the_picture_and_its_text_are_shown(
    lettered: Pixels, make: Callable[[Pixels], bytes]
) -> None:
    native = slice(len(lettered) // 4, None)
    seen, meant = published(make(lettered))[native], lettered[native].astype(float)
    # A linear scale, of which all 256 levels are used.
    slope, offset = np.polyfit(meant.ravel(), seen.ravel(), 1)
    assert np.abs(seen - (slope * meant + offset)).max() <= 1
    assert (seen.min(), seen.max()) == (0, 255)


def test_text_in_low_bits_is_left_out(lettered: Pixels, text: npt.NDArray[np.bool_]) -> None:
    data = hidden_text.low_byte(lettered // 2, text)
    assert np.unique(np.asarray(decode(data).pixels)[text] % 256).tolist() == [128]
    without = hidden_text.low_byte(lettered // 2, np.zeros_like(text))
    difference = published(data) - published(without)
    assert np.abs(difference).max() <= 1, "128 of 65,535 is half a grey level of 8 bits"


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
def test_text_in_the_shoulder_of_a_sigmoid_is_left_out(
    lettered: Pixels, text: npt.NDArray[np.bool_], polarity: str
) -> None:
    data = hidden_text.sigmoid_shoulder(lettered, text, PhotometricInterpretation=polarity)
    strip = published(data)[:100]
    assert len(np.unique(strip)) == 1
    assert abs(strip[0, 0] - (255 if polarity == "MONOCHROME2" else 0)) <= 1
    kept = np.asarray(decode(data).pixels)[:100]
    assert len(np.unique(kept)) == 2, "the identified picture keeps it"


def test_an_ordinary_deep_picture_stays_as_it_is(lettered: Pixels) -> None:
    for factor, depth in [(257, 16), (16, 12), (4, 10), (1, 8)]:
        values = lettered.astype(np.uint16) * factor
        picture = decode(hidden_text.saved(values, "PNG"))
        assert picture.depth == depth
        assert np.array_equal(picture.pixels, values)
    values = lettered.astype(np.uint16) * 16
    shown = np.asarray(decode(dicom(values, BitsStored=12)).pixels)
    assert np.array_equal(shown, np.rint(values * (65535 / 4095)))
