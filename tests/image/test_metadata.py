"""An anonymised image holds nothing that the input says about a person.

Pillow checks this, and parsers of these tests, which list every part of a file.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from xray.image import Format, anonymous, decode, encode

NAME = b"Ada Ashgrove"
TEXT = NAME.decode()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><dc:creator>" + NAME + b"</dc:creator></x:xmpmeta>"
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x11\x1c\x02\x50\x00\x0c" + NAME
STRIPS = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 339}
"""The TIFF tags that say how the pixels are stored."""


def exif() -> bytes:
    """Return EXIF data with a name and a place."""
    tags = Image.Exif()
    tags[0x010E] = tags[0x013B] = tags[0x8298] = TEXT
    tags.get_ifd(0x8825)[1] = "N"
    tags.get_ifd(0x8769)[0x9286] = NAME
    return tags.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(image: Image.Image) -> bytes:
    """Return a JPEG that holds a name in every possible place."""
    stream = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(stream, "JPEG", exif=exif(), icc_profile=profile, comment=NAME)
    plain = stream.getvalue()
    more = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + segment(0xED, IPTC)
    more += segment(0xE5, NAME) + segment(0xFE, NAME)
    return plain[:2] + more + plain[2:] + NAME


def png(image: Image.Image) -> bytes:
    """Return a PNG that holds a name in every possible place."""
    info = PngInfo()
    info.add_text("Author", TEXT)
    info.add_text("Description", TEXT, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add(b"prIV", NAME)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=info, exif=exif(), icc_profile=NAME, dpi=(72, 72))
    return stream.getvalue() + NAME


def tiff(image: Image.Image) -> bytes:
    """Return a TIFF that holds a name in every possible place."""
    tags = ImageFileDirectory_v2()
    for tag in (270, 305, 315, 316, 33432):
        tags[tag] = TEXT
    tags[700], tags[33723], tags[34377], tags[65000] = XMP, IPTC, IPTC, NAME
    for tag in (700, 33723, 34377, 65000):
        tags.tagtype[tag] = 7
    stream = io.BytesIO()
    image.save(stream, "TIFF", tiffinfo=tags)
    return stream.getvalue() + NAME


def parts_of_jpeg(data: bytes) -> list[int]:
    """Return the markers of a JPEG; nothing may follow the image."""
    assert data[:2] == b"\xff\xd8"
    place, found = 2, []
    while True:
        start, marker, size = struct.unpack_from(">BBH", data, place)
        assert start == 0xFF
        found.append(marker)
        if marker == 0xE0:
            assert data[place + 4 : place + 9] == b"JFIF\0"
            assert size == 16, "no thumbnail"
        place += 2 + size
        if marker == 0xDA:
            break
    while data[place] != 0xFF or data[place + 1] in (0, *range(0xD0, 0xD8)):
        place += 1
    assert data[place:] == b"\xff\xd9", "nothing follows the image"
    return found


def parts_of_png(data: bytes) -> list[bytes]:
    """Return the chunks of a PNG; nothing may follow the last one."""
    place, found = 8, []
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + size]
        (check,) = struct.unpack_from(">I", data, place + 8 + size)
        assert check == zlib.crc32(kind + body)
        found.append(kind)
        place += 12 + size
    assert found[-1] == b"IEND"
    return found


def parts_of_tiff(data: bytes) -> list[int]:
    """Return the tags of a TIFF, which may have one directory only."""
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    tags = [struct.unpack_from(f"{order}H", data, place + 2 + 12 * n)[0] for n in range(count)]
    (following,) = struct.unpack_from(f"{order}I", data, place + 2 + 12 * count)
    assert following == 0, "no second image, such as a thumbnail"
    return tags


@pytest.fixture
def picture() -> Image.Image:
    """Noise, 88 x 66."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (66, 88), np.uint8))


@pytest.mark.parametrize("make", [jpeg, png, tiff])
def test_the_inputs_hold_the_name(picture: Image.Image, make: object) -> None:
    assert make(picture).count(NAME) >= 4  # type: ignore[operator]


def anonymised(data: bytes) -> bytes:
    """Return the anonymised image of an input without text in its pixels."""
    result = encode(anonymous(decode(data)))
    for encoded in (NAME, TEXT.encode("utf-16-le"), TEXT.encode("utf-16-be"), b"Ashgrove"):
        assert encoded not in result
    return result


def test_a_jpeg_holds_nothing_but_its_pixels(picture: Image.Image) -> None:
    result = anonymised(jpeg(picture))
    assert set(parts_of_jpeg(result)) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}
    with Image.open(io.BytesIO(result)) as image:
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_png_holds_nothing_but_its_pixels(picture: Image.Image) -> None:
    result = anonymised(png(picture))
    assert set(parts_of_png(result)) == {b"IHDR", b"IDAT", b"IEND"}
    with Image.open(io.BytesIO(result)) as image:
        image.load()
        assert image.info == {}
        assert not image.getexif()


def test_a_tiff_holds_nothing_but_its_pixels(picture: Image.Image) -> None:
    result = anonymised(tiff(picture))
    assert set(parts_of_tiff(result)) <= STRIPS
    with Image.open(io.BytesIO(result)) as image:
        assert set(image.tag_v2) <= STRIPS  # type: ignore[attr-defined]


@pytest.mark.parametrize(("make", "form"), [(jpeg, "JPEG"), (png, "PNG"), (tiff, "TIFF")])
def test_the_format_stays(picture: Image.Image, make: object, form: str) -> None:
    assert decode(anonymised(make(picture))).format is Format(form)  # type: ignore[operator]
