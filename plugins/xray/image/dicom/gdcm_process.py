"""The program that decodes one frame with GDCM, for ``codecs.py``.

It reads a line of JSON, ``[transfer syntax, options]``, and the encapsulated
pixel data from stdin. To stdout it writes the Photometric Interpretation, a
newline and the values in NumPy's format.

If the decoder fails, the exit code is 1 and stderr holds one line with the
types and places of the errors. An error's message may quote the file, so it is
never written; nor is anything that GDCM itself prints.

This file runs as a program of its own and imports nothing of the package.
"""

from __future__ import annotations

import io
import json
import logging
import os
import resource
import sys
from pathlib import Path

import numpy as np
from pydicom.pixels.decoders.base import get_decoder


class _ErrorRecorder(logging.Handler):
    """Keep the errors that pydicom logs: what it raises does not name the plugin's error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's exception."""
        if record.exc_info and record.exc_info[1]:
            self.errors.append(record.exc_info[1])


def main() -> int:
    """Decode stdin to stdout, and return the exit code."""
    # A core dump would hold the image.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    report = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    recorder = _ErrorRecorder()
    pydicom_logger = logging.getLogger("pydicom")
    pydicom_logger.addHandler(recorder)
    pydicom_logger.propagate = False
    try:
        _decode()
    except Exception as error:
        report.write("; ".join(_place(each) for each in (*recorder.errors, error)))
        report.close()
        return 1
    return 0


def _decode() -> None:
    syntax, options = json.loads(sys.stdin.buffer.readline())
    values, properties = get_decoder(syntax).as_array(
        sys.stdin.buffer.read(), index=0, decoding_plugin="gdcm", **options
    )
    # np.save can fail on a pipe, which has no file position.
    stream = io.BytesIO()
    np.save(stream, values)
    sys.stdout.buffer.write(f"{properties['photometric_interpretation']}\n".encode())
    sys.stdout.buffer.write(stream.getbuffer())


def _place(error: BaseException) -> str:
    """Return the type of ``error`` and the line that raised it, without the message."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return (
        f"{type(error).__name__} in {Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}"
    )


if __name__ == "__main__":
    sys.exit(main())
