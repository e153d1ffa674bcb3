"""The last epochs of a network, which make it steadier under other framing.

The network of :func:`include.model.learn.learn` is its own teacher: on an image of which a part is
cut off, or which has patches as redaction leaves them, its logit should become what it was on the
whole image. These images are not augmented otherwise. They are a half of each batch; the other half
is augmented, and keeps what was learned. The differences are small, so nothing random is left
inside the network: no channel is dropped, and the batch normalisation keeps its statistics.

The weights that are kept lie between those before and those after these epochs. This keeps more of
the accuracy on images from elsewhere (Wortsman et al., *Robust fine-tuning of zero-shot models*,
CVPR 2022).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from include.model.augmentation import augment, cut, mirrored
from include.model.learn import Examples, fit, logits, shuffled, with_input_layer
from include.model.network import build
from include.model.patches import patched

CUT = 0.5
"""Share of the images of which a part is cut off."""
PATCHED = 0.4
"""Share of the images with patches. The rest is only mirrored."""
SMALL = 0.05
"""A small difference between two logits."""


class SteadyModel(keras.Model):
    """A network whose batches hold each image twice: once augmented, once cut or with patches.

    The targets of the first half are the classes, those of the second the teacher's logits.
    """

    steadiness = 0.0
    """The weight of the difference between the logits of the second half. All but the
    :data:`SMALL` ones count in proportion: by their squares, those of the cut images would hide
    those of the patches."""

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of a batch."""
        classes, wanted = ops.split(y, 2)
        one, other = ops.split(y_pred, 2)
        weight = ops.split(ops.reshape(sample_weight, (-1, 1)), 2)[0]
        loss = super().compute_loss(x, classes, one, weight, training)
        apart = ops.sqrt(SMALL**2 + ops.square(other - wanted)) - SMALL
        return loss + self.steadiness * ops.mean(weight * apart)


def steady(
    core: keras.Model, training: Examples, config: dict[str, Any], *, seed: int, folder: Path
) -> None:
    """Train a network of :func:`include.model.learn.learn` for the last epochs.

    Args:
        core: the network.
        training: the images that it has learned from.
        config: the contents of config.toml.
        seed: for the order of the images, the patches and the augmentation.
        folder: where the checkpoints and the final weights are.
    """
    options = config["steady"]
    name = _name(config)
    final = folder / f"{name}.weights.h5"
    if final.exists():
        core.load_weights(final)
        print(f"{folder.name}: already steady")
        return
    keras.utils.set_random_seed(seed)
    batch = config["optimizer"]["batch"]
    steps = max(1, len(training) // batch)
    calm = build(config["size"], config["network"]["widths"], dropout=0.0, name=folder.name)
    calm.set_weights(core.get_weights())
    for layer in calm.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    model = with_input_layer(calm, SteadyModel)
    model.steadiness = options["weight"]
    fit(
        model,
        _optimizer(options, config["optimizer"]["weight_decay"], steps),
        _batches(training, logits(core, training.images), batch, seed),
        smoothing=config["optimizer"]["smoothing"],
        backup=folder / name,
        steps_per_epoch=steps,
        epochs=options["epochs"],
    )
    share, before, after = options["share"], core.get_weights(), calm.get_weights()
    core.set_weights([a + share * (b - a) for a, b in zip(before, after, strict=True)])
    core.save_weights(final)


def _name(config: dict[str, Any]) -> str:
    """Return a name for the weights, which other options do not have."""
    options = {"learned": config["members"]["epochs"], **config["steady"]}
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
    return f"steady-{digest[:8]}"


def _optimizer(
    options: dict[str, Any], weight_decay: float, steps: int
) -> keras.optimizers.Optimizer:
    """Return the optimizer: its rate rises during a fifth of an epoch, and falls to the end."""
    rate = keras.optimizers.schedules.CosineDecay(
        options["rate"] / 20,
        steps * options["epochs"],
        alpha=0.02,
        warmup_target=options["rate"],
        warmup_steps=steps // 5,
    )
    return keras.optimizers.AdamW(
        rate, weight_decay=weight_decay, use_ema=True, ema_momentum=options["ema"]
    )


def _batches(training: Examples, wanted: np.ndarray, batch: int, seed: int) -> tf.data.Dataset:
    def views(
        x: tf.Tensor, others: tf.Tensor, y: tf.Tensor, logit: tf.Tensor, w: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        x, others = tf.cast(x, tf.float32), tf.cast(others, tf.float32)
        chance = tf.random.uniform((tf.shape(x)[0], 1, 1, 1))
        shown = tf.where(chance < CUT, cut(x), mirrored(x))
        shown = tf.where(chance > 1 - PATCHED, mirrored(others), shown)
        both = tf.concat([augment(x), shown], 0)
        return both, tf.concat([y, logit], 0), tf.concat([w, w], 0)

    arrays = (
        training.images,
        patched(training.images, seed=seed),
        training.classes.astype(np.float32)[:, None],
        wanted.astype(np.float32)[:, None],
        training.weights(),
    )
    return shuffled(arrays, views, batch, seed)
