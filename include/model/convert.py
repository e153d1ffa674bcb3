"""A trained Keras model to float32 LiteRT, checked against itself."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

MAX_DIFFERENCE = 1e-4
"""Largest difference of a score between the two forms."""


def convert(model: keras.Model, samples: np.ndarray) -> bytes:
    """The model as LiteRT bytes.

    Args:
        model: (n, size, size, 1) to (n, 1).
        samples: images to compare the scores of, (n, size, size, 1), float32 in 0 to 255.

    Raises:
        RuntimeError: the result lacks its weights, or scores otherwise than the model.
    """
    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    # Without freezing, the converter leaves the weights out of a Keras 3 model and says nothing.
    frozen = convert_variables_to_constants_v2(graph)
    lite: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    if len(lite) < 3 * model.count_params():
        raise RuntimeError(f"The converted model has {len(lite)} bytes: its weights are missing.")
    difference = np.abs(scores(lite, samples) - model.predict(samples, verbose=0)[:, 0]).max()
    if difference > MAX_DIFFERENCE:
        raise RuntimeError(f"The converted model scores differ by {difference:.2g}.")
    print(f"converted; the scores of {len(samples)} images differ by {difference:.1e} at most")
    return lite


def scores(lite: bytes, samples: np.ndarray) -> np.ndarray:
    """The scores, shape (n,), that LiteRT gives."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=lite, num_threads=1)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    result = []
    for sample in samples:
        interpreter.set_tensor(given["index"], sample[None])
        interpreter.invoke()
        result.append(interpreter.get_tensor(wanted["index"])[0, 0])
    return np.array(result)
