"""xray.image.raster: JPEG, PNG and TIFF"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xray.errors import ImageError
from xray.image import Format, Picture, decode, encode

Save = Callable[..., bytes]


@pytest.mark.parametrize(
    ("mode", "form", "plain"),
    [
        ("1", "PNG", "L"),
        ("L", "PNG", "L"),
        ("LA", "PNG", "L"),
        ("P", "PNG", "RGB"),
        ("RGB", "PNG", "RGB"),
        ("RGBA", "PNG", "RGB"),
        ("CMYK", "JPEG", "RGB"),
        ("YCbCr", "JPEG", "RGB"),
        ("F", "TIFF", "I;16"),
        ("I", "TIFF", "I;16"),
    ],
)
def test_every_mode_becomes_grey_or_colour(
    chest: Image.Image, as_bytes: Save, mode: str, form: str, plain: str
) -> None:
    source = chest.convert("L") if mode in ("F", "I") else chest.convert("RGB")
    picture = decode(as_bytes(source.convert(mode), form))
    assert picture.pixels.mode == plain
    # Reduced, because a bilevel image is made of dots.
    seen, meant = (
        np.asarray(image.convert("L").resize((16, 12), Image.Resampling.BOX), np.float64)
        for image in (picture.eight_bit(), chest)
    )
    assert np.corrcoef(seen.ravel(), meant.ravel())[0, 1] > 0.95


def ramp(most: int) -> Image.Image:
    """Return a 16-bit ramp from 0 to ``most``."""
    return Image.fromarray(np.linspace(0, most, 256).astype(np.uint16).reshape(1, -1).repeat(64, 0))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("most", "depth"), [(65535, 16), (9000, 16), (4095, 12), (3000, 12), (1023, 10), (99, 8)]
)
def test_sixteen_bits_are_kept(as_bytes: Save, form: str, most: int, depth: int) -> None:
    picture = decode(as_bytes(ramp(most), form))
    assert (picture.pixels.mode, picture.depth) == ("I;16", depth)
    assert np.array_equal(picture.pixels, ramp(most))
    seen = np.asarray(picture.eight_bit(), int)
    assert np.abs(seen - np.asarray(ramp(most), int) * 255 / (2**depth - 1)).max() <= 0.5
    again = decode(encode(picture))
    assert (again.format, again.depth) == (picture.format, depth)
    assert np.array_equal(again.pixels, picture.pixels)


@pytest.mark.parametrize(("most", "depth"), [(65535, 16), (4095, 12)])
def test_every_order_and_sense_of_sixteen_bits_is_read(
    as_bytes: Save, most: int, depth: int
) -> None:
    values = np.asarray(ramp(most))
    big = Image.frombytes("I;16B", (256, 64), values.astype(">u2").tobytes())
    turned = Image.fromarray((2**depth - 1 - values).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = Image.frombytes("I;16B", (256, 64), values[::-1, ::-1].astype(">u2").tobytes())
    for data in [
        as_bytes(big, "TIFF"),
        as_bytes(big, "PNG"),
        as_bytes(turned, "TIFF", tiffinfo={262: 0}),
        as_bytes(upside_down, "TIFF", exif=exif),
    ]:
        picture = decode(data)
        assert (picture.pixels.mode, picture.depth) == ("I;16", depth)
        assert np.array_equal(picture.pixels, values)


def test_thirty_two_bits_become_sixteen(as_bytes: Save) -> None:
    values = np.linspace(-7.5, 3e5, 4096, dtype=np.float32).reshape(64, 64)
    picture = decode(as_bytes(Image.fromarray(values), "TIFF"))
    assert (picture.pixels.mode, picture.depth) == ("I;16", 16)
    assert (np.diff(np.asarray(picture.pixels, int).ravel()) > 0).all()
    with pytest.raises(ImageError, match="not numbers"):
        decode(as_bytes(Image.fromarray(np.full((64, 64), np.nan, np.float32)), "TIFF"))


def test_jpeg_has_eight_bits(chest: Image.Image) -> None:
    deep = Image.fromarray(np.asarray(chest).astype(np.uint16) * 257)
    assert encode(Picture(deep, Format.JPEG, 16)) == encode(Picture(chest, Format.JPEG))


def test_transparency_lies_over_black(as_bytes: Save) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    assert decode(as_bytes(clear, "PNG")).pixels.getpixel((3, 3)) == (0, 0, 0)


def test_almost_opaque_pixels_are_blended_exactly(as_bytes: Save) -> None:
    values, alphas = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    meant = np.rint(values.astype(float) * alphas / 255)
    for mode, channels in (("LA", 1), ("RGBA", 3)):
        image = Image.merge(
            mode, [Image.fromarray(each) for each in [values] * channels + [alphas]]
        )
        seen = np.asarray(decode(as_bytes(image, "PNG")).pixels.convert("L"))
        assert np.array_equal(seen, meant)


@pytest.mark.parametrize(
    ("dtype", "channels", "key", "options"),
    [
        (np.uint8, 1, 200, {}),
        (np.uint8, 1, 255, {}),
        (np.uint8, 3, (200, 10, 0), {}),
        (np.uint16, 1, 40000, {}),
        (np.uint8, 1, 85, {"bits": 2}),
        (np.uint8, 1, 34, {"bits": 4}),
    ],
)
def test_a_transparent_colour_becomes_black(
    as_bytes: Save, dtype: type, channels: int, key: Any, options: dict[str, int]
) -> None:
    step = {2: 85, 4: 17}.get(options.get("bits", 8), 1)
    values = np.random.default_rng(2).integers(0, 256 // step, (64, 64, channels)) * step
    values[:9] = key
    values[9:12] = np.array(key) * 0 + 255
    pixels = (values if channels == 3 else values[..., 0]).astype(dtype)
    in_file = key // step if channels == 1 else key
    data = as_bytes(Image.fromarray(pixels // dtype(step)), "PNG", transparency=in_file, **options)
    is_key = (values == np.array(key)).all(axis=2)
    expected = np.where(is_key[..., None] if channels == 3 else is_key, 0, pixels)
    assert np.array_equal(decode(data).pixels, expected)


def test_a_transparent_colour_of_one_bit_becomes_black(as_bytes: Save) -> None:
    image = Image.new("1", (64, 64), 1)
    image.paste(0, (0, 0, 9, 9))
    assert not np.asarray(decode(as_bytes(image, "PNG", transparency=1)).pixels).any()
    assert np.asarray(decode(as_bytes(image, "PNG", transparency=0)).pixels).sum() > 0


def test_a_transparent_colour_of_sixteen_bits_becomes_black() -> None:
    row = b"\0" + struct.pack(">3H", 40000, 300, 2) * 32 + struct.pack(">3H", 500, 300, 2) * 32
    data = png(64, 64, bits=16, kind=2, key=struct.pack(">3H", 40000, 300, 2), rows=row * 64)
    seen = np.asarray(decode(data).pixels)
    assert not seen[:, :32].any()
    assert (seen[:, 32:] == (500 >> 8, 300 >> 8, 0)).all()


def png(width: int, height: int, *, bits: int, kind: int, key: bytes, rows: bytes) -> bytes:
    """Return a PNG file of a colour type ``kind`` with a tRNS chunk, which Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    result = b"\x89PNG\r\n\x1a\n"
    for name, body in [
        (b"IHDR", header),
        (b"tRNS", key),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]:
        result += struct.pack(">I", len(body)) + name + body
        result += struct.pack(">I", zlib.crc32(name + body))
    return result


def test_a_turned_image_is_set_upright(chest: Image.Image, as_bytes: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(as_bytes(chest, "JPEG", exif=exif.tobytes()))
    assert turned.pixels.size == chest.size[::-1]


@pytest.mark.parametrize("function", ["Image.open", "ImageOps.exif_transpose"])
def test_an_error_of_pillow_is_damage(
    chest: Image.Image, as_bytes: Save, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no message of a decoder is passed on")

    data = as_bytes(chest)
    monkeypatch.setattr(f"xray.image.raster.{function}", fail)
    with pytest.raises(ImageError, match=r"damaged \(ZeroDivisionError while decoding\): upload"):
        decode(data)


@pytest.mark.parametrize("function", ["Picture", "significant_bits"])
def test_a_defect_of_our_own_code_comes_out_as_itself(
    as_bytes: Save, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    data = as_bytes(ramp(4095), "PNG")
    monkeypatch.setattr(f"xray.image.raster.{function}", fail)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        decode(data)
