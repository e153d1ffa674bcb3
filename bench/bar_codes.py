"""Bar codes of EAN-13, and QR codes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_LEFT = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011"
"""The bars of the digits 0 to 9 in the left half."""
_PARITY = "LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL"
"""How the first digit is encoded in the next six."""


def qr_code(text: str, module: int) -> npt.NDArray[Any]:
    """Return the QR code of ``text``, 1 for black; a module has that many pixels of a side."""
    code = cv2.QRCodeEncoder.create().encode(text)
    return np.kron(code < 128, np.ones((module, module))).astype(np.float32)


def bar_code(digits: str, height: int, module: int) -> npt.NDArray[Any]:
    """Return the EAN-13 of 12 ``digits``, 1 for black.

    Args:
        digits: the number without its check digit.
        height: of the bars, in pixels.
        module: width of the thinnest bar, in pixels.
    """
    row = np.array([bar == "1" for bar in ean_bars(digits)], np.float32)
    return np.kron(row, np.ones((height, module))).astype(np.float32)


def ean_bars(digits: str) -> str:
    """Return the bars of EAN-13 for 12 ``digits``, 1 for black; the check digit is added."""
    total = sum(int(d) * (3 if n % 2 else 1) for n, d in enumerate(digits))
    digits += str(-total % 10)
    left = _LEFT.split()
    bars = "101"
    for digit, parity in zip(digits[1:7], _PARITY.split()[int(digits[0])], strict=True):
        code = left[int(digit)]
        bars += _inverted(code)[::-1] if parity == "G" else code
    bars += "01010"
    for digit in digits[7:]:
        bars += _inverted(left[int(digit)])
    return bars + "101"


def _inverted(bars: str) -> str:
    return "".join("10"[int(bar)] for bar in bars)
