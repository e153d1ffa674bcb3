"""xray.image.dicom.header"""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom import uid

from tests.support.dicom_files import Pixels, dataset, dicom, file_bytes, twelve_bits
from xray.errors import ImageError
from xray.image import Limits, decode
from xray.image.dicom.header import read_header


def test_the_limits_hold_before_a_pixel_is_decoded(chest8: Pixels) -> None:
    data = dicom(chest8)
    with pytest.raises(ImageError, match="the limit max_pixels is 1000"):
        decode(data, limits=Limits(max_pixels=1000))
    frames = dataset(chest8, NumberOfFrames=3)
    frames.PixelData = chest8.tobytes() * 3
    with pytest.raises(ImageError, match="3 frames; the limit max_frames is 2"):
        decode(file_bytes(frames), limits=Limits(max_frames=2))
    first = decode(file_bytes(frames), limits=Limits(max_frames=3))
    assert np.array_equal(np.asarray(first.pixels), chest8)


def test_the_file_is_left_where_the_pixel_data_begins(chest8: Pixels) -> None:
    data = file_bytes(dataset(chest8), uid.ImplicitVRLittleEndian)
    source = io.BytesIO(data)
    header = read_header(source, Limits())
    assert (header.height, header.width) == chest8.shape
    assert (header.syntax, header.frames, header.bits) == (uid.ImplicitVRLittleEndian, 1, 8)
    assert data[source.tell() :].startswith(b"\xe0\x7f\x10\x00")


@pytest.mark.parametrize(
    ("high_bit", "below"), [(11, 0), (15, 4), (13, 2), (16, 0), (7, 0), (None, 0)]
)
def test_the_high_bit_counts_where_it_is_possible(
    chest8: Pixels, high_bit: int | None, below: int
) -> None:
    source = dataset(chest8.astype(np.uint16), BitsStored=12, HighBit=high_bit)
    assert read_header(io.BytesIO(file_bytes(source)), Limits()).bits_below == below


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"SOPClassUID": uid.CTImageStorage}, "of the class CT Image Storage"),
        ({"SOPClassUID": "1.2.840.1.5120"}, "of the class unknown"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "is raw, for processing"),
        ({"Rows": 0}, "x 0 pixels"),
        ({"Rows": 63}, "x 63 pixels; the shorter side must have at least min_side, 64"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits per pixel"),
    ],
)
def test_another_object_is_refused(
    chest8: Pixels, elements: dict[str, object], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        read_header(io.BytesIO(dicom(chest8, **elements)), Limits())


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("PhotometricInterpretation", "Photometric Interpretation"),
        ("BitsAllocated", "Bits Allocated"),
        ("PixelRepresentation", "Pixel Representation"),
    ],
)
def test_what_nothing_stands_for_is_named(chest8: Pixels, keyword: str, name: str) -> None:
    source = dataset(chest8)
    delattr(source, keyword)
    with pytest.raises(ImageError, match=f"The DICOM header lacks {name}: "):
        decode(file_bytes(source))


@pytest.mark.parametrize(
    ("lacks", "elements"),
    [
        ("BitsStored", {"BitsStored": 12}),
        ("SamplesPerPixel", {"BitsStored": 12}),
        ("PhotometricInterpretation", {"BitsStored": 12, "PresentationLUTShape": "IDENTITY"}),
    ],
)
def test_what_the_rest_of_the_header_tells_may_be_missing(
    chest8: Pixels, lacks: str, elements: dict[str, object]
) -> None:
    values = twelve_bits(chest8)
    source = dataset(values, **elements)
    delattr(source, lacks)
    whole = decode(dicom(values, **elements))
    assert np.array_equal(decode(file_bytes(source)).pixels, whole.pixels)


def test_colours_need_no_samples_per_pixel(chest8: Pixels) -> None:
    colours = np.stack([chest8, chest8 // 2, chest8 // 3], axis=2)
    source = dataset(colours)
    del source.SamplesPerPixel
    assert np.array_equal(decode(file_bytes(source)).pixels, colours)


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelAspectRatio": [2, 1]},
        {"PixelSpacing": [0.3, 0.15], "ImagerPixelSpacing": [1, 1]},
        {"ImagerPixelSpacing": [0.3, 0.15]},
        {"NominalScannedPixelSpacing": [0.3, 0.15]},
    ],
)
def test_tall_pixels_become_square(chest8: Pixels, elements: dict[str, object]) -> None:
    height, width = chest8.shape
    seen = decode(dicom(chest8[::2], **elements)).pixels
    assert seen.size == (width, 2 * -(-height // 2))
    apart = np.abs(np.asarray(seen, float)[:height] - chest8).mean()
    assert apart < 2.0


def test_wide_pixels_become_square_in_any_depth(chest8: Pixels) -> None:
    height, width = chest8.shape
    values = twelve_bits(chest8)
    seen = decode(dicom(values[:, ::2], BitsStored=12, PixelAspectRatio=[1, 2]))
    assert seen.pixels.size == (2 * -(-width // 2), height)
    assert (seen.pixels.mode, seen.depth) == ("I;16", 16)


@pytest.mark.parametrize("spacing", [[0.1001, 0.1], 0.3, None])
def test_other_spacings_change_nothing(chest8: Pixels, spacing: object) -> None:
    assert np.array_equal(decode(dicom(chest8, PixelSpacing=spacing)).pixels, chest8)


def test_an_enlarged_image_keeps_the_limits(chest8: Pixels) -> None:
    limits = Limits(max_pixels=chest8.size + 1)
    with pytest.raises(ImageError, match="the limit max_pixels"):
        decode(dicom(chest8, PixelAspectRatio=[2, 1]), limits=limits)
    for ratio in ([100, 1], [0, 1], [-1, 1]):
        with pytest.raises(ImageError, match=r"far from square|damaged"):
            decode(dicom(chest8, PixelAspectRatio=ratio))
