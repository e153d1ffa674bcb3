"""Bar codes of EAN-13 and Code 128, and QR codes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_LEFT = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011"
"""The bars of the digits 0 to 9 in the left half."""
_PARITY = "LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL"
"""How the first digit is encoded in the next six."""

_CODE_128 = (
    "212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 "
    "122132 122231 113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 "
    "321221 312212 322112 322211 212123 212321 232121 111323 131123 131321 112313 132113 132311 "
    "211313 231113 231311 112133 112331 132131 113123 113321 133121 313121 211331 231131 213113 "
    "213311 213131 311123 311321 331121 312113 312311 332111 314111 221411 431111 111224 111422 "
    "121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 "
    "241112 134111 111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 214121 "
    "412121 111143 111341 131141 114113 114311 411113 411311 113141 114131 311141 411131 211412 "
    "211214 211232 2331112"
)
"""The widths of each symbol's bars and gaps in modules, by its value."""
_START_B, _STOP = 104, 106


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
    return _drawn(ean_bars(digits), height, module)


def code_128(text: str, height: int, module: int) -> npt.NDArray[Any]:
    """Return the Code 128 of ``text`` in ASCII, 1 for black.

    Args:
        text: letters, digits and signs of code set B.
        height: of the bars, in pixels.
        module: width of the thinnest bar, in pixels.
    """
    values = [_START_B, *(ord(character) - 32 for character in text)]
    check = sum(value * max(1, place) for place, value in enumerate(values)) % 103
    symbols = _CODE_128.split()
    bars = ""
    for value in (*values, check, _STOP):
        for place, width in enumerate(symbols[value]):
            bars += "01"[place % 2 == 0] * int(width)
    return _drawn(bars, height, module)


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


def _drawn(bars: str, height: int, module: int) -> npt.NDArray[Any]:
    row = np.array([bar == "1" for bar in bars], np.float32)
    return np.kron(row, np.ones((height, module))).astype(np.float32)


def _inverted(bars: str) -> str:
    return "".join("10"[int(bar)] for bar in bars)
