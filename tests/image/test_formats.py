"""xray.image.formats: bytes to a picture and back"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xray.errors import ImageError
from xray.image import Format, Limits, Picture, anonymous, decode, encode

Save = Callable[..., bytes]
FILES = [Format.JPEG, Format.PNG, Format.TIFF]
"""The formats that Pillow reads; tests/image/dicom has the other one."""
SECRET = "Ada Ashgrove 1957-07-10"


@pytest.mark.parametrize("form", FILES)
def test_the_content_decides_the_format(chest: Image.Image, as_bytes: Save, form: Format) -> None:
    picture = decode(as_bytes(chest, form.value))
    assert picture.format is form
    assert picture.pixels.size == chest.size
    assert picture.pixels.mode == "L"


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
    with Image.open(io.BytesIO(result)) as again:
        assert not again.getexif() or form is Format.TIFF
        assert "icc_profile" not in again.info
        assert "comment" not in again.info


@pytest.mark.parametrize("form", FILES)
def test_the_same_pixels_give_the_same_bytes(chest: Image.Image, form: Format) -> None:
    assert encode(Picture(chest, form)) == encode(Picture(chest.copy(), form))
    if form is not Format.JPEG:
        assert np.array_equal(decode(encode(Picture(chest, form))).pixels, chest)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_an_anonymous_picture_is_eight_bit_grey(
    chest: Image.Image, form: Format, mode: str
) -> None:
    pixels = chest.convert("RGB") if mode == "RGB" else chest
    if mode == "I;16":
        pixels = Image.fromarray(np.asarray(chest).astype(np.uint16) * 257)
    result = anonymous(Picture(pixels, form, 16 if mode == "I;16" else 8, header="a patient"))
    assert result == Picture(result.pixels, Format.PNG if form is Format.DICOM else form)
    assert (result.pixels.mode, result.header) == ("L", None)
    assert np.array_equal(result.pixels, chest)
    with Image.open(io.BytesIO(encode(result))) as written:
        assert (written.mode, written.format) == ("L", result.format.value)


def test_an_anonymous_picture_has_no_hue() -> None:
    ground, text = (130, 130, 130), (156, 111, 156)
    image = Image.new("RGB", (64, 64), ground)
    image.paste(text, (10, 10, 50, 20))
    assert set(np.asarray(anonymous(Picture(image, Format.PNG)).pixels).ravel()) == {130}


def bomb() -> bytes:
    """Return a small PNG whose header says 900 million pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def test_bad_content_says_what_is_wrong(chest: Image.Image, as_bytes: Save) -> None:
    frames = as_bytes(chest, "TIFF", save_all=True, append_images=[chest] * 2)
    big = Image.frombytes("I;16B", (64, 64), bytes(2 * 64**2))
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
        "s = io.BytesIO(); Image.new('L', (64, 64)).save(s, 'PNG'); encode(decode(s.getvalue()))\n"
        "assert not {'pydicom', 'gdcm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "plugins"}, check=True)


@settings(max_examples=150)
@given(data=st.data(), form=st.sampled_from(FILES))
def test_damage_raises_nothing_else(
    chest: Image.Image, as_bytes: Save, data: st.DataObject, form: Format
) -> None:
    content = bytearray(as_bytes(chest.resize((88, 66)), form.value))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(content))
    except ImageError as error:
        assert str(error)
    else:
        assert picture.pixels.mode in ("L", "RGB", "I;16")


def test_a_tiff_signature_in_a_dicom_preamble_is_dicom() -> None:
    with pytest.raises(ImageError, match="The DICOM file names no transfer syntax"):
        decode(b"II*\0" + bytes(124) + b"DICM")
