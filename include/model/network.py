"""The network: a small residual network that sees an image at two scales.

It takes batches of grey images that :class:`LocalContrast` has normalised, shape
(n, size, size, 1), so that several networks share the normalisation of an image. Its logit is the
mean over a coarse map plus one number, so the map shows exactly where the score comes from (class
activation mapping: Zhou et al., CVPR 2016, here over the last two stages).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

STRIDE = 16
"""Side of the cells of the map, in pixels."""


WINDOW = 8
"""The window of the local normalisation reaches an eighth of a side to each side of a pixel."""
FLAT = 4.0
"""Smallest deviation, in grey levels, that a pixel is divided by."""


@keras.saving.register_keras_serializable(package="xray")
class LocalContrast(layers.Layer):
    """Normalises each pixel by its surroundings: subtracts their mean, divides by their deviation.

    Exposure differs between devices and across an image, and says nothing about the lung. At the
    border, the surroundings are only the pixels inside the image.
    """

    def build(self, shape: Sequence[int | None]) -> None:
        """Prepare the mean along one axis: a column holds the weights of one window."""
        places = np.arange(shape[1])
        near = np.abs(places[:, None] - places) <= len(places) // WINDOW
        self.shares = (near / near.sum(axis=0)).astype(np.float32)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Return the normalised images, in the same shape (n, size, size, 1)."""
        pixels = images[..., 0]
        # Smaller numbers lose less precision when they are squared and summed.
        pixels -= ops.mean(pixels, axis=(1, 2), keepdims=True)
        mean = self._local_mean(pixels)
        variance = self._local_mean(ops.square(pixels)) - ops.square(mean)
        deviation = ops.sqrt(ops.maximum(variance, FLAT**2))
        return ((pixels - mean) / deviation)[..., None]

    def _local_mean(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return the mean over each pixel's window: along the rows, then along the columns."""
        for _ in range(2):
            pixels = ops.transpose(pixels @ self.shares, (0, 2, 1))
        return pixels


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
        A model from normalised images (n, size, size, 1) to the logit (n, 1), the map
        (n, size/16, size/16, 1) whose mean plus a constant is the logit, and the features
        (n, widths[2] + widths[3]).
    """
    images = layers.Input((size, size, 1), name="image")
    x = layers.Conv2D(widths[0], 5, strides=2, padding="same", use_bias=False)(images)
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
