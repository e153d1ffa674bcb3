"""xray.image.dicom.shades: the picture that a viewer shows is the picture that is scored."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.support.dicom_files import VARIANTS, Pixels, dicom
from xray.errors import ImageError
from xray.image import Format, Picture, decode, encode
from xray.image.dicom.shades import LookupTable
from xray.risk import RiskModel

SAME_RISK = 0.01


@pytest.fixture(scope="module")
def model() -> RiskModel:
    return RiskModel.load()


@pytest.mark.parametrize("way", VARIANTS)
def test_the_risk_is_that_of_the_same_picture_as_png(
    chest8: Pixels, model: RiskModel, way: str
) -> None:
    as_png = decode(encode(Picture(Image.fromarray(chest8), Format.PNG)))
    picture = decode(VARIANTS[way](chest8))
    assert picture.format is Format.DICOM
    assert picture.pixels.size == as_png.pixels.size
    risk = model.score(as_png.eight_bit())
    assert 0.05 < risk < 0.95, "an inverted or clipped picture would have another risk"
    assert abs(model.score(picture.eight_bit()) - risk) < SAME_RISK


def test_an_inverted_picture_has_another_risk(chest8: Pixels, model: RiskModel) -> None:
    right, wrong = (model.score(Image.fromarray(pixels)) for pixels in (chest8, 255 - chest8))
    assert abs(right - wrong) > 2 * SAME_RISK


def test_a_lookup_table_extends_its_first_and_last_entries() -> None:
    table = LookupTable(np.array([5, 7, 9], np.int64), first=10, bits=8)
    assert table.look_up(np.array([-1e9, 10.0, 11.4, 12.0, np.inf])).tolist() == [5, 5, 7, 9, 9]
    assert table.white == 255


@pytest.mark.parametrize(("entries", "first", "bits"), [([], 0, 8), ([1], 0, 7), ([1], 2**16, 8)])
def test_a_wrong_lookup_table_is_damage(entries: list[int], first: int, bits: int) -> None:
    with pytest.raises(ImageError, match="a lookup table has no entries, or a wrong descriptor"):
        LookupTable(np.array(entries, np.int64), first, bits)


def test_a_rescale_slope_of_zero_is_refused(chest8: Pixels) -> None:
    with pytest.raises(ImageError, match="make all pixels alike"):
        decode(dicom(chest8, RescaleSlope=0, RescaleIntercept=1))
