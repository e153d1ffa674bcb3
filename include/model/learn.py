"""The training of one network, which can be interrupted at any time and continued later."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from include.model.augmentation import augment
from include.model.network import build
from xray.risk.figures import class_weights

SETTLING = 1024
"""Images for the final statistics of the batch normalisation."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Images (n, size, size, 1) in uint8, and their classes (n,), 0 or 1."""

    images: np.ndarray
    classes: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Examples:
        return Examples(self.images[chosen], self.classes[chosen])

    def __len__(self) -> int:
        return len(self.images)

    def weights(self) -> np.ndarray:
        """Return weights with the same sum for both classes.

        With them, a score is the probability of pneumonia where both classes are equally common.
        """
        return class_weights(self.classes).astype(np.float32)


def learn(
    training: Examples,
    validation: Examples,
    config: dict[str, Any],
    *,
    epochs: int,
    seed: int,
    folder: Path,
) -> keras.Model:
    """Train a network of :func:`network.build`; its weights are averaged over many steps.

    Args:
        training: the images to learn from.
        validation: images of other patients, used for the learning curve only.
        config: the contents of config.toml.
        epochs: passes over the images.
        seed: for the initial weights, the order of the images and the augmentation.
        folder: where the checkpoints, the final weights and the learning curve are.
    """
    keras.utils.set_random_seed(seed)
    core = build(config["size"], **config["network"], name=folder.name)
    final = folder / f"learned-{epochs}.weights.h5"
    if final.exists():
        core.load_weights(final)
        print(f"{folder.name}: already trained")
        return core
    folder.mkdir(parents=True, exist_ok=True)
    options = config["optimizer"]
    steps = max(1, len(training) // options["batch"])
    model = keras.Model(core.input, core.outputs[0])
    model.compile(
        optimizer=_optimizer(options, steps),
        loss=keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=options["smoothing"]
        ),
        jit_compile=False,
    )
    model.fit(
        _batches(training, options["batch"], seed),
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=_plain(validation),
        callbacks=[
            keras.callbacks.CSVLogger(str(folder / "curve.csv"), append=True),
            keras.callbacks.BackupAndRestore(
                str(folder / "backup"), double_checkpoint=True, delete_checkpoint=False
            ),
        ],
        verbose="auto",
    )
    _settle(core, training.images)
    core.save_weights(final)
    return core


def logits(core: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the logits of uint8 ``images``, shape (n,), each with its mirror image averaged."""
    model = keras.Model(core.input, core.outputs[0])
    means = np.zeros(len(images))
    for start in range(0, len(images), 64):
        batch = images[start : start + 64].astype(np.float32)
        for seen in (batch, batch[:, :, ::-1]):
            means[start : start + 64] += model.predict_on_batch(seen)[:, 0] / 2
    return means


def curve(folder: Path) -> dict[str, list[float]]:
    """Return the learning curve of :func:`learn`: ``loss`` and ``val_loss``, one value an epoch."""
    with (folder / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in ("loss", "val_loss")}


def _optimizer(options: dict[str, Any], steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer. Its rate does not depend on the number of epochs: more can be added."""
    rate = keras.optimizers.schedules.PolynomialDecay(
        options["rate"] / 20, steps, end_learning_rate=options["rate"]
    )
    return keras.optimizers.AdamW(
        rate, weight_decay=options["weight_decay"], use_ema=True, ema_momentum=options["ema"]
    )


def _settle(core: keras.Model, images: np.ndarray) -> None:
    """Compute the statistics of the batch normalisation again.

    They belong to the weights before averaging, and to augmented images, which differ a little.
    """
    normalisations = [
        layer for layer in core.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    chosen = np.random.default_rng(0).permutation(len(images))[:SETTLING]
    pass_through = tf.function(lambda batch: core(batch, training=True))
    for count, batch in enumerate(np.array_split(chosen, max(1, len(chosen) // 64))):
        for layer in normalisations:
            layer.momentum = count / (count + 1)  # the mean of all batches so far
        pass_through.python_function(tf.cast(images[batch], tf.float32))


def _batches(examples: Examples, batch: int, seed: int) -> tf.data.Dataset:
    def augmented(x: tf.Tensor, y: tf.Tensor, w: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return augment(tf.cast(x, tf.float32)), y, w

    arrays = (examples.images, examples.classes.astype(np.float32)[:, None], examples.weights())
    # Batches are made one after the other, so that a seed gives the same numbers on every machine.
    return (
        tf.data.Dataset.from_tensor_slices(arrays)
        .shuffle(len(examples), seed=seed)
        .repeat()
        .batch(batch)
        .map(augmented, num_parallel_calls=1)
        .prefetch(2)
    )


def _plain(examples: Examples) -> tf.data.Dataset:
    arrays = (examples.images, examples.classes.astype(np.float32)[:, None], examples.weights())
    return (
        tf.data.Dataset.from_tensor_slices(arrays)
        .batch(64)
        .map(lambda x, y, w: (tf.cast(x, tf.float32), y, w))
    )
