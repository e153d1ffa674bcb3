"""Make the demo's images: ``python -m include.demo.make_images DATA_DIR``.

The images are synthetic: for each class, the mean of the training images plus random amounts of
their principal components. Invented patient data are printed on them and are part of their file
names, as in the original demo.

DATA_DIR has the folders NORMAL/ and PNEUMONIA/. Candidates are drawn from a fixed seed until enough
of them have risks away from the thresholds; ``expected.json`` has the label of each.
"""

from __future__ import annotations

import datetime
import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from xray.image import decode
from xray.risk import RiskModel
from xray.settings import Label, Settings

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images"
SEED = 2026
SIDE = 224
"""Side of the images that the components are computed from, in pixels."""
COMPONENTS = 300
SPREAD = 0.85
"""Spread of the components' amounts, as a share of their standard deviations. Below 1, the chests
are typical."""
QUALITY = 80
"""Quality of the JPEGs: all sixteen together must stay small."""
WANTED = {
    "NORMAL": [(Label.NORMAL, 8, 0.0, 0.35)],
    "PNEUMONIA": [(Label.PNEUMONIA, 7, 0.90, 1.0), (Label.UNSURE, 1, 0.66, 0.74)],
}
"""The label, the number of images and the range of their risks, for each class."""
FIRST = [
    "Ada",
    "Bruno",
    "Clara",
    "Dario",
    "Edda",
    "Falk",
    "Greta",
    "Hanno",
    "Ilse",
    "Jonas",
    "Kira",
    "Lenz",
    "Mona",
    "Nils",
    "Orla",
    "Pavel",
]
LAST = [
    "Ashgrove",
    "Birkwood",
    "Coldwell",
    "Dunmere",
    "Elmstead",
    "Fairholt",
    "Glenbrook",
    "Hartwick",
    "Inglemoor",
    "Juniper",
    "Kestrel",
    "Larkfield",
    "Millrace",
    "Northlake",
    "Oakhurst",
    "Pinecrest",
]


class Chests:
    """A generator of chest X-rays of one class."""

    def __init__(self, files: list[Path]) -> None:
        rows = np.stack(
            [
                np.asarray(
                    decode(file.read_bytes()).pixels.convert("L").resize((SIDE, SIDE)), np.float32
                ).ravel()
                for file in files
            ]
        )
        self._mean = rows.mean(axis=0)
        rows -= self._mean
        _, sizes, self._axes = _top_components(rows)
        self._deviations = sizes / np.sqrt(len(rows))

    def draw(self, rng: np.random.Generator) -> Image.Image:
        """Return a random chest, mode L, :data:`SIDE` x :data:`SIDE`."""
        amounts = rng.normal(0, SPREAD, len(self._deviations)) * self._deviations
        pixels = (self._mean + amounts @ self._axes).reshape(SIDE, SIDE)
        return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))


def _top_components(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the largest components, by a randomised decomposition (Halko et al., 2011)."""
    rng = np.random.default_rng(SEED)
    sketch = rows @ rng.normal(size=(rows.shape[1], COMPONENTS + 20)).astype(np.float32)
    basis, _ = np.linalg.qr(rows @ (rows.T @ sketch))
    left, sizes, axes = np.linalg.svd(basis.T @ rows, full_matrices=False)
    return left, sizes[:COMPONENTS], axes[:COMPONENTS]


def people() -> Iterator[tuple[str, str, str, str]]:
    """Yield different invented patients: name, id, date of birth, date of the X-ray."""
    chance = random.Random(SEED)  # noqa: S311 - not for secrets
    first, last = FIRST[:], LAST[:]
    chance.shuffle(first)
    chance.shuffle(last)
    numbers = chance.sample(range(1000, 10000), len(first))
    day = datetime.timedelta(days=1)
    for name, surname, number in zip(first, last, numbers, strict=True):
        born = datetime.date(1940, 1, 1) + chance.randrange(8000) * day
        taken = datetime.date(2015, 1, 1) + chance.randrange(1400) * day
        yield f"{name} {surname}", str(number), str(born), str(taken)


def print_patient(
    chest: Image.Image, person: tuple[str, str, str, str], chance: random.Random
) -> bytes:
    """Enlarge a chest to a plausible size, print the patient data at the bottom left: a JPEG."""
    width = chance.randrange(880, 1240, 8)
    height = round(width * chance.uniform(0.74, 0.92))
    image = chest.resize((width, height), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.UnsharpMask(6, 60, 0))
    draw = ImageDraw.Draw(image)
    name, number, born, taken = person
    lines = (f"name:{name}", f"id:{number}", f"d.o.b.:{born}", f"d.o.xray:{taken}")
    font = ImageFont.load_default(19)
    for index, line in enumerate(lines):
        draw.text((4, height - 94 + 23 * index), line, fill=235, font=font)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return stream.getvalue()


def main(directory: Path) -> None:
    """Write the images and their labels."""
    model, settings = RiskModel.load(), Settings()
    rng, chance = np.random.default_rng(SEED), random.Random(SEED)  # noqa: S311
    crowd = people()
    expected: dict[str, dict[str, str]] = {}
    for name, wanted in WANTED.items():
        chests = Chests(sorted((directory / name).glob("*.jpeg")))
        for label, count, low, high in wanted:
            for _ in range(count):
                person = next(crowd)
                while True:
                    data = print_patient(chests.draw(rng), person, chance)
                    prediction = model.predict(decode(data).pixels)
                    risk = prediction.risk
                    fits = low <= risk <= high and settings.label(risk) is label
                    if fits and not prediction.refused:
                        break
                file = IMAGES / name / f"demo_{'_'.join(person)}.jpeg"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                expected[f"{name}/{file.name}"] = {"label": label.value}
                print(f"{name} {label:9} {risk:.3f} {len(data):7}")
    (IMAGES / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
