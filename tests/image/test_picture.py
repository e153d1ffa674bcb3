"""xray.image"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xray.errors import ImageError
from xray.image import Format, Limits, Picture, decode, encode

Save = Callable[..., bytes]
FILES = [Format.JPEG, Format.PNG, Format.TIFF]
"""What Pillow reads; tests/test_dicom.py has the rest."""


@pytest.mark.parametrize("form", FILES)
def test_the_content_decides_the_format(chest: Image.Image, as_bytes: Save, form: Format) -> None:
    picture = decode(as_bytes(chest, form.value))
    assert picture.format is form
    assert picture.pixels.size == chest.size
    assert picture.pixels.mode == "L"


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
    # Seen from afar, as a bilevel image is made of dots.
    seen, meant = (
        np.asarray(image.convert("L").resize((16, 12), Image.Resampling.BOX), np.float64)
        for image in (picture.eight_bit(), chest)
    )
    assert np.corrcoef(seen.ravel(), meant.ravel())[0, 1] > 0.95


def ramp(most: int) -> Image.Image:
    """A 16-bit ramp from 0 to ``most``."""
    return Image.fromarray(np.linspace(0, most, 256).astype(np.uint16).reshape(1, -1).repeat(8, 0))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("most", "depth"), [(65535, 16), (4096, 16), (4095, 12), (3000, 12), (1023, 10), (99, 8)]
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
    big = Image.frombytes("I;16B", (256, 8), values.astype(">u2").tobytes())
    turned = Image.fromarray((2**depth - 1 - values).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = Image.frombytes("I;16B", (256, 8), values[::-1, ::-1].astype(">u2").tobytes())
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
    values = np.linspace(-7.5, 3e5, 2048, dtype=np.float32).reshape(32, 64)
    picture = decode(as_bytes(Image.fromarray(values), "TIFF"))
    assert (picture.pixels.mode, picture.depth) == ("I;16", 16)
    assert (np.diff(np.asarray(picture.pixels, int).ravel()) > 0).all()
    with pytest.raises(ImageError, match="not numbers"):
        decode(as_bytes(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


def test_the_eight_bit_view_is_a_copy(chest: Image.Image) -> None:
    picture = Picture(chest, Format.PNG)
    picture.eight_bit().thumbnail((9, 9))
    assert picture.pixels.size == (640, 480)


def test_jpeg_has_eight_bits(chest: Image.Image) -> None:
    deep = Image.fromarray(np.asarray(chest).astype(np.uint16) * 257)
    assert encode(Picture(deep, Format.JPEG, 16)) == encode(Picture(chest, Format.JPEG))


def test_transparency_lies_over_black(as_bytes: Save) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    assert decode(as_bytes(clear, "PNG")).pixels.getpixel((3, 3)) == (0, 0, 0)


def test_a_turned_image_is_set_upright(chest: Image.Image, as_bytes: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(as_bytes(chest, "JPEG", exif=exif.tobytes()))
    assert turned.pixels.size == chest.size[::-1]


SECRET = "Ada Ashgrove 1957-07-10"


@pytest.mark.parametrize("form", FILES)
def test_no_metadata_gets_out(chest: Image.Image, as_bytes: Save, form: Format) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET
    options: dict[str, object] = {"exif": exif.tobytes(), "icc_profile": SECRET.encode()}
    if form is Format.JPEG:
        options["comment"] = SECRET.encode()
    if form is Format.PNG:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Patient", SECRET)  # type: ignore[attr-defined]
    if form is Format.TIFF:
        options["description"] = SECRET
    source = as_bytes(chest, form.value, **options) + SECRET.encode()
    assert SECRET.encode() in source
    result = encode(decode(source))
    for word in SECRET.encode().split():
        assert word not in result
    with Image.open(__import__("io").BytesIO(result)) as again:
        assert not again.getexif() or form is Format.TIFF
        assert "icc_profile" not in again.info
        assert "comment" not in again.info


@pytest.mark.parametrize("form", FILES)
def test_the_same_pixels_give_the_same_bytes(chest: Image.Image, form: Format) -> None:
    assert encode(Picture(chest, form)) == encode(Picture(chest.copy(), form))
    if form is not Format.JPEG:
        assert np.array_equal(decode(encode(Picture(chest, form))).pixels, chest)


def bomb() -> bytes:
    """A PNG whose header promises 900 million pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def test_bad_content_says_what_is_wrong(chest: Image.Image, as_bytes: Save) -> None:
    frames = as_bytes(chest, "TIFF", save_all=True, append_images=[chest] * 2)
    big = Image.frombytes("I;16B", (8, 8), bytes(128))
    jpeg = as_bytes(chest)
    for data, said in [
        (b"", "empty"),
        (b"a letter, not a picture", "neither JPEG, PNG, TIFF nor DICOM"),
        (as_bytes(chest, "GIF"), "neither JPEG, PNG, TIFF nor DICOM"),
        (jpeg[: len(jpeg) // 2], "truncated"),
        (as_bytes(chest, "PNG")[:-2000], "truncated"),
        (frames, "3 frames; the limit max_frames is 1"),
        (as_bytes(big, "TIFF", tiffinfo={262: 0}), "The TIFF image is damaged, or of a kind"),
        (bomb(), "pixels"),
    ]:
        with pytest.raises(ImageError, match=said):
            decode(data)


def test_the_limits_hold(chest: Image.Image, as_bytes: Save) -> None:
    data = as_bytes(chest)
    with pytest.raises(ImageError, match="max_bytes is 10"):
        decode(data, limits=Limits(max_bytes=10))
    with pytest.raises(ImageError, match="640 x 480"):
        decode(data, limits=Limits(max_pixels=640 * 480 - 1))
    assert decode(data, limits=Limits(max_pixels=640 * 480)).pixels.size == (640, 480)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "MPO"])
def test_of_several_frames_the_first_is_processed(
    chest: Image.Image, as_bytes: Save, form: str
) -> None:
    more = [Image.new("L", chest.size, level) for level in (0, 255)]
    data = as_bytes(chest, form, save_all=True, append_images=more)
    with pytest.raises(ImageError, match="3 frames; the limit max_frames is 2"):
        decode(data, limits=Limits(max_frames=2))
    picture = decode(data, limits=Limits(max_frames=3))
    assert picture.format is (Format.JPEG if form == "MPO" else Format(form))
    assert np.abs(np.asarray(picture.pixels, int) - np.asarray(chest, int)).mean() < 3


def test_pydicom_is_loaded_for_dicom_alone() -> None:
    code = (
        "import io, sys; from PIL import Image; from xray.image import decode, encode\n"
        "s = io.BytesIO(); Image.new('L', (9, 9)).save(s, 'PNG'); encode(decode(s.getvalue()))\n"
        "assert not {'pydicom', 'gdcm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "plugins"}, check=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data(), form=st.sampled_from(FILES))
def test_damage_raises_nothing_else(
    chest: Image.Image, as_bytes: Save, data: st.DataObject, form: Format
) -> None:
    content = bytearray(as_bytes(chest.resize((40, 30)), form.value))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(content))
    except ImageError as error:
        assert str(error)
    else:
        assert picture.pixels.mode in ("L", "RGB", "I;16")
