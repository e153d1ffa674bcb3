"""The conversion of a trained Keras model to float32 LiteRT, with a comparison of both."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

MAX_DIFFERENCE = 1e-4
"""Largest difference between the two forms: absolute for a risk, relative for the other outputs."""
OUTPUTS = ("risk", "evidence", "strangeness")


class Converted(NamedTuple):
    """A LiteRT file, and what model.json says about it."""

    content: bytes
    outputs: dict[str, int]
    """The index of each of :data:`OUTPUTS` in the file."""
    difference: float
    """Largest difference between a risk of the file and that of Keras."""


def convert(model: keras.Model, samples: np.ndarray) -> Converted:
    """Convert a model, and compare its outputs with those of the LiteRT file.

    Args:
        model: (n, size, size, 1) to :data:`OUTPUTS`.
        samples: images for the comparison, (n, size, size, 1), float32 in 0 to 255.

    Raises:
        RuntimeError: the file lacks the weights, or its outputs differ from those of the model.
    """
    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    # Without freezing, the converter silently omits the weights of a Keras 3 model.
    frozen = convert_variables_to_constants_v2(graph)
    lite: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    if len(lite) < 3 * model.count_params():
        raise RuntimeError(f"The converted model has {len(lite)} bytes: its weights are missing.")
    converted, original = run_lite(lite, samples), model.predict(samples, batch_size=32, verbose=0)
    shapes = [part.shape for part in converted]
    outputs = {name: shapes.index(part.shape) for name, part in zip(OUTPUTS, original, strict=True)}
    differences = {
        name: np.abs(converted[outputs[name]] - part).max()
        / (1 if name == "risk" else np.abs(part).max())
        for name, part in zip(OUTPUTS, original, strict=True)
    }
    for name, difference in differences.items():
        if not difference <= MAX_DIFFERENCE:
            raise RuntimeError(f"The converted model's {name} differs by {difference:.2g}.")
    print(
        f"converted; the risks of {len(samples)} images differ by {differences['risk']:.1e} at most"
    )
    return Converted(lite, outputs, float(differences["risk"]))


def run_lite(lite: bytes, samples: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of a LiteRT file for ``samples``: an array (n, …) for each output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=lite, num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    places = [detail["index"] for detail in interpreter.get_output_details()]
    rows = []
    for sample in samples:
        interpreter.set_tensor(given, sample[None])
        interpreter.invoke()
        rows.append([interpreter.get_tensor(place)[0] for place in places])
    return [np.stack(column) for column in zip(*rows, strict=True)]
