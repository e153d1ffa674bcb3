"""Readers that try to read a text where it stood on an image, upright and enlarged.

They are PP-OCR's reader, Tesseract if it is installed, and zxing-cpp and OpenCV's decoders for bar
codes and QR codes. They look at every stretch of the published pixels (:mod:`bench.stretches`), and
they know where the text stood: both are advantages over a person who finds the image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cv2
import numpy as np
from PIL import Image

from bench import stretches
from bench.canvas import Text
from bench.lettering import Pixels

IN_A_ROW = 4
"""Characters in a row that count as read."""
CODES = ("codes", "tall bars")
"""The kinds whose texts are decoded."""
_VIEWS = ((48, 0.25, cv2.INTER_CUBIC), (72, 0.1, cv2.INTER_CUBIC), (64, 0.4, cv2.INTER_LANCZOS4))
"""The enlargements: the height of a line in pixels at least, the margin as a share of that height,
and the interpolation."""


def is_read(image: Image.Image, text: Text, kind: str) -> bool:
    """Return whether a reader that knows where ``text`` stood can read a part of it.

    Args:
        image: the published image, in mode L, RGB or I;16.
        text: the text and its place.
        kind: the kind of the sample; codes are decoded.
    """
    wanted = plain(text.string)
    read = _decoded(image, text) if kind in CODES else _read(image, text)
    return any(has_in_common(wanted, plain(found)) for found in read)


def plain(text: str) -> str:
    """Return the letters and digits of ``text``, in lower case and without accents."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed.lower() if c.isalnum())


def has_in_common(wanted: str, read: str) -> bool:
    """Return whether four characters in a row of ``wanted`` are in ``read``."""
    return any(wanted[n : n + IN_A_ROW] in read for n in range(len(wanted) - IN_A_ROW + 1))


def names() -> list[str]:
    """Return the names and versions of the readers of text and codes."""
    found = ["PP-OCRv6"]
    program = shutil.which("tesseract")
    if program:
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        found.append(printed.stdout.splitlines()[0])
    with suppress(PackageNotFoundError):
        found.append(f"zxing-cpp {version('zxing-cpp')}")
    return found


def _read(image: Image.Image, text: Text) -> Iterator[str]:
    """Yield what the readers of text read at the place of ``text``."""
    from xray.redaction import ocr

    near, place = _crop(image, text, 0.5)
    seen = [plane for plane in stretches.planes(near) if stretches.has_stroke(plane)]
    for height, margin, interpolation in _VIEWS:
        for plane in seen:
            line = _upright(plane, place, height, margin, interpolation)
            for view in stretches.stretches(line):
                yield ocr.recognize(view).text
    for plane in seen:
        line = _upright(plane, place, *_VIEWS[0])
        yield from _tesseract(stretches.full_range(line))
        yield from _tesseract(stretches.local_contrast(line))


def _crop(image: Image.Image, text: Text, margin: float) -> tuple[Image.Image, Pixels]:
    """Return the part of ``image`` around ``text``, and the corners of the text in that part.

    Args:
        image: the whole image.
        text: the text and its place.
        margin: around the text, as a share of its height.
    """
    quad = text.quad.astype(np.float32)
    around = margin * float(np.linalg.norm(quad[3] - quad[0])) + 2
    left, top = np.maximum(np.floor(quad.min(axis=0) - around), 0).astype(int)
    right, bottom = np.ceil(quad.max(axis=0) + around).astype(int)
    box = (int(left), int(top), min(int(right), image.width), min(int(bottom), image.height))
    return image.crop(box), quad - np.array([left, top], np.float32)


def _upright(plane: Pixels, quad: Pixels, least: int, margin: float, interpolation: int) -> Pixels:
    """Return the place of a line upright, of at least ``least`` pixels in height.

    The result has shape (height, width), in float32.
    """
    width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    scale = max(1.0, least / height)
    around = margin * height * scale
    wide, tall = width * scale, height * scale
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32) + around
    matrix = cv2.getPerspectiveTransform(quad, corners.astype(np.float32))
    size = int(wide + 2 * around), int(tall + 2 * around)
    return cv2.warpPerspective(
        plane, matrix, size, flags=interpolation, borderMode=cv2.BORDER_REPLICATE
    )


def _tesseract(line: Pixels) -> Iterator[str]:
    """Yield what Tesseract reads in ``line`` and in its negative; nothing if it isn't installed."""
    program = shutil.which("tesseract")
    if not program:
        return
    for view in (line, 255 - line):
        data = cv2.imencode(".png", view)[1].tobytes()
        done = subprocess.run(
            [program, "-", "-", "--psm", "7"],
            input=data,
            capture_output=True,
            check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
        yield done.stdout.decode(errors="replace")


def _decoded(image: Image.Image, text: Text) -> Iterator[str]:
    """Yield what the decoders read at the place of a bar code or a QR code, and in parts of it."""
    near, _ = _crop(image, text, 0.1)
    for plane in stretches.planes(near):
        if not stretches.has_stroke(plane):
            continue
        for view in stretches.stretches(plane):
            for times in (1, 2, 0.5):
                scaled = cv2.resize(view, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
                yield from _decode(scaled)
            for part in _parts(view):
                yield from _zxing(part)


def _parts(view: Pixels) -> Iterator[Pixels]:
    """Yield thirds of ``view`` across and along: of a bar code, a strip of the bars is enough."""
    yield from np.array_split(view, 3, axis=0)
    yield from np.array_split(view, 3, axis=1)


def _decode(view: Pixels) -> Iterator[str]:
    yield from _zxing(view)
    try:
        yield cv2.QRCodeDetector().detectAndDecode(view)[0]
        yield cv2.barcode.BarcodeDetector().detectAndDecode(view)[0]
    except cv2.error:  # OpenCV's decoders fail on some pictures that hold no code.
        return


def _zxing(view: Pixels) -> Iterator[str]:
    """Yield what zxing-cpp decodes; nothing if it isn't installed."""
    zxing: Any
    try:
        import zxingcpp as zxing
    except ImportError:
        return
    for found in zxing.read_barcodes(np.ascontiguousarray(view)):
        yield found.text
