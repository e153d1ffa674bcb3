"""A trained Keras model to float32 LiteRT, checked against itself."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

MAX_DIFFERENCE = 1e-4
"""Largest difference of a risk between the two forms; of the other outputs, of their size."""
OUTPUTS = ("risk", "evidence", "strangeness")


class Converted(NamedTuple):
    """A LiteRT file, and what stands in model.json about it."""

    content: bytes
    outputs: dict[str, int]
    """The place of each of :data:`OUTPUTS` among the file's."""
    difference: float
    """Largest difference of a risk to Keras's."""


def convert(model: keras.Model, samples: np.ndarray) -> Converted:
    """The model as LiteRT.

    Args:
        model: (n, size, size, 1) to :data:`OUTPUTS`.
        samples: images to compare what comes out, (n, size, size, 1), float32 in 0 to 255.

    Raises:
        RuntimeError: the result lacks its weights, or says otherwise than the model.
    """
    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    # Without freezing, the converter leaves the weights out of a Keras 3 model and says nothing.
    frozen = convert_variables_to_constants_v2(graph)
    lite: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    if len(lite) < 3 * model.count_params():
        raise RuntimeError(f"The converted model has {len(lite)} bytes: its weights are missing.")
    found, kept = run(lite, samples), model.predict(samples, batch_size=32, verbose=0)
    shapes = [part.shape for part in found]
    outputs = {name: shapes.index(part.shape) for name, part in zip(OUTPUTS, kept, strict=True)}
    differences = {
        name: np.abs(found[outputs[name]] - part).max()
        / (1 if name == "risk" else np.abs(part).max())
        for name, part in zip(OUTPUTS, kept, strict=True)
    }
    for name, difference in differences.items():
        if not difference <= MAX_DIFFERENCE:
            raise RuntimeError(f"The converted model's {name} differs by {difference:.2g}.")
    print(
        f"converted; the risks of {len(samples)} images differ by {differences['risk']:.1e} at most"
    )
    return Converted(lite, outputs, float(differences["risk"]))


def run(lite: bytes, samples: np.ndarray) -> list[np.ndarray]:
    """What LiteRT gives for ``samples``: an array (n, …) for each output."""
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
