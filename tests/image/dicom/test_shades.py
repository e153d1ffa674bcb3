"""xray.image.dicom.shades: the picture that a viewer shows is the picture that is scored."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw

from tests.support.dicom_files import VARIANTS, Pixels, dataset, dicom, file_bytes, twelve_bits
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


def with_overlay(pixels: Pixels, *, in_pixel_data: bool) -> bytes:
    """A file of 12 bits with an overlay that says TEXT, beside the pixels or in their unused bits.

    The second way was retired from the standard, and is in old archives.
    """
    drawn = Image.new("1", (pixels.shape[1], pixels.shape[0]))
    ImageDraw.Draw(drawn).text((20, 20), "TEXT", fill=1, font_size=40)
    mask, source = np.asarray(drawn), dataset(twelve_bits(pixels), BitsStored=12)
    source.add_new(0x60000010, "US", pixels.shape[0])
    source.add_new(0x60000011, "US", pixels.shape[1])
    source.add_new(0x60000040, "CS", "G")
    source.add_new(0x60000050, "SS", [1, 1])
    source.add_new(0x60000100, "US", 16 if in_pixel_data else 1)
    source.add_new(0x60000102, "US", 15 if in_pixel_data else 0)
    if in_pixel_data:
        values = twelve_bits(pixels) | (mask.astype(np.uint16) << 15)
        source.PixelData = values.tobytes()
    else:
        source.add_new(0x60003000, "OW", np.packbits(mask, bitorder="little").tobytes())
    return file_bytes(source)


@pytest.mark.parametrize("in_pixel_data", [False, True])
def test_an_overlay_is_no_part_of_the_image_and_of_no_result(
    chest8: Pixels, in_pixel_data: bool
) -> None:
    plain = decode(dicom(twelve_bits(chest8), BitsStored=12))
    picture = decode(with_overlay(chest8, in_pixel_data=in_pixel_data))
    assert np.array_equal(np.asarray(picture.pixels), np.asarray(plain.pixels))
    result = pydicom.dcmread(io.BytesIO(encode(picture)))
    assert not [element for element in result if element.tag.group in range(0x6000, 0x6100)]
    assert not [element for element in picture.header if element.tag.group >= 0x6000]


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


def windowed(pixels: Pixels, function: str | None) -> np.ndarray:
    """Return the values of a picture with a window and a VOI LUT Function, from 0 to 1."""
    elements = {} if function is None else {"VOILUTFunction": function}
    data = dicom(
        twelve_bits(pixels), BitsStored=12, WindowCenter=2000, WindowWidth=1500, **elements
    )
    return np.asarray(decode(data).pixels) / 65535


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        (None, lambda x: (x - 1999.5) / 1499 + 0.5),
        ("", lambda x: (x - 1999.5) / 1499 + 0.5),
        ("linear ", lambda x: (x - 1999.5) / 1499 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 2000) / 1500 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 1500))),
    ],
)
def test_each_voi_lut_function_has_the_standards_formula(
    chest8: Pixels, function: str | None, formula: Callable[[np.ndarray], np.ndarray]
) -> None:
    meant = formula(twelve_bits(chest8).astype(float)).clip(0, 1)
    assert np.abs(windowed(chest8, function) - meant).max() <= 1 / 65535


def test_an_unknown_voi_lut_function_is_refused(chest8: Pixels) -> None:
    with pytest.raises(ImageError, match="none of LINEAR, LINEAR_EXACT and SIGMOID") as caught:
        windowed(chest8, "Ashgr")
    assert "Ashgr" not in str(caught.value)


def test_an_exact_window_can_be_narrower_than_one(chest8: Pixels) -> None:
    elements = {"RescaleSlope": 1 / 255, "RescaleIntercept": 0, "VOILUTFunction": "LINEAR_EXACT"}
    data = dicom(chest8, WindowCenter=0.5, WindowWidth=0.5, **elements)
    meant = ((chest8 / 255 - 0.5) * 2 + 0.5).clip(0, 1) * 255
    assert np.abs(np.asarray(decode(data).pixels) - meant).max() <= 0.51


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("padding", "elements"),
    [
        (-2000, {"PixelPaddingValue": -2000}),
        (-2000, {"PixelPaddingValue": -2010, "PixelPaddingRangeLimit": -1990}),
        (-2000, {"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2010}),
        (4095, {"PixelPaddingValue": 4095}),
    ],
)
def test_padding_is_black_and_the_rest_has_the_range(
    chest8: Pixels, polarity: str, padding: int, elements: dict[str, int]
) -> None:
    values = chest8.astype(np.int16 if padding < 0 else np.uint16) * 4 + 100
    values[:50], values[-50:] = padding, padding
    data = dicom(values, PhotometricInterpretation=polarity, **elements)
    seen = np.asarray(decode(data).pixels)
    assert not seen[:50].any()
    assert not seen[-50:].any()
    native = values[50:-50].astype(float)
    unit = (native - native.min()) / (native.max() - native.min())
    meant = 1 - unit if polarity == "MONOCHROME1" else unit
    assert np.abs(seen[50:-50] - meant * 65535).max() <= 0.51


def test_a_padding_value_can_have_the_wrong_vr(chest8: Pixels) -> None:
    values = chest8.astype(np.int16)
    values[:50] = -2000
    source = dataset(values)
    source.add_new("PixelPaddingValue", "US", 65536 - 2000)
    right = decode(dicom(values, PixelPaddingValue=-2000))
    assert np.array_equal(decode(file_bytes(source)).pixels, right.pixels)
    positive = chest8.astype(np.uint16)
    positive[:50] = 65535
    source = dataset(positive)
    source.add_new("PixelPaddingValue", "SS", -1)
    assert not np.asarray(decode(file_bytes(source)).pixels)[:50].any()


def test_an_image_of_one_value_is_no_error(chest8: Pixels) -> None:
    flat = np.full_like(chest8, 9).astype(np.int16)
    for elements in ({}, {"PixelPaddingValue": 9}, {"PixelPaddingValue": 8}):
        assert len(np.unique(decode(dicom(flat, **elements)).pixels)) == 1


def test_padding_that_no_pixel_has_changes_nothing(chest8: Pixels) -> None:
    values = twelve_bits(chest8)
    plain, declared = (
        decode(dicom(values, BitsStored=12, **elements)).pixels
        for elements in ({}, {"PixelPaddingValue": int(values.max()) + 1})
    )
    assert np.array_equal(plain, declared)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_presentation_lut_shape_inverts_once(chest8: Pixels, photometric: str) -> None:
    elements = {"PhotometricInterpretation": photometric}
    inverted = decode(dicom(chest8, **elements, PresentationLUTShape="INVERSE")).pixels
    assert np.array_equal(inverted, 255 - chest8)
    identity = decode(dicom(chest8, **elements, PresentationLUTShape="IDENTITY")).pixels
    assert np.array_equal(identity, decode(dicom(chest8, **elements)).pixels)


def test_padding_is_black_beside_a_window_too(chest8: Pixels) -> None:
    values = chest8.astype(np.uint16) * 4
    values[:50] = 4095
    elements = {"BitsStored": 12, "WindowCenter": 510.5, "WindowWidth": 1021}
    seen = np.asarray(decode(dicom(values, **elements, PixelPaddingValue=4095)).pixels)
    assert not seen[:50].any()
    assert np.array_equal(seen[50:], np.asarray(decode(dicom(values, **elements)).pixels)[50:])
