"""The network: a small residual one, and the augmentation it is trained with.

Both work on batches of grey images, float32 in 0 to 255, shape (n, size, size, 1).
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

WIDTHS = (24, 48, 72, 96)
"""Channels of the four stages; each halves the resolution."""


@keras.saving.register_keras_serializable(package="xray")
class Standardize(layers.Layer):
    """Each image to zero mean and unit deviation: exposure tells nothing about the lung."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Standardised ``images``, same shape."""
        mean = keras.ops.mean(images, axis=(1, 2, 3), keepdims=True)
        centred = images - mean
        deviation = keras.ops.sqrt(
            keras.ops.mean(keras.ops.square(centred), axis=(1, 2, 3), keepdims=True)
        )
        return centred / keras.ops.maximum(deviation, 1.0)


def build(size: int) -> keras.Model:
    """An untrained network: (n, size, size, 1) in 0 to 255 to (n, 1), the risk of pneumonia."""
    images = layers.Input((size, size, 1), name="image")
    x = Standardize()(images)
    x = layers.Conv2D(WIDTHS[0], 5, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    for width in WIDTHS:
        x = _block(x, width, stride=2)
        x = _block(x, width, stride=1)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(images, layers.Dense(1, activation="sigmoid", name="risk")(x), name="xray")


def _block(x: tf.Tensor, width: int, *, stride: int) -> tf.Tensor:
    """Two 3x3 convolutions and a way around them."""
    around = x
    if stride != 1 or x.shape[-1] != width:
        around = layers.AveragePooling2D(stride, padding="same")(x) if stride > 1 else x
        around = layers.Conv2D(width, 1, use_bias=False)(around)
        around = layers.BatchNormalization()(around)
    x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(layers.Add()([x, around]))


def augment(images: tf.Tensor) -> tf.Tensor:
    """Each image moved, re-exposed, blurred or sharpened, made noisy, and partly hidden.

    Blur and sharpening matter most here: in this data set sharpness alone
    nearly tells the classes apart, and a network would learn that instead.
    """
    images = _move(images)
    images = _resharpen(images)
    images = _reexpose(images)
    images += tf.random.normal(tf.shape(images)) * _each(images, 0.0, 6.0)
    return _hide(tf.clip_by_value(images, 0.0, 255.0))


def _each(images: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """One random number an image, shaped to multiply the batch."""
    return tf.random.uniform((tf.shape(images)[0], 1, 1, 1), low, high)


def _move(images: tf.Tensor) -> tf.Tensor:
    """Turn up to 10 degrees, scale and stretch by 12 %, shift by 7 %, mirror half of them."""
    count, size = tf.shape(images)[0], tf.cast(tf.shape(images)[1], tf.float32)
    angle = tf.random.uniform((count,), -0.175, 0.175)
    across = tf.random.uniform((count,), 0.88, 1.12)
    down = across * tf.random.uniform((count,), 0.94, 1.06)
    mirror = tf.where(tf.random.uniform((count,)) < 0.5, -1.0, 1.0)
    a, b = across * tf.cos(angle) * mirror, -down * tf.sin(angle)
    d, e = across * tf.sin(angle) * mirror, down * tf.cos(angle)
    centre = size / 2
    shift_x = tf.random.uniform((count,), -0.07, 0.07) * size
    shift_y = tf.random.uniform((count,), -0.07, 0.07) * size
    c = centre - (a + b) * centre + shift_x
    f = centre - (d + e) * centre + shift_y
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def _resharpen(images: tf.Tensor) -> tf.Tensor:
    """From clearly blurred (-1) to clearly sharpened (+1.5), by the distance to a blurred copy."""
    line = tf.constant([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    kernel = tf.reshape(tf.tensordot(line, line, 0), (5, 5, 1, 1))
    blurred = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
    return blurred + (images - blurred) * (1.0 + _each(images, -1.0, 1.5))


def _reexpose(images: tf.Tensor) -> tf.Tensor:
    """Gamma .6 to 1.6 and contrast around the mid grey."""
    unit = tf.clip_by_value(images / 255.0, 1e-4, 1.0)
    unit = unit ** tf.exp(_each(images, -0.5, 0.5))
    return ((unit - 0.5) * _each(images, 0.7, 1.3) + 0.5) * 255.0


def _hide(images: tf.Tensor) -> tf.Tensor:
    """A grey rectangle over up to 30 % of the side of half of the images: text, tubes, markers."""
    size = tf.shape(images)[1]
    line = tf.linspace(0.0, 1.0, size)
    centre_x, centre_y = _each(images, 0.0, 1.0), _each(images, 0.0, 1.0)
    half_x, half_y = _each(images, 0.02, 0.15), _each(images, 0.02, 0.15)
    inside = (tf.abs(line[None, None, :, None] - centre_x) < half_x) & (
        tf.abs(line[None, :, None, None] - centre_y) < half_y
    )
    inside &= _each(images, 0.0, 1.0) < 0.5
    return tf.where(inside, _each(images, 0.0, 255.0), images)
