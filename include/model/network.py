"""The network: a small residual network that sees an image at two scales.

It takes batches of grey images, float32 in 0 to 255, shape (n, size, size, 1). Its logit is the
mean over a coarse map plus one number, so the map shows exactly where the score comes from (class
activation mapping: Zhou et al., CVPR 2016, here over the last two stages).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import layers, ops

STRIDE = 16
"""Side of the cells of the map, in pixels."""


@keras.saving.register_keras_serializable(package="xray")
class Standardize(layers.Layer):
    """Scales each image to zero mean and unit deviation: exposure says nothing about the lung."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Return the standardised images, in the same shape."""
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        centred = images - mean
        deviation = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True))
        return centred / ops.maximum(deviation, 1.0)


@keras.saving.register_keras_serializable(package="xray")
class Offset(layers.Layer):
    """Adds one trained number: the logit of an empty map."""

    def build(self, shape: Sequence[int | None]) -> None:
        """Create the number; it is zero at first."""
        self.number = self.add_weight(name="number", shape=(1,), initializer="zeros")

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Return ``values`` plus the number."""
        return values + self.number


def build(
    size: int, widths: Sequence[int], dropout: float, *, name: str = "network"
) -> keras.Model:
    """Return an untrained network.

    Args:
        size: pixels of a side, a multiple of 32.
        widths: channels of the four stages; the stem and each stage halve the resolution.
        dropout: share of the channels that are dropped before the map in a training step.
        name: the name of the network.

    Returns:
        A model from (n, size, size, 1) in 0 to 255 to the logit (n, 1), the map
        (n, size/16, size/16, 1) whose mean plus a constant is the logit, and the features
        (n, widths[2] + widths[3]).
    """
    images = layers.Input((size, size, 1), name="image")
    x = Standardize()(images)
    x = layers.Conv2D(widths[0], 5, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    scales = []
    for width in widths:
        x = _block(x, width, stride=2)
        x = _block(x, width, stride=1)
        scales.append(x)
    fine, coarse = scales[-2:]
    seen = [layers.SpatialDropout2D(dropout)(scale) for scale in (fine, coarse)]
    parts = [layers.Conv2D(1, 1, use_bias=False)(scale) for scale in seen]
    evidence = layers.Add(name="evidence")([parts[0], layers.UpSampling2D(2)(parts[1])])
    logit = Offset(name="logit")(layers.GlobalAveragePooling2D()(evidence))
    pooled = [layers.GlobalAveragePooling2D()(scale) for scale in (fine, coarse)]
    features = layers.Concatenate(name="features")(pooled)
    return keras.Model(images, [logit, evidence, features], name=name)


def _block(x: tf.Tensor, width: int, *, stride: int) -> tf.Tensor:
    """Return two 3x3 convolutions with a shortcut around them."""
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = layers.AveragePooling2D(stride, padding="same")(x) if stride > 1 else x
        shortcut = layers.Conv2D(width, 1, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(layers.Add()([x, shortcut]))
