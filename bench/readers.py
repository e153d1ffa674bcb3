"""Readers that try to read a text where it stood on an image, upright and enlarged.

They are PP-OCR's reader, Tesseract if it is installed, and OpenCV's decoders for bar codes and QR
codes. They know where the text stood, which is an advantage over a person who finds the image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from bench.canvas import Text

IN_A_ROW = 4
"""Characters in a row that count as read."""
FAINTEST = 6
"""Grey levels of a stroke from which on a reader is asked. The faintest text of the corpus has more
than twice as many."""


def is_read(image: Image.Image, text: Text, kind: str) -> bool:
    """Return whether a reader that knows where ``text`` stood can read a part of it.

    Args:
        image: in mode L.
        text: the text and its place.
        kind: the kind of the sample; codes are decoded.
    """
    if kind == "codes":
        return _is_decoded(image, text)
    from xray.redaction import ocr

    wanted = plain(text.string)
    line = _line(image, text)
    if _is_blank(line):
        return False
    line = cv2.normalize(line, None, 0, 255, cv2.NORM_MINMAX)
    if has_in_common(wanted, plain(ocr.recognize([line])[0].text)):
        return True
    even = cv2.createCLAHE(4, (4, 4)).apply(line)
    if has_in_common(wanted, plain(ocr.recognize([even])[0].text)):
        return True
    return any(has_in_common(wanted, plain(read)) for read in _tesseract(line))


def plain(text: str) -> str:
    """Return the letters and digits of ``text``, in lower case and without accents."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed.lower() if c.isalnum())


def has_in_common(wanted: str, read: str) -> bool:
    """Return whether four characters in a row of ``wanted`` are in ``read``."""
    return any(wanted[n : n + IN_A_ROW] in read for n in range(len(wanted) - IN_A_ROW + 1))


def names() -> list[str]:
    """Return the names and versions of the readers of text."""
    program = shutil.which("tesseract")
    if not program:
        return ["PP-OCRv6"]
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return ["PP-OCRv6", printed.stdout.splitlines()[0]]


def _line(image: Image.Image, text: Text) -> Any:
    """Return the place of ``text``, upright and with a margin; at least 40 pixels are its height.

    The result has shape (height, width).
    """
    quad = text.quad.astype(np.float32)
    width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    scale = max(1.0, 40 / height)
    margin = 0.25 * height * scale
    wide, tall = width * scale, height * scale
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32) + margin
    matrix = cv2.getPerspectiveTransform(quad, corners.astype(np.float32))
    size = int(wide + 2 * margin), int(tall + 2 * margin)
    return cv2.warpPerspective(
        np.asarray(image), matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def _is_blank(line: Any) -> bool:
    """Return whether there is no stroke in ``line``, however faint."""
    box = np.ones((15, 15), np.uint8)
    light = cv2.morphologyEx(line, cv2.MORPH_TOPHAT, box)
    dark = cv2.morphologyEx(line, cv2.MORPH_BLACKHAT, box)
    return bool(max(light.max(), dark.max()) < FAINTEST)


def _tesseract(line: Any) -> Iterator[str]:
    """Yield what Tesseract reads in ``line`` and in its negative; nothing if it isn't installed."""
    program = shutil.which("tesseract")
    if not program:
        return
    for version in (line, 255 - line):
        data = cv2.imencode(".png", version)[1].tobytes()
        done = subprocess.run(
            [program, "-", "-", "--psm", "7"],
            input=data,
            capture_output=True,
            check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
        yield done.stdout.decode(errors="replace")


def _is_decoded(image: Image.Image, text: Text) -> bool:
    """Return whether a bar code or a QR code can still be decoded."""
    left, top = np.maximum(text.quad.min(axis=0).astype(int) - 20, 0)
    right, bottom = text.quad.max(axis=0).astype(int) + 20
    part = np.asarray(image)[top:bottom, left:right]
    part = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    decoded = cv2.QRCodeDetector().detectAndDecode(part)[0]
    decoded += cv2.barcode.BarcodeDetector().detectAndDecode(part)[0]
    return has_in_common(plain(text.string), plain(decoded))
