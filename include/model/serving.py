"""The shipped model: several networks, test-time mirroring, calibration and the gate in one graph.

:func:`assemble` returns the graph. It takes an image and returns the risk, the evidence (where the
risk comes from) and the strangeness (the distance of the image from the training images). All
layers store their numbers as weights, so ``xray.keras`` and ``xray.tflite`` are the same model.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from include.model.network import LocalContrast

SIDE = 20
"""Side of the thumbnail that the gate examines, in pixels; at some image sizes a few more."""
FLAT = 4.0
"""Smallest deviation, in grey levels, that a thumbnail is divided by."""
REASONS = (
    "blank",
    "turned left",
    "turned right",
    "upside down",
    "inverted",
    "unlike a chest X-ray",
    "unfamiliar",
)
"""The reasons for a refusal, one for each number of the strangeness that may exceed its limit. The
first one counts. The last two are the distances of the thumbnail and of a network's features."""


@keras.saving.register_keras_serializable(package="xray")
class BothWays(layers.Layer):
    """Returns each image, followed by the mirror image of each."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Map (n, size, size, 1) to (2n, size, size, 1)."""
        return ops.concatenate([images, ops.flip(images, axis=2)], axis=0)


@keras.saving.register_keras_serializable(package="xray")
class Together(layers.Layer):
    """Averages the results of the images and their mirror images; a map is mirrored back first."""

    def call(self, found: tf.Tensor) -> tf.Tensor:
        """Map (2n, …) to (n, …)."""
        one, other = ops.split(found, 2, axis=0)
        if len(found.shape) == 4:
            other = ops.flip(other, axis=2)
        return (one + other) / 2


@keras.saving.register_keras_serializable(package="xray")
class Calibrate(layers.Layer):
    """Turns a logit and a map into a risk and into evidence, whose mean is the risk's logit."""

    def build(self, _: object) -> None:
        """Create the scale and the bias, which change nothing at first."""
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones", trainable=False)
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros", trainable=False)

    def call(self, found: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Map (n, 1) and (n, rows, columns, 1) to (n, 1) and (n, rows, columns)."""
        logit, cells = found
        calibrated = self.scale * logit + self.bias
        rest = cells - ops.mean(cells, axis=(1, 2, 3), keepdims=True)
        evidence = self.scale * rest[..., 0] + calibrated[..., None]
        return [ops.sigmoid(calibrated), evidence]


@keras.saving.register_keras_serializable(package="xray")
class Thumbnail(layers.Layer):
    """Returns the coarse shades of an image in eight orientations, and their deviation.

    The orientations are the original, turns by 90, 180 and 270 degrees to the left, and the same
    four with inverted grey levels.
    """

    def call(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Map (n, size, size, 1) to (n, 8, width), standardised, and (n, 1) in grey levels."""
        step = images.shape[1] // SIDE
        shades = ops.average_pool(images, step, step, "valid")[..., 0]
        shades -= ops.mean(shades, axis=(1, 2), keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(shades), axis=(1, 2), keepdims=True))
        shades /= ops.maximum(deviation, FLAT)
        across = ops.transpose(shades, (0, 2, 1))
        turned = [
            shades,
            ops.flip(across, axis=1),
            ops.flip(shades, axis=(1, 2)),
            ops.flip(across, axis=2),
        ]
        ways = ops.stack([*turned, *(-way for way in turned)], axis=1)
        return [ops.reshape(ways, (-1, 8, shades.shape[1] ** 2)), deviation[:, :, 0]]


@keras.saving.register_keras_serializable(package="xray")
class Strangeness(layers.Layer):
    """Returns how much an image differs from the training images: a number per reason.

    The reasons are :data:`REASONS`. The distance of the thumbnail is that of a probabilistic
    principal component analysis (Tipping and Bishop, 1999). The distance of the features is
    Mahalanobis' distance to the nearer class (Lee et al., NeurIPS 2018).
    """

    def __init__(self, components: int, **options: object) -> None:
        super().__init__(**options)
        self.components = components

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the layer, for ``xray.keras``."""
        return {**super().get_config(), "components": self.components}

    def build(self, shapes: Sequence[Sequence[int]]) -> None:
        """Create the weights that :mod:`include.model.gate` fits."""
        width, features = shapes[0][-1], shapes[2][-1]
        shapes_by_name = {
            "mean": (width,),
            "axes": (width, self.components),
            "precisions": (self.components,),
            "rest": (),
            "limit": (),
            "centres": (2, features),
            "whitening": (features, features),
        }
        for name, shape in shapes_by_name.items():
            weight = self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
            setattr(self, name, weight)

    def call(self, found: Sequence[tf.Tensor]) -> tf.Tensor:
        """Map thumbnails (n, 8, width), deviations (n, 1), features (n, d) to (n, len(REASONS))."""
        ways, deviation, features = found
        strange = self._distances(ways)
        here, limit = strange[:, :1], self.limit
        # Positive only for the likeliest orientation, and only if that is within the limit and
        # likelier than the original one.
        likelier = ops.minimum(here, limit) - strange[:, 1:]
        likeliest = ops.min(strange, axis=1, keepdims=True)
        likelier = ops.where(strange[:, 1:] > likeliest, -here, likelier)
        left, upside_down, right = (likelier[:, k : k + 1] for k in (2, 1, 0))
        inverted = ops.max(likelier[:, 3:], axis=1, keepdims=True)
        apart = (features[:, None] - self.centres) @ self.whitening
        nearest = ops.min(ops.sum(ops.square(apart), axis=2), axis=1, keepdims=True)
        return ops.concatenate(
            [-deviation, left, right, upside_down, inverted, here, nearest], axis=1
        )

    def _distances(self, ways: tf.Tensor) -> tf.Tensor:
        apart = ways - self.mean
        along = apart @ self.axes
        outside = ops.sum(ops.square(apart), axis=2) - ops.sum(ops.square(along), axis=2)
        return ops.sum(ops.square(along) * self.precisions, axis=2) + outside * self.rest


def assemble(members: Sequence[keras.Model], components: int, *, gate: int) -> keras.Model:
    """Return the shipped model of networks of :func:`network.build`; its gate is not fitted yet.

    The logits and the maps of the members are averaged. The gate uses the features of the member
    with the number ``gate``.

    Returns:
        A model from (n, size, size, 1) in 0 to 255 to risk (n, 1), evidence (n, rows, columns) and
        strangeness (n, len(REASONS)).
    """
    images = layers.Input(members[0].input_shape[1:], name="image")
    both = BothWays()(LocalContrast()(images))
    said = [member(both) for member in members]
    together = [
        layers.Average()([one[k] for one in said]) if said[1:] else said[0][k] for k in (0, 1)
    ]
    logit, cells, features = (Together()(found) for found in (*together, said[gate][2]))
    risk, evidence = Calibrate(name="calibrate")([logit, cells])
    ways, deviation = Thumbnail()(images)
    strangeness = Strangeness(components, name="strangeness")([ways, deviation, features])
    return keras.Model(images, [risk, evidence, strangeness], name="xray")


def gate_inputs(model: keras.Model) -> keras.Model:
    """Return the model from images to the thumbnails, deviations and features of the gate."""
    return keras.Model(model.input, model.get_layer("strangeness").input)


def set_weights(layer: layers.Layer, **numbers: float | np.ndarray) -> None:
    """Set weights of a layer by their names."""
    for name, value in numbers.items():
        getattr(layer, name).assign(value)
