"""Rendering an image that a browser cannot show, such as DICOM, in a process of its own.

The API server itself decodes no image. The process has limits of time and memory, and gets no
secret: its environment holds nothing but the path of the packages. At most :data:`AT_ONCE` of them
run at a time.

As a program, this module reads the image from stdin and writes the picture to stdout. If the image
cannot be rendered, the exit code is 1 and stdout has the reason.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

from xray.case.pictures import View, rendered
from xray.errors import ImageError, TransientError
from xray.settings import Settings

AT_ONCE = 2
"""Processes at a time."""
SECONDS = 60
"""How long a process may take, and how long a request waits for its turn."""
MEMORY = 4 * 2**30
"""The address space of a process, in bytes."""
_REFUSED = 1
_turns = threading.BoundedSemaphore(AT_ONCE)


def render(data: bytes, view: View, settings: Settings) -> bytes:
    """Return a view of an image.

    Args:
        data: the bytes of the image.
        view: the view.
        settings: have the limits of an image.

    Raises:
        ImageError: the image cannot be rendered. The message names no patient.
        TransientError: too many images are being rendered, or this one takes too long.
    """
    if not _turns.acquire(timeout=SECONDS):
        raise TransientError("Too many images are being rendered: try again.")
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", __name__, view.value, json.dumps(settings.to_mapping())],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
            env={
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PATH": os.environ.get("PATH", ""),
                "OMP_NUM_THREADS": "1",
            },
        )
    except subprocess.TimeoutExpired:
        raise TransientError(f"The image was not rendered within {SECONDS} seconds.") from None
    finally:
        _turns.release()
    if done.returncode == _REFUSED and done.stdout:
        raise ImageError(done.stdout.decode("utf-8", "replace"))
    if done.returncode:
        raise ImageError("The image cannot be rendered: it may be damaged, or too large.")
    return done.stdout


def main() -> int:
    """Render stdin to stdout, and return the exit code."""
    # A core dump would hold the image.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    from xray.image import Limits, decode

    view, settings = View(sys.argv[1]), Settings.from_mapping(json.loads(sys.argv[2]))
    try:
        limits = Limits.from_settings(settings)
        picture = rendered(decode(sys.stdin.buffer.read(), limits=limits), view)
    except ImageError as error:
        sys.stdout.write(str(error))
        return _REFUSED
    sys.stdout.buffer.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
