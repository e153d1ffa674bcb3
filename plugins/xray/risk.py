"""The risk of pneumonia in an image, scored by the shipped model with LiteRT.

A model is a folder with ``model.json`` and ``xray.tflite``; training, evaluation
and the pipeline share :func:`preprocess`, so that a score means the same in all.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.errors import ModelError
from xray.image import eight_bit

_SHIPPED = Path(__file__).resolve().parents[2] / "include" / "model"


def default_directory() -> Path:
    """Where the model is: the environment's ``XRAY_MODEL_DIR``, or the shipped one."""
    return Path(os.environ.get("XRAY_MODEL_DIR") or _SHIPPED)


def preprocess(image: Image.Image, size: int, depth: int | None = None) -> npt.NDArray[np.float32]:
    """The model's input, shape (1, size, size, 1), 0 to 255.

    Resized with antialiasing: without it, the score would depend on how sharp
    a large image is, which is a trait of the device and not of the lung.
    ``image`` and ``depth`` are as :func:`xray.image.eight_bit` takes them.
    """
    small = eight_bit(image, depth).convert("L").resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float32)[None, :, :, None]


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A loaded model. One per process; not for several threads at once."""

    version: str
    """Short; stands in audit records and in the results' metadata."""
    size: int
    """Pixels of a side of the input."""
    _interpreter: Any

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """The model in ``directory``, or the default one.

        Raises:
            ModelError: a file is missing, is not the one that model.json names, or has the
                wrong shape.
        """
        from ai_edge_litert.interpreter import Interpreter

        directory = directory or default_directory()
        card, content = _read(directory)
        try:
            version, size = str(card["version"]), int(card["input"]["size"])
            digest = card["sha256"]
        except (KeyError, TypeError, ValueError):
            raise ModelError(
                "model.json lacks version, sha256 or input.size: train the model again."
            ) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(
                "xray.tflite is not the file that model.json names (its sha256 differs): "
                "restore both from the same training."
            )
        try:
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"xray.tflite cannot be loaded: {error}") from None
        _check_shapes(interpreter, size)
        return cls(version, size, interpreter)

    def score(self, image: Image.Image, depth: int | None = None) -> float:
        """The risk of pneumonia, 0 to 1, in an ``image`` of any size; see :func:`preprocess`."""
        interpreter = self._interpreter
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], preprocess(image, self.size, depth)
        )
        interpreter.invoke()
        return float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0])


def _read(directory: Path) -> tuple[dict[str, Any], bytes]:
    try:
        card = json.loads((directory / "model.json").read_text())
        return card, (directory / "xray.tflite").read_bytes()
    except OSError as error:
        raise ModelError(
            f"{Path(str(error.filename)).name} is missing: run make train, or point XRAY_MODEL_DIR "
            "to a folder that has it."
        ) from None
    except ValueError:
        raise ModelError("model.json is not JSON: train the model again.") from None


def _check_shapes(interpreter: Any, size: int) -> None:
    given = [tuple(int(n) for n in t["shape"]) for t in interpreter.get_input_details()]
    gives = [tuple(int(n) for n in t["shape"]) for t in interpreter.get_output_details()]
    if given != [(1, size, size, 1)] or gives != [(1, 1)]:
        raise ModelError(
            f"xray.tflite maps {given} to {gives}; the pipeline needs [(1, {size}, {size}, 1)] "
            "to [(1, 1)]."
        )
