"""Random changes of the training images.

Every function takes and returns a batch of grey images, float32 in 0 to 255, shape
(n, size, size, 1).
"""

from __future__ import annotations

import math

import tensorflow as tf

STRETCH = 1.75
"""Largest factor by which the ratio of width to height changes, at a constant area. Every image is
squeezed into a square, and in this data set the classes differ in shape."""
UNTOUCHED = 0.1
"""Share of the images that are at most mirrored."""
MOST_CUT = 0.3
"""The largest part of the width or of the height that is cut off."""


def augment(images: tf.Tensor) -> tf.Tensor:
    """Move each image, and randomly change its sharpness, light, exposure, noise and visible parts.

    Blurring and sharpening matter most: in this data set, sharpness alone nearly separates the
    classes, and the network would learn that instead. Each change leaves many images as they are,
    and the share :data:`UNTOUCHED` of the images is at most mirrored. If every image were changed,
    an original image would look unusually clean to the network, and so healthy.
    """
    originals = mirrored(images)
    changed = _move(images)
    for change, share in ((_resharpen, 0.7), (_relight, 0.5), (_reexpose, 0.6), (_roughen, 0.4)):
        changed = tf.where(_some(images, share), change(changed), changed)
    changed = tf.clip_by_value(_write(_hide(changed)), 0.0, 255.0)
    return tf.where(_some(images, 1 - UNTOUCHED), changed, originals)


def _each(images: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Return one random number per image, in a shape that multiplies the batch."""
    return tf.random.uniform((tf.shape(images)[0], 1, 1, 1), low, high)


def _some(images: tf.Tensor, share: float) -> tf.Tensor:
    """Return True for about a ``share`` of the images."""
    return _each(images, 0.0, 1.0) < share


def _move(images: tf.Tensor) -> tf.Tensor:
    """Turn up to 12 degrees, crop to 76 % or widen to 114 %, stretch, mirror half."""
    count, size = tf.shape(images)[0], tf.cast(tf.shape(images)[1], tf.float32)
    angle = tf.random.uniform((count,), -0.21, 0.21)
    zoom = tf.random.uniform((count,), 0.76, 1.14)
    most = math.log(STRETCH) / 2
    aspect = tf.exp(tf.random.uniform((count,), -most, most))
    across, down = zoom * aspect, zoom / aspect
    mirror = tf.where(tf.random.uniform((count,)) < 0.5, -1.0, 1.0)
    a, b = across * tf.cos(angle) * mirror, -down * tf.sin(angle)
    d, e = across * tf.sin(angle) * mirror, down * tf.cos(angle)
    centre = size / 2
    shift_x = tf.random.uniform((count,), -0.08, 0.08) * size
    shift_y = tf.random.uniform((count,), -0.08, 0.08) * size
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


def _blurred(images: tf.Tensor) -> tf.Tensor:
    """Blur by a binomial filter with a standard deviation of one pixel."""
    line = tf.constant([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    across, down = tf.reshape(line, (1, 5, 1, 1)), tf.reshape(line, (5, 1, 1, 1))
    once = tf.nn.conv2d(images, across, strides=1, padding="SAME")
    return tf.nn.conv2d(once, down, strides=1, padding="SAME")


def _resharpen(images: tf.Tensor) -> tf.Tensor:
    """Blur (down to -1) or sharpen (up to +1.5); halve the resolution of a fifth of the images."""
    blurred = _blurred(images)
    sharper = blurred + (images - blurred) * (1.0 + _each(images, -1.0, 1.5))
    side = tf.shape(images)[1]
    low = tf.image.resize(tf.nn.avg_pool2d(images, 2, 2, "SAME"), (side, side))
    return tf.where(_some(images, 0.2), low, sharper)


def _relight(images: tf.Tensor) -> tf.Tensor:
    """Brighten some regions and darken others, and strengthen or weaken the coarse shades."""
    count, side = tf.shape(images)[0], tf.shape(images)[1]
    field = tf.image.resize(tf.random.normal((count, 3, 3, 1)), (side, side))
    images = images * tf.exp(field * _each(images, 0.0, 0.3))
    coarse = tf.image.resize(tf.nn.avg_pool2d(images, 16, 16, "SAME"), (side, side))
    level = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return images - (coarse - level) * _each(images, -0.3, 0.6)


def _reexpose(images: tf.Tensor) -> tf.Tensor:
    """Change the gamma (.6 to 1.6), the contrast around mid grey, and the brightness."""
    unit = tf.clip_by_value(images / 255.0, 1e-4, 1.0)
    unit = unit ** tf.exp(_each(images, -0.5, 0.5))
    unit = (unit - 0.5) * _each(images, 0.6, 1.4) + 0.5 + _each(images, -0.12, 0.12)
    return tf.clip_by_value(unit, 0.0, 1.0) * 255.0


def _roughen(images: tf.Tensor) -> tf.Tensor:
    """Add noise with a standard deviation of at most eight grey levels."""
    return images + tf.random.normal(tf.shape(images)) * _each(images, 0.0, 8.0)


def _inside(images: tf.Tensor, half_x: tf.Tensor, half_y: tf.Tensor) -> tf.Tensor:
    """Return the mask of a rectangle at a random place; half its sides are given (image: 1)."""
    line = tf.linspace(0.0, 1.0, tf.shape(images)[1])
    beside = tf.abs(line[None, None, :, None] - _each(images, 0.0, 1.0)) < half_x
    below = tf.abs(line[None, :, None, None] - _each(images, 0.0, 1.0)) < half_y
    return beside & below


def _hide(images: tf.Tensor) -> tf.Tensor:
    """Cover parts of many images: by coarse shades, as redaction does, by grey, and by black."""
    side = tf.shape(images)[1]
    coarse = tf.image.resize(tf.nn.avg_pool2d(images, 16, 16, "SAME"), (side, side))
    for share, shade, longest in (
        (0.5, coarse, 0.3),
        (0.5, _each(images, 0.0, 255.0), 0.15),
        (0.2, 0.0, 0.15),
    ):
        box = _inside(images, _each(images, 0.02, longest), _each(images, 0.02, 0.12))
        images = tf.where(box & _some(images, share), shade, images)
    return images


def _write(images: tf.Tensor) -> tf.Tensor:
    """Draw a line of noise that resembles small text, on a third of the images."""
    count, side = tf.shape(images)[0], tf.shape(images)[1]
    ink = tf.random.uniform((count, side // 2, side // 2, 1)) < 0.5
    ink = tf.image.resize(tf.cast(ink, tf.float32), (side, side), method="nearest") > 0.5
    line = _inside(images, _each(images, 0.02, 0.3), _each(images, 0.008, 0.03))
    return tf.where(line & ink & _some(images, 0.33), _each(images, 120.0, 255.0), images)


def mirrored(images: tf.Tensor) -> tf.Tensor:
    """Mirror a half of the images."""
    return tf.where(_some(images, 0.5), images, tf.reverse(images, [2]))


def cut(images: tf.Tensor) -> tf.Tensor:
    """Mirror a half of the images, and cut off a part of the width or of the height of each.

    What is left is resized to the shape of the whole.
    """
    count, shape = tf.shape(images)[0], tf.shape(images)[1:3]
    off = tf.random.uniform((count,), 0.0, MOST_CUT)
    before = tf.random.uniform((count,))
    is_wide = tf.random.uniform((count,)) < 0.5
    across, down = tf.where(is_wide, off, 0.0), tf.where(is_wide, 0.0, off)
    top, left = down * before, across * before
    boxes = tf.stack([top, left, top + 1 - down, left + 1 - across], axis=1)
    return tf.image.crop_and_resize(mirrored(images), boxes, tf.range(count), shape)
