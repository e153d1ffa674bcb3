"""The risk of pneumonia in an image, scored by the shipped model with LiteRT.

A model is a folder with ``model.json`` and ``xray.tflite``. Training, evaluation
and the pipeline share :func:`preprocess`, so that a score means the same in all
of them. A model may also give the evidence of a risk, and refuse an image that
is unlike the images it was trained on: see include/model/README.md, "A model of
your own".
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.errors import ModelError
from xray.image import eight_bit

_SHIPPED = Path(__file__).resolve().parents[3] / "include" / "model"


def default_directory() -> Path:
    """Return the model's folder: the environment's ``XRAY_MODEL_DIR``, or the shipped one."""
    return Path(os.environ.get("XRAY_MODEL_DIR") or _SHIPPED)


def preprocess(image: Image.Image, size: int, depth: int | None = None) -> npt.NDArray[np.float32]:
    """Return the model's input, shape (1, size, size, 1), values 0 to 255.

    The image is resized with antialiasing. Without it, the score would depend on the sharpness of
    a large image, which is a property of the device and not of the lung.

    Args:
        image: an image of any size, as :func:`xray.image.eight_bit` takes it.
        size: the pixels of a side of the model's input.
        depth: the number of significant bits, as :func:`xray.image.eight_bit` takes it.
    """
    small = eight_bit(image, depth).convert("L").resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float32)[None, :, :, None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's result for one image."""

    risk: float
    """The risk of pneumonia, 0 to 1."""
    evidence: list[list[float]] | None
    """Where the risk comes from, row by row: above 0 for pneumonia, below 0 against it. The mean is
    the logit of the risk. None if the model gives no evidence."""
    refused: str | None
    """Why the risk means nothing, such as "upside down". None if the image resembles those that the
    model was trained on, or if the model has no gate."""


@dataclass(frozen=True, slots=True)
class _GateCheck:
    """One check of the gate: the image is refused if its number is above the limit."""

    reason: str
    limit: float


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A loaded model. A process needs only one; it must not be used by several threads at once."""

    version: str
    """A short name for audit records and the metadata of results."""
    size: int
    """The pixels of a side of the input."""
    _interpreter: Any
    _outputs: dict[str, int]
    """The position of each output in the graph: risk, and perhaps evidence and strangeness."""
    _gate: tuple[_GateCheck, ...]

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Load the model in ``directory``, by default :func:`default_directory`.

        Raises:
            ModelError: a file is missing, does not match model.json, or has inputs or outputs of
                another form.
        """
        directory = directory or default_directory()
        card, content = _read_files(directory)
        try:
            version, size = str(card["version"]), int(card["input"]["size"])
            digest = card["sha256"]
            outputs = {str(k): int(v) for k, v in card.get("outputs", {"risk": 0}).items()}
            gate = tuple(
                _GateCheck(str(check["reason"]), float(check["limit"]))
                for check in card.get("gate", ())
            )
            outputs["risk"]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ModelError(
                "model.json lacks version, sha256 or input.size, or its outputs or gate are not of "
                "the form that include/model/README.md describes: train the model again."
            ) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(
                "The sha256 of xray.tflite is not the one in model.json: restore both files from "
                "the same training."
            )
        interpreter = _load_interpreter(content)
        _check_shapes(interpreter, size, outputs, gate)
        model = cls(version, size, interpreter, outputs, gate)
        risk = model.score(Image.linear_gradient("L"))
        if not 0 <= risk <= 1:
            raise ModelError(f"xray.tflite gives {risk:.3g} as a risk; a risk is 0 to 1.")
        return model

    def score(self, image: Image.Image, depth: int | None = None) -> float:
        """Return the risk of pneumonia in an image, 0 to 1. The arguments are those of
        :func:`preprocess`."""
        return self.predict(image, depth).risk

    def predict(self, image: Image.Image, depth: int | None = None) -> Prediction:
        """Return the model's result for an image. The arguments are those of :func:`preprocess`."""
        index = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.set_tensor(index, preprocess(image, self.size, depth))
        self._interpreter.invoke()
        evidence = self._output("evidence")
        return Prediction(
            risk=float(self._output("risk")[0, 0]),
            evidence=None if evidence is None else evidence[0].astype(float).round(3).tolist(),
            refused=self._refusal(),
        )

    def strangeness(self) -> list[float]:
        """Return the gate's numbers for the last image, in the order of its checks."""
        numbers = self._output("strangeness")
        return [] if numbers is None else [float(value) for value in numbers[0]]

    def _refusal(self) -> str | None:
        """Return the reason of the first check that refuses the last image."""
        pairs = zip(self._gate, self.strangeness(), strict=True)
        # Negated, so that NaN is refused: every comparison with it is false.
        return next((check.reason for check, value in pairs if not value <= check.limit), None)

    def _output(self, name: str) -> Any:
        """Return a copy of an output; None if the model has no output of that ``name``."""
        if name not in self._outputs:
            return None
        details = self._interpreter.get_output_details()[self._outputs[name]]
        return self._interpreter.get_tensor(details["index"])


def shared_model(directory: Path | None = None) -> RiskModel:
    """Return the model in ``directory``, loaded once for this process and its forks.

    It is loaded again after its files have changed.

    Args:
        directory: the folder; by default :func:`default_directory`.

    Raises:
        ModelError: see :meth:`RiskModel.load`.
    """
    directory = directory or default_directory()
    return _shared_model(directory, _state_of_files(directory))


@lru_cache(maxsize=2)  # The model that decides, and the one in its shadow.
def _shared_model(directory: Path, _: tuple[tuple[int, ...], ...]) -> RiskModel:
    return RiskModel.load(directory)


def _state_of_files(directory: Path) -> tuple[tuple[int, ...], ...]:
    """Return what changes when the model's files are replaced; nothing if one is missing."""
    try:
        found = [(directory / name).stat() for name in ("model.json", "xray.tflite")]
    except OSError:
        return ()
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def _load_interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"xray.tflite cannot be loaded: {error}") from None
    return interpreter


def _read_files(directory: Path) -> tuple[dict[str, Any], bytes]:
    """Return the content of model.json and the bytes of xray.tflite."""
    try:
        card = json.loads((directory / "model.json").read_text())
        return card, (directory / "xray.tflite").read_bytes()
    except OSError as error:
        raise ModelError(
            f"{Path(str(error.filename)).name} is missing: run make train, or name a folder that "
            "has it, in XRAY_MODEL_DIR or the setting shadow_model."
        ) from None
    except ValueError:
        raise ModelError("model.json is not JSON: train the model again.") from None


def _check_shapes(
    interpreter: Any, size: int, outputs: dict[str, int], gate: tuple[_GateCheck, ...]
) -> None:
    """Check that the graph has the input and the outputs that model.json describes."""
    inputs, results = interpreter.get_input_details(), interpreter.get_output_details()
    input_shapes = [tuple(int(n) for n in tensor["shape"]) for tensor in inputs]
    output_shapes = [tuple(int(n) for n in tensor["shape"]) for tensor in results]
    types = {tensor["dtype"] for tensor in (*inputs, *results)}
    if input_shapes != [(1, size, size, 1)] or types != {np.float32}:
        raise ModelError(
            f"xray.tflite takes {input_shapes}, in {_type_names(types)}; the pipeline needs "
            f"[(1, {size}, {size}, 1)], in float32 only."
        )
    for name, position in outputs.items():
        fits = 0 <= position < len(output_shapes) and _shape_fits(
            name, output_shapes[position], len(gate)
        )
        if not fits:
            raise ModelError(
                f"xray.tflite gives {output_shapes}, and model.json calls output {position} "
                f"{name!r}: risk is (1, 1), evidence (1, rows, columns), strangeness "
                f"(1, {len(gate)}), one number for each check of the gate."
            )
    if bool(gate) != ("strangeness" in outputs):
        raise ModelError("model.json has a gate, or the output strangeness: it needs both.")


def _shape_fits(name: str, shape: tuple[int, ...], checks: int) -> bool:
    if name == "evidence":
        return len(shape) == 3 and shape[0] == 1
    return shape == {"risk": (1, 1), "strangeness": (1, checks)}.get(name)


def _type_names(types: set[Any]) -> str:
    return ", ".join(sorted(np.dtype(kind).name for kind in types))
