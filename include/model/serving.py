"""The model that is shipped: its networks together, seen both ways, calibrated, with a gate.

:func:`assemble` puts it together as one graph: an image in, and out come the
risk, the evidence (where the risk comes from) and the strangeness (how unlike
the training images the image is). All layers hold their numbers as weights, so
that ``xray.keras`` and ``xray.tflite`` are the same model.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

SIDE = 20
"""Pixels of a side, or a few more, of the thumbnail that the gate looks at."""
FLAT = 4.0
"""Grey levels; a thumbnail that varies less is not stretched any further."""
REASONS = (
    "blank",
    "turned left",
    "turned right",
    "upside down",
    "inverted",
    "unlike a chest X-ray",
    "unfamiliar",
)
"""What the numbers of the strangeness tell, if they are above their limits; the first one counts.
The last two: by the thumbnail, and by a network's features."""


@keras.saving.register_keras_serializable(package="xray")
class BothWays(layers.Layer):
    """Each image, and then each image's mirror image."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """(n, size, size, 1) to (2n, size, size, 1)."""
        return ops.concatenate([images, ops.flip(images, axis=2)], axis=0)


@keras.saving.register_keras_serializable(package="xray")
class Together(layers.Layer):
    """The mean of what was found both ways; a map is mirrored back first."""

    def call(self, found: tf.Tensor) -> tf.Tensor:
        """(2n, …) to (n, …)."""
        one, other = ops.split(found, 2, axis=0)
        if len(found.shape) == 4:
            other = ops.flip(other, axis=2)
        return (one + other) / 2


@keras.saving.register_keras_serializable(package="xray")
class Calibrate(layers.Layer):
    """A logit and a map to a risk, and to evidence whose mean is that risk's logit."""

    def build(self, _: object) -> None:
        """Nothing is changed at first."""
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones", trainable=False)
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros", trainable=False)

    def call(self, found: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """(n, 1) and (n, rows, columns, 1) to (n, 1) and (n, rows, columns)."""
        logit, cells = found
        calibrated = self.scale * logit + self.bias
        rest = cells - ops.mean(cells, axis=(1, 2, 3), keepdims=True)
        evidence = self.scale * rest[..., 0] + calibrated[..., None]
        return [ops.sigmoid(calibrated), evidence]


@keras.saving.register_keras_serializable(package="xray")
class Thumbnail(layers.Layer):
    """The coarse shades of an image in all eight ways it may lie, and how much they vary.

    As it is, turned by 90, 180 and 270 degrees to the left, and the same with black and white
    exchanged.
    """

    def call(self, images: tf.Tensor) -> list[tf.Tensor]:
        """(n, size, size, 1) to (n, 8, width), standardised, and (n, 1) in grey levels."""
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
    """How unlike the training images an image is: one number for each of :data:`REASONS`.

    The thumbnail's is the distance of a probabilistic principal component
    analysis (Tipping and Bishop, 1999); the features' is Mahalanobis', to the
    nearer class (Lee et al., NeurIPS 2018).
    """

    def __init__(self, components: int, **options: object) -> None:
        super().__init__(**options)
        self.components = components

    def get_config(self) -> dict[str, object]:
        """For ``xray.keras``."""
        return {**super().get_config(), "components": self.components}

    def build(self, shapes: Sequence[Sequence[int]]) -> None:
        """Room for what :mod:`gate` fits."""
        width, features = shapes[0][-1], shapes[2][-1]
        rooms = {
            "mean": (width,),
            "axes": (width, self.components),
            "precisions": (self.components,),
            "rest": (),
            "limit": (),
            "centres": (2, features),
            "whitening": (features, features),
        }
        for name, shape in rooms.items():
            weight = self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
            setattr(self, name, weight)

    def call(self, found: Sequence[tf.Tensor]) -> tf.Tensor:
        """Thumbnails (n, 8, width), deviations (n, 1), features (n, d) to (n, len(REASONS))."""
        ways, deviation, features = found
        strange = self._distances(ways)
        here, limit = strange[:, :1], self.limit
        # Positive for the likeliest way, if that is likelier than as it is, and to be believed.
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


def assemble(members: Sequence[keras.Model], components: int) -> keras.Model:
    """The shipped model of networks of :func:`network.build`; its gate is still empty.

    What the members say is averaged; the gate goes by the features of the first one.

    Returns:
        (n, size, size, 1) in 0 to 255 to risk (n, 1), evidence (n, rows, columns) and
        strangeness (n, len(REASONS)).
    """
    images = layers.Input(members[0].input_shape[1:], name="image")
    both = BothWays()(images)
    said = [member(both) for member in members]
    together = [
        layers.Average()([one[k] for one in said]) if said[1:] else said[0][k] for k in (0, 1)
    ]
    logit, cells, features = (Together()(found) for found in (*together, said[0][2]))
    risk, evidence = Calibrate(name="calibrate")([logit, cells])
    ways, deviation = Thumbnail()(images)
    strangeness = Strangeness(components, name="strangeness")([ways, deviation, features])
    return keras.Model(images, [risk, evidence, strangeness], name="xray")


def parts(model: keras.Model) -> keras.Model:
    """What the gate is fitted on: images to thumbnails, deviations and features."""
    return keras.Model(model.input, model.get_layer("strangeness").input)


def set_numbers(layer: layers.Layer, **numbers: float | np.ndarray) -> None:
    """Assign to a layer's weights by their names."""
    for name, value in numbers.items():
        getattr(layer, name).assign(value)
