"""JPEG Lossless and JPEG-LS, decoded in a process of their own.

GDCM is the one free decoder of the commonest compression of radiographs, and a
damaged image can make it end the process it runs in. So that is never a task's:
this file is also the program that does it, which needs none of the others, and
what it prints is thrown away.
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

_PATIENCE = 300
"""Seconds; the largest image takes about ten."""


def decode(content: bytes, syntax: str, **options: Any) -> tuple[npt.NDArray[Any], str]:
    """The first frame of ``content``, encapsulated as in DICOM, and its photometric interpretation.

    Args:
        content: the pixel data.
        syntax: the transfer syntax's uid.
        options: of pydicom's ``Decoder.as_array``.

    Raises:
        ValueError: GDCM cannot decode it.
    """
    # -P: the modules beside this file are not the ones that its imports mean.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-P", __file__],
        input=json.dumps([syntax, options]).encode() + b"\n" + content,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError
    kind, pixels = done.stdout.split(b"\n", 1)
    return np.load(io.BytesIO(pixels), allow_pickle=False), kind.decode()


def main() -> None:
    """Decode what stdin holds to stdout."""
    from pydicom.pixels.decoders.base import get_decoder

    # What is left of a process that was aborted would show a patient.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    syntax, options = json.loads(sys.stdin.buffer.readline())
    pixels, found = get_decoder(syntax).as_array(
        sys.stdin.buffer.read(), index=0, decoding_plugin="gdcm", **options
    )
    sys.stdout.buffer.write(f"{found['photometric_interpretation']}\n".encode())
    np.save(sys.stdout.buffer, pixels)


if __name__ == "__main__":
    main()
