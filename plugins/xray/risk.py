"""The risk of pneumonia in an image, scored by the shipped model with LiteRT.

A model is a folder with ``model.json`` and ``xray.tflite``; training, evaluation
and the pipeline share :func:`preprocess`, so that a score means the same in all.
A model may also tell where a risk comes from, and refuse an image that is like
none it has learned from: see include/model/README.md, "A model of your own".
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
class Reading:
    """What a model says of one image."""

    risk: float
    """Of pneumonia, 0 to 1."""
    evidence: list[list[float]] | None
    """Where it comes from, row by row: above 0 for pneumonia, below against it. The mean is the
    risk's logit. None if the model does not tell."""
    refused: str | None
    """Why the risk means nothing, as in "upside down"; None for an image like those learned from,
    and from a model without a gate."""


@dataclass(frozen=True, slots=True)
class _Check:
    """One number of the gate's: above the limit, the image is refused."""

    reason: str
    limit: float


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A loaded model. One per process; not for several threads at once."""

    version: str
    """Short; stands in audit records and in the results' metadata."""
    size: int
    """Pixels of a side of the input."""
    _interpreter: Any
    _outputs: dict[str, int]
    """The place of each output among the graph's: risk, and maybe evidence and strangeness."""
    _gate: tuple[_Check, ...]

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """The model in ``directory``, or the default one.

        Raises:
            ModelError: a file is missing, is not the one that model.json names, or maps
                something else to something else.
        """
        directory = directory or default_directory()
        card, content = _read(directory)
        try:
            version, size = str(card["version"]), int(card["input"]["size"])
            digest = card["sha256"]
            outputs = {str(k): int(v) for k, v in card.get("outputs", {"risk": 0}).items()}
            gate = tuple(_Check(str(c["reason"]), float(c["limit"])) for c in card.get("gate", ()))
            outputs["risk"]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ModelError(
                "model.json lacks version, sha256 or input.size, or its outputs or gate are not of "
                "the form that include/model/README.md describes: train the model again."
            ) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(
                "xray.tflite is not the file that model.json names (its sha256 differs): "
                "restore both from the same training."
            )
        interpreter = _interpreter(content)
        _check_shapes(interpreter, size, outputs, gate)
        model = cls(version, size, interpreter, outputs, gate)
        risk = model.score(Image.linear_gradient("L"))
        if not 0 <= risk <= 1:
            raise ModelError(f"xray.tflite gives {risk:.3g} as a risk, which is 0 to 1.")
        return model

    def score(self, image: Image.Image, depth: int | None = None) -> float:
        """The risk of pneumonia, 0 to 1, in an ``image`` of any size; see :func:`preprocess`."""
        return self.read(image, depth).risk

    def read(self, image: Image.Image, depth: int | None = None) -> Reading:
        """All that the model says of an ``image`` of any size; see :func:`preprocess`."""
        given = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.set_tensor(given, preprocess(image, self.size, depth))
        self._interpreter.invoke()
        evidence = self._output("evidence")
        return Reading(
            risk=float(self._output("risk")[0, 0]),
            evidence=None if evidence is None else evidence[0].astype(float).round(3).tolist(),
            refused=self._refused(),
        )

    def strangeness(self) -> list[float]:
        """The gate's numbers for the image read last, in the order of its checks."""
        found = self._output("strangeness")
        return [] if found is None else [float(value) for value in found[0]]

    def _refused(self) -> str | None:
        pairs = zip(self._gate, self.strangeness(), strict=True)
        # Asked so that nan, of which nothing is true, is refused.
        return next((check.reason for check, value in pairs if not value <= check.limit), None)

    def _output(self, name: str) -> Any:
        """A copy of an output, or None if the model has none of that ``name``."""
        if name not in self._outputs:
            return None
        place = self._outputs[name]
        return self._interpreter.get_tensor(self._interpreter.get_output_details()[place]["index"])


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"xray.tflite cannot be loaded: {error}") from None
    return interpreter


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


def _check_shapes(
    interpreter: Any, size: int, outputs: dict[str, int], gate: tuple[_Check, ...]
) -> None:
    given = [tuple(int(n) for n in t["shape"]) for t in interpreter.get_input_details()]
    gives = [tuple(int(n) for n in t["shape"]) for t in interpreter.get_output_details()]
    kinds = {
        t["dtype"] for t in (*interpreter.get_input_details(), *interpreter.get_output_details())
    }
    if given != [(1, size, size, 1)] or kinds != {np.float32}:
        raise ModelError(
            f"xray.tflite maps {given}, in {_names(kinds)}; the pipeline needs "
            f"[(1, {size}, {size}, 1)], in float32 alone."
        )
    for name, place in outputs.items():
        if not (0 <= place < len(gives) and _fits(name, gives[place], len(gate))):
            raise ModelError(
                f"xray.tflite gives {gives}, and model.json calls output {place} {name!r}: risk is "
                f"(1, 1), evidence (1, rows, columns), strangeness (1, {len(gate)}), one number a "
                "check of the gate."
            )
    if bool(gate) != ("strangeness" in outputs):
        raise ModelError("model.json names a gate, or the output strangeness: it needs both.")


def _fits(name: str, shape: tuple[int, ...], checks: int) -> bool:
    if name == "evidence":
        return len(shape) == 3 and shape[0] == 1
    return shape == {"risk": (1, 1), "strangeness": (1, checks)}.get(name)


def _names(kinds: set[Any]) -> str:
    return ", ".join(sorted(np.dtype(kind).name for kind in kinds))
