"""xray.image"""

from __future__ import annotations

import struct
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


@pytest.mark.parametrize("form", list(Format))
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
        ("F", "TIFF", "L"),
        ("I", "TIFF", "L"),
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
        for image in (picture.pixels, chest)
    )
    assert np.corrcoef(seen.ravel(), meant.ravel())[0, 1] > 0.95


def test_sixteen_bits_keep_their_range(as_bytes: Save) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(1, -1).repeat(8, axis=0)
    picture = decode(as_bytes(Image.fromarray(ramp), "PNG"))
    assert np.asarray(picture.pixels)[0].tolist() == list(range(256))


def test_transparency_lies_over_black(as_bytes: Save) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    assert decode(as_bytes(clear, "PNG")).pixels.getpixel((3, 3)) == (0, 0, 0)


def test_a_turned_image_is_set_upright(chest: Image.Image, as_bytes: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(as_bytes(chest, "JPEG", exif=exif.tobytes()))
    assert turned.pixels.size == chest.size[::-1]


SECRET = "Ada Ashgrove 1957-07-10"


@pytest.mark.parametrize("form", list(Format))
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


@pytest.mark.parametrize("form", list(Format))
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
    jpeg = as_bytes(chest)
    for data, said in [
        (b"", "empty"),
        (b"a letter, not a picture", "neither JPEG, PNG nor TIFF"),
        (as_bytes(chest, "GIF"), "neither JPEG, PNG nor TIFF"),
        (jpeg[: len(jpeg) // 2], "truncated"),
        (as_bytes(chest, "PNG")[:-2000], "truncated"),
        (frames, "3 frames"),
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data(), form=st.sampled_from(list(Format)))
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
        assert picture.pixels.mode in ("L", "RGB")
