"""The training images: a folder with NORMAL/ and PNEUMONIA/, split by patient."""

from __future__ import annotations

import re
import tomllib
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xray.image import decode
from xray.risk import preprocess

CLASSES = ("NORMAL", "PNEUMONIA")
CONFIG = tomllib.loads(Path(__file__).with_name("config.toml").read_text())
"""The default configuration of the training."""
HELD_OUT = float(CONFIG["held_out"])
"""Share of the patients that training holds out."""
_PATIENT = re.compile(r"(person\d+|(?:NORMAL2-)?IM-\d+)")


class Example(NamedTuple):
    """One image file, its class (0 or 1) and its patient."""

    path: Path
    target: int
    patient: str


def examples(directory: Path) -> list[Example]:
    """Return the images of ``directory``, in a fixed order.

    Raises:
        SystemExit: a folder is missing or empty; the message names it.
    """
    found = []
    for target, name in enumerate(CLASSES):
        files = sorted(path for path in (directory / name).glob("*") if path.is_file())
        if not files:
            raise SystemExit(
                f"{directory / name} has no images: give a folder with NORMAL/ and PNEUMONIA/."
            )
        found += [Example(path, target, patient_of(path.name)) for path in files]
    return found


def patient_of(name: str) -> str:
    """Return the patient in a file name (person12, IM-0115, NORMAL2-IM-0373), or the whole name."""
    match = _PATIENT.match(name)
    return match[1] if match else name


def held_out(patient: str, *, share: float) -> bool:
    """Return whether a patient is held out, which depends on the checksum of the name only."""
    return zlib.crc32(patient.encode()) / 2**32 < share


def held_out_examples(directory: Path) -> list[Example]:
    """Return the images of the patients that the shipped model was not fitted to."""
    return [e for e in examples(directory) if held_out(e.patient, share=HELD_OUT)]


def folds(patients: list[str], count: int) -> np.ndarray:
    """Return the index of the fold of each image, 0 to ``count`` - 1, shape (n,).

    Patients of one series of names (IM-0373 and NORMAL2-IM-0373 are of different series) are split
    by their numbers. Neighbouring numbers were examined at about the same time and are in one fold.
    This makes the cross-validation harder than random folds do: the images of a fold come from a
    time of which its network has seen nothing.
    """
    series: dict[str, list[str]] = {}
    for patient in sorted(set(patients), key=_number):
        series.setdefault(patient.rstrip("0123456789"), []).append(patient)
    fold = {
        patient: place * count // len(members)
        for members in series.values()
        for place, patient in enumerate(members)
    }
    return np.array([fold[patient] for patient in patients])


def blind(fold: np.ndarray, members: int, count: int) -> np.ndarray:
    """Return the member that does not learn from each image, or -1 if all do; shape (n,).

    Of ``count`` folds, each of the ``members`` misses one: the last of its ``count / members``.
    """
    each = count // members
    return np.where(fold % each == each - 1, fold // each, -1)


def _number(patient: str) -> tuple[int, str]:
    digits = re.search(r"\d+$", patient)
    return (int(digits[0]) if digits else 0, patient)


def load_images(chosen: list[Example], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, size, size, 1) as uint8, and the classes (n,) as float32."""
    images = np.empty((len(chosen), size, size, 1), np.uint8)
    for index, example in enumerate(chosen):
        picture = decode(example.path.read_bytes())
        images[index] = np.rint(preprocess(picture.pixels, size))[0]
    return images, np.array([example.target for example in chosen], np.float32)
