"""Thirty kinds of file that are no X-ray, and the message with which each is refused."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid

from tests.support.dicom_files import compressed, dataset, dicom, embedded, file_bytes

NOT_AN_IMAGE = "neither JPEG, PNG, TIFF nor DICOM"
DAMAGED = "truncated or damaged"


def write(directory: Path, good: Sequence[Path]) -> dict[str, str]:
    """Fill ``directory`` with all bad files and with copies of the ``good`` files.

    Returns:
        A part of the message with which each bad file must be refused, by file name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in good:
        shutil.copy(path, directory)
    messages = {}
    for name, (content, message) in all_bad_files().items():
        (directory / name).write_bytes(content)
        messages[name] = message
    return messages


def all_bad_files() -> dict[str, tuple[bytes, str]]:
    """Return the content of each bad file and a part of its message, by file name."""
    return {**_not_images(), **_damaged(), **_wrong_size(), **_dicom()}


def _picture(size: tuple[int, int] = (320, 240)) -> Image.Image:
    rng = np.random.default_rng(5)
    return Image.fromarray(rng.integers(0, 256, size[::-1], np.uint8).astype(np.uint8))


def _saved(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image or _picture()).save(stream, form, **options)
    return stream.getvalue()


def _not_images() -> dict[str, tuple[bytes, str]]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("chest.jpeg", _saved("JPEG"))
    return {
        "empty.jpeg": (b"", "is empty"),
        "text.jpeg": (b"A letter, and not a picture.\n", NOT_AN_IMAGE),
        "page.jpeg": (b"<!DOCTYPE html><title>Login</title>", NOT_AN_IMAGE),
        "archive.png": (archive.getvalue(), NOT_AN_IMAGE),
        "report.pdf": (_saved("PDF"), NOT_AN_IMAGE),
        "picture.gif": (_saved("GIF"), NOT_AN_IMAGE),
        "picture.webp": (_saved("WEBP"), NOT_AN_IMAGE),
        "noise.jpeg": (np.random.default_rng(1).bytes(4096), NOT_AN_IMAGE),
        "zeros.dcm": (bytes(4096), NOT_AN_IMAGE),
    }


def _damaged() -> dict[str, tuple[bytes, str]]:
    jpeg, png, tiff = _saved("JPEG"), _saved("PNG"), _saved("TIFF")
    middle = len(png) // 2
    nan = Image.fromarray(np.full((64, 80), np.nan, np.float32))
    return {
        "half.jpeg": (jpeg[: len(jpeg) // 2], DAMAGED),
        "header only.jpeg": (jpeg[:400], DAMAGED),
        "first bytes.jpeg": (jpeg[:3], "The JPEG image is damaged"),
        "half.png": (png[:middle], DAMAGED),
        "flipped.png": (png[:middle] + bytes([png[middle] ^ 255]) + png[middle + 1 :], DAMAGED),
        "half.tiff": (tiff[: len(tiff) // 3], DAMAGED),
        "nan.tiff": (_saved("TIFF", nan), "not numbers"),
    }


def _png_bomb(side: int) -> bytes:
    """Return a small PNG whose header says side x side pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1024 * 1024))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


def _wrong_size() -> dict[str, tuple[bytes, str]]:
    page = _picture((80, 64))
    pages = {"save_all": True, "append_images": [page] * 99}
    return {
        "strip.png": (_saved("PNG", _picture((3, 4000))), "3 x 4000 pixels; the shorter side must"),
        "bomb.png": (_png_bomb(30_000), "more pixels than the limit max_pixels"),
        "great bomb.png": (_png_bomb(2**31 - 1), "more pixels than the limit max_pixels"),
        "hundred pages.tiff": (_saved("TIFF", page, **pages), "100 frames; the limit max_frames"),
        "animated.png": (
            _saved("PNG", page, save_all=True, append_images=[page.rotate(90), page.rotate(180)]),
            "3 frames; the limit max_frames",
        ),
    }


def _dicom() -> dict[str, tuple[bytes, str]]:
    pixels = np.asarray(_picture())
    whole = dicom(pixels)
    without = dataset(pixels)
    del without.PixelData
    frames = dataset(pixels, NumberOfFrames=100)
    frames.PixelData = pixels.tobytes() * 100
    bomb = compressed(np.zeros((12000, 12000), np.uint8), "JPEG")
    return {
        "half.dcm": (whole[: len(whole) // 2], DAMAGED),
        "corrupt.dcm": (whole[:200] + b"\xff" * 600 + whole[800:], "no transfer syntax"),
        "no pixels.dcm": (file_bytes(without), "pixel"),
        "tomogram.dcm": (dicom(pixels, SOPClassUID=uid.CTImageStorage), "CT Image Storage"),
        "raw.dcm": (
            dicom(pixels, SOPClassUID=uid.DigitalXRayImageStorageForProcessing),
            "for processing",
        ),
        "hundred frames.dcm": (file_bytes(frames), "100 frames; the limit max_frames"),
        "deflated.dcm": (
            file_bytes(dataset(pixels), uid.DeflatedExplicitVRLittleEndian),
            "eflated",
        ),
        "video.dcm": (embedded(pixels, b"\0" * 64, uid.MPEG4HP41), "MPEG-4"),
        "bomb inside.dcm": (embedded(pixels, bomb, uid.JPEGBaseline8Bit), "says 12000 x 12000"),
    }
