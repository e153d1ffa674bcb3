"""The shipped model beyond its accuracy: its gate, its robustness and its cost.

With ``--data DIR`` (``make bench PART=model DATA=DIR``; DIR has NORMAL/ and PNEUMONIA/), the images
are those of the patients that training held out. Otherwise they are the demo's synthetic images,
which are less informative. ``--full-size DIR`` adds a folder of images in their original size.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import odd_images
from include.demo.stack import ROOT
from include.model.data import held_out_examples
from xray.image import decode
from xray.risk import Prediction, RiskModel, preprocess
from xray.settings import Label, Settings

MODEL = ROOT / "include" / "model"

DEMO = ROOT / "include" / "demo" / "images"
MAX_IMAGES = 200
"""The most images whose robustness is measured."""
TIMED = 200
"""The images that are timed, in :data:`ROUNDS` rounds."""
ROUNDS = 5
Change = Callable[[Image.Image], Image.Image]


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--data", type=Path, help="a folder with NORMAL/ and PNEUMONIA/")
    parser.add_argument("--full-size", type=Path, help="a folder of large images")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, and return the figures."""
    model = RiskModel.load()
    paths = _paths(options.data)
    images = [decode(path.read_bytes()).eight_bit() for path in paths]
    console.print(f"{len(images)} images, model {model.version}")
    return {
        "model": model.version,
        "images": "synthetic" if options.data is None else "patients held out",
        "bytes": {name: (MODEL / name).stat().st_size for name in ("xray.keras", "xray.tflite")},
        "milliseconds": _milliseconds(model, images),
        "gate": _gate(model, images),
        "robustness": _robustness(model, images, options.full_size),
    }


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    found = Table(title=f"{result['model']}, on {result['images']}")
    for heading in ("", "images", "refused", "mean |Δrisk|", "max", "labels changed", "N ↔ P"):
        found.add_column(heading, justify="left" if not heading else "right")
    for name, row in result["gate"].items():
        found.add_row(name, str(row["images"]), f"{row['refused']:.1%}")
    found.add_section()
    for name, row in result["robustness"].items():
        moved = f"{row['mean']:.4f}", f"{row['max']:.4f}"
        changed = f"{row['labels_changed']} ({row['labels_changed'] / row['images']:.1%})"
        swapped = str(row["swapped"])
        found.add_row(name, str(row["images"]), f"{row['refused']:.1%}", *moved, changed, swapped)
    cost, size = result["milliseconds"], sum(result["bytes"].values())
    found.caption = (
        f"{cost['network']:.1f} ms of one core an image at the model's size, "
        f"{cost['whole']:.1f} ms with resizing; both files {size} bytes; "
        "N ↔ P: labels that change between Normal and Pneumonia"
    )
    return found


def changes() -> dict[str, Change]:
    """Return changes that may happen to an image and should not change its risk."""
    found: dict[str, Change] = {"burned-in text": _written, "mirrored": ImageOps.mirror}
    for name in ("BICUBIC", "BILINEAR", "BOX"):
        found[f"resized before, {name.lower()}"] = _resized(Image.Resampling[name])
    found["enlarged fivefold"] = lambda image: image.resize(
        (image.width * 5, image.height * 5), Image.Resampling.BICUBIC
    )
    for quality in (30, 50, 75, 95):
        found[f"JPEG quality {quality}"] = _compressed(quality)
    for degrees in (-10, -5, 5, 10):
        found[f"turned {degrees:+d}°"] = _turned(degrees)
    for share in (0.8, 1.2):
        found[f"brightness {share - 1:+.0%}"] = _enhanced(ImageEnhance.Brightness, share)
        found[f"contrast {share - 1:+.0%}"] = _enhanced(ImageEnhance.Contrast, share)
    found["cropped by 10 %"] = _cropped(0.1, 0.1)
    found["a fifth of the width cut off"] = _cropped(0.2, 0)
    found["a fifth of the height cut off"] = _cropped(0, 0.2)
    return found


def _paths(directory: Path | None) -> list[Path]:
    if directory is None:
        return sorted(DEMO.rglob("*.jpeg"))
    return [e.path for e in held_out_examples(directory)]


def _milliseconds(model: RiskModel, images: list[Image.Image]) -> dict[str, float]:
    """Return the processor milliseconds of the network, and of resizing and network together.

    Of several rounds, the fastest counts: on a busy machine, the others measure the machine.
    """
    chosen = [images[k % len(images)] for k in range(TIMED)]
    ready = [
        Image.fromarray(preprocess(i, model.size)[0, :, :, 0].astype(np.uint8)) for i in chosen
    ]
    found = {}
    for name, given in (("network", ready), ("whole", chosen)):
        rounds = [_seconds(model, given[start::ROUNDS]) for start in range(ROUNDS)]
        found[name] = round(min(rounds) * 1000, 2)
    return found


def _seconds(model: RiskModel, images: list[Image.Image]) -> float:
    """Return the processor seconds of one image, on average."""
    began = time.process_time()
    for image in images:
        model.predict(image)
    return (time.process_time() - began) / len(images)


def _gate(model: RiskModel, images: list[Image.Image]) -> dict[str, dict[str, Any]]:
    """Return the refusals of each kind of image."""
    kinds = {
        "chest X-rays": images,
        "turned left": [image.transpose(Image.Transpose.ROTATE_90) for image in images],
        "turned right": [image.transpose(Image.Transpose.ROTATE_270) for image in images],
        "upside down": [image.transpose(Image.Transpose.ROTATE_180) for image in images],
        "inverted": [ImageOps.invert(image.convert("L")) for image in images],
    }
    odd = odd_images.kinds()
    found = {name: _refused(model, chosen) for name, chosen in (kinds | odd).items()}
    found["all odd ones"] = _refused(model, [i for name in odd for i in odd[name]])
    return found


def _refused(model: RiskModel, images: list[Image.Image]) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for image in images:
        reason = model.predict(image).refused
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "images": len(images),
        "refused": round(sum(reasons.values()) / len(images), 4),
        "reasons": dict(sorted(reasons.items())),
    }


def _robustness(
    model: RiskModel, images: list[Image.Image], full_size: Path | None
) -> dict[str, dict[str, Any]]:
    followed = images[:: max(1, len(images) // MAX_IMAGES)]
    before = [model.predict(image) for image in followed]
    found = {
        name: _moved(before, [model.predict(change(image)) for image in followed])
        for name, change in track(changes().items(), "robustness")
    }
    portable = _portable(model)
    found["computed by other kernels"] = _moved(
        before[::5], [portable.predict(image) for image in followed[::5]]
    )
    if full_size is not None:
        large = [decode(p.read_bytes()).eight_bit() for p in sorted(full_size.rglob("*.jp*g"))]
        small = _resized(Image.Resampling.LANCZOS, 224)
        found["full size against 224 pixels"] = _moved(
            [model.predict(image) for image in large],
            [model.predict(small(image)) for image in large],
        )
    return found


def _portable(model: RiskModel) -> RiskModel:
    """Return the model with LiteRT's reference kernels, which use no special instructions."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(MODEL / "xray.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    return replace(model, _interpreter=interpreter)


def _moved(before: list[Prediction], after: list[Prediction]) -> dict[str, Any]:
    """Return the differences of the risks."""
    pairs = list(zip(before, after, strict=True))
    apart = [abs(one.risk - other.risk) for one, other in pairs]
    label, swap = Settings().label, {Label.NORMAL, Label.PNEUMONIA}
    return {
        "images": len(apart),
        "mean": round(float(np.mean(apart)), 5),
        "max": round(max(apart), 5),
        "labels_changed": sum(label(a.risk) != label(b.risk) for a, b in pairs),
        "swapped": sum({label(a.risk), label(b.risk)} == swap for a, b in pairs),
        "refused": round(sum(b.refused is not None for _, b in pairs) / len(pairs), 4),
    }


def _written(image: Image.Image) -> Image.Image:
    """Print lines of patient data in a corner, as on the demo's images."""
    image = image.copy()
    height = max(8, image.height // 22)
    font, draw = ImageFont.load_default(height), ImageDraw.Draw(image)
    for line, text in enumerate(("name:A. Example", "id:0000", "d.o.b.:1950-01-01")):
        draw.text((4, image.height - (3 - line) * (height + 2)), text, fill="white", font=font)
    return image


def _resized(method: Image.Resampling, side: int = 180) -> Change:
    return lambda image: image.resize((side, side), method)


def _compressed(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return decode(stream.getvalue()).pixels

    return change


def _turned(degrees: int) -> Change:
    return lambda image: image.rotate(degrees, Image.Resampling.BICUBIC)


def _enhanced(kind: Callable[[Image.Image], Any], share: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        result: Image.Image = kind(image).enhance(share)
        return result

    return change


def _cropped(width: float, height: float) -> Change:
    """Cut off these shares of the width and of the height, half at each side."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * width / 2), round(image.height * height / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return change
