"""xray.image.picture"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xray.errors import ImageError
from xray.image import Format, Limits, Picture, significant_bits


def test_the_eight_bit_view_is_a_copy(chest: Image.Image) -> None:
    picture = Picture(chest, Format.PNG)
    picture.eight_bit().thumbnail((9, 9))
    assert picture.pixels.size == (640, 480)


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 9), (4095, 12), (4096, 16), (65535, 16)]
)
def test_twelve_bits_are_significant_where_they_are_enough(largest: int, bits: int) -> None:
    assert significant_bits(np.array([0, largest], np.uint16)) == bits


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 5, 1), "0 x 5 pixels: export it again"),
        ((11, 10, 1), "the limit max_pixels is 100"),
        ((3, 30, 1), "3 x 30 pixels; the shorter side must have at least min_side, 4: upload"),
        ((1, 1, 1), "1 x 1 pixels; the shorter side"),
        ((10, 10, 3), "the limit max_frames is 2"),
    ],
)
def test_the_limits_name_the_value(size: tuple[int, int, int], message: str) -> None:
    limits = Limits(max_pixels=100, max_frames=2, min_side=4)
    limits.check(10, 10, 2)
    limits.check(25, 4, 1)
    with pytest.raises(ImageError, match=message):
        limits.check(*size)


def test_a_format_has_its_media_type_and_suffix() -> None:
    assert (Format.DICOM.content_type, Format.DICOM.suffix) == ("application/dicom", ".dcm")
    assert (Format.JPEG.content_type, Format.JPEG.suffix) == ("image/jpeg", ".jpeg")
