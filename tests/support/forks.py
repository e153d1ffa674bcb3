"""Fork processes from one that has loaded all models, and compare what they make of an image.

``python -m tests.support.forks COUNT`` forks so many processes, four at once, which is more than
most machines for tests have cores. It prints how many had the same result as the first one. A
process that hangs is ended by an alarm.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys

import numpy as np
from PIL import Image, ImageDraw

import xray.airflow.preload  # noqa: F401 - loads the models
from xray.redaction import ocr, tesseract
from xray.risk import shared_model

AT_ONCE = 4
SECONDS = 120
"""How long a process may take."""


def image() -> Image.Image:
    """Return a small picture with a name on it."""
    noise = np.random.default_rng(1).normal(60, 4, (160, 480)).clip(0, 255)
    picture = Image.fromarray(noise.astype(np.uint8))
    ImageDraw.Draw(picture).text((40, 60), "MUSTER ANNA", fill=230, font_size=40)
    return picture


def result() -> bytes:
    """Return a digest of the risk of the picture, and of what each engine makes of the name."""
    picture = image()
    grey = np.asarray(picture)
    likelihood = ocr.likelihood(grey)
    assert likelihood.max() > 0.5, "the name was not found"
    text, confidence = ocr.recognize(grey[50:110])
    lines = tesseract.find_lines(grey, 1.0)
    risk = shared_model().score(picture)
    found = f"{text} {confidence:.6f} {lines} {risk:.6f}".encode()
    return hashlib.sha256(likelihood.tobytes() + found).digest()


def fork() -> tuple[int, int]:
    """Start a process; return its id and the pipe that it writes its result to."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        signal.alarm(SECONDS)
        os.write(writing, result())
        os._exit(0)
    os.close(writing)
    return pid, reading


def main(count: int) -> None:
    """Fork the processes, and print how many were right."""
    results, running = [], dict[int, int]()
    for number in range(count + AT_ONCE):
        if number < count:
            running.update([fork()])
        if len(running) >= AT_ONCE or number >= count:
            if not running:
                break
            pid, _ = os.wait()
            pipe = running.pop(pid)
            results.append(os.read(pipe, 64))
            os.close(pipe)
    print(sum(one == results[0] and len(one) == 32 for one in results), "of", count)


if __name__ == "__main__":
    main(int(sys.argv[1]))
