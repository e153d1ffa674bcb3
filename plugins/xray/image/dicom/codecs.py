"""JPEG Lossless and other JPEGs, decoded by GDCM in a process of its own.

GDCM is the only free decoder of JPEG Lossless, the most common compression of
radiographs. It also decodes JPEG-LS, JPEG Extended with 12 bits, and what Pillow
refuses of JPEG 2000. A damaged image can make it abort the process that it runs in, so
it never runs in a task's own process: ``gdcm_process.py`` is the program that
calls it.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xray.image.damage import damaged

PROGRAM = Path(__file__).with_name("gdcm_process.py")
"""The program that decodes; it must not import this package."""
_TIMEOUT = 300
"""Seconds; the largest image takes about ten."""
_MAX_REASON = 500
"""Characters of the program's own report that are logged."""

_logger = logging.getLogger(__name__)


def decode(content: bytes, syntax: str, **options: Any) -> tuple[npt.NDArray[Any], str]:
    """Decode the first frame of ``content``.

    Args:
        content: the encapsulated pixel data.
        syntax: the UID of the transfer syntax.
        options: arguments of pydicom's ``Decoder.as_array``.

    Returns:
        The stored values, of shape (rows, columns) or (rows, columns, 3), and their Photometric
        Interpretation.

    Raises:
        ImageError: GDCM cannot decode the frame. The reason is logged.
    """
    if not all(isinstance(value, int | float | str | None) for value in options.values()):
        raise damaged("an element that describes the pixels has several values")
    try:
        # -P: the program's imports must not find the modules beside it.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-P", str(PROGRAM)],
            input=json.dumps([syntax, options]).encode() + b"\n" + content,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _logger.warning("The decoder process did not end within %d s.", _TIMEOUT)
        raise damaged("its decoder did not end") from None
    if done.returncode != 0:
        _logger.warning(
            "The decoder process failed with %s: %s",
            _ending(done.returncode),
            done.stderr.decode(errors="replace").strip()[-_MAX_REASON:] or "no report",
        )
        raise damaged("its decoder failed")
    photometric, values = done.stdout.split(b"\n", 1)
    return np.load(io.BytesIO(values), allow_pickle=False), photometric.decode()


def _ending(returncode: int) -> str:
    """Return the name of a process's exit code, or of the signal that ended the process."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
