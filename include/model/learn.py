"""The training of one network, which can be interrupted at any time and continued later."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from include.model.augmentation import augment
from include.model.network import LocalContrast, build
from xray.risk.figures import class_weights

SETTLING = 1024
"""Images for the final statistics of the batch normalisation."""
ORIGINALS = 0.67
"""Share of these images that are not augmented."""


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


class PairedModel(keras.Model):
    """A network that is trained on batches which hold each image twice, augmented in two ways.

    The second half of a batch holds the images of the first half. The squared difference between
    the two logits of an image is a part of the loss, so that the network learns to ignore what
    :func:`augmentation.augment` changes.
    """

    agreement = 0.0
    """The weight of that part of the loss."""

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of a batch."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            one, other = ops.split(y_pred[:, 0], 2)
            weight = ops.split(ops.reshape(sample_weight, (-1,)), 2)[0]
            loss += self.agreement * ops.mean(weight * ops.square(one - other))
        return loss


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
    model = with_input_layer(core, PairedModel)
    model.agreement = options["agreement"]
    fit(
        model,
        _optimizer(options, steps),
        _batches(training, options["batch"], seed),
        smoothing=options["smoothing"],
        backup=folder / "backup",
        callbacks=[keras.callbacks.CSVLogger(str(folder / "curve.csv"), append=True)],
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=_plain(validation),
    )
    _settle(core, training.images)
    core.save_weights(final)
    return core


def fit(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    batches: tf.data.Dataset,
    *,
    smoothing: float,
    backup: Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options: Any,
) -> None:
    """Fit a network to classes; an interrupted fit continues from its backup.

    Args:
        model: the network.
        optimizer: changes its weights.
        batches: of images, targets and weights.
        smoothing: of the labels.
        backup: the folder of the checkpoints.
        callbacks: are called as well.
        options: further arguments of :meth:`keras.Model.fit`.
    """
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing),
        jit_compile=False,
    )
    checkpoints = keras.callbacks.BackupAndRestore(
        str(backup), double_checkpoint=True, delete_checkpoint=False
    )
    model.fit(batches, callbacks=[*callbacks, checkpoints], verbose="auto", **options)


def shuffled(
    arrays: Sequence[np.ndarray], views: Callable[..., Any], batch: int, seed: int
) -> tf.data.Dataset:
    """Return endless batches of rows of ``arrays``, each changed by ``views``.

    Batches are made one after the other, so that a seed gives the same numbers on every machine.
    """
    return (
        tf.data.Dataset.from_tensor_slices(tuple(arrays))
        .shuffle(len(arrays[0]), seed=seed)
        .repeat()
        .batch(batch)
        .map(views, num_parallel_calls=1)
        .prefetch(2)
    )


def logits(core: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the logits of uint8 ``images``, shape (n,), each with its mirror image averaged."""
    model = with_input_layer(core)
    means = np.zeros(len(images))
    for start in range(0, len(images), 64):
        batch = images[start : start + 64].astype(np.float32)
        for seen in (batch, batch[:, :, ::-1]):
            means[start : start + 64] += model.predict_on_batch(seen)[:, 0] / 2
    return means


def augmented_images(images: np.ndarray, *, seed: int) -> np.ndarray:
    """Return uint8 ``images`` augmented as in training."""
    keras.utils.set_random_seed(seed)
    parts = np.array_split(images, max(1, len(images) // 64))
    augmented = [augment(tf.cast(part, tf.float32)).numpy() for part in parts]
    return np.rint(np.concatenate(augmented)).astype(np.uint8)


def curve(folder: Path) -> dict[str, list[float]]:
    """Return the learning curve of :func:`learn`: ``loss`` and ``val_loss``, one value an epoch."""
    with (folder / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in ("loss", "val_loss")}


def with_input_layer(core: keras.Model, kind: type[keras.Model] = keras.Model) -> keras.Model:
    """Return a model from images in 0 to 255 to the logit of a network of :func:`network.build`."""
    images = keras.Input(core.input_shape[1:], name="image")
    return kind(images, core(LocalContrast()(images))[0])


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

    They belong to the weights before averaging, and to augmented images, which differ a little
    from the original images that are most of the images here.
    """
    normalisations = [
        layer for layer in core.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    chosen = np.random.default_rng(0).permutation(len(images))[:SETTLING]
    normalised = LocalContrast()
    pass_through = tf.function(lambda batch: core(normalised(batch), training=True))
    for count, batch in enumerate(np.array_split(chosen, max(1, len(chosen) // 64))):
        for layer in normalisations:
            layer.momentum = count / (count + 1)  # the mean of all batches so far
        plain = round(ORIGINALS * len(batch))
        seen = [images[batch[:plain]], augmented_images(images[batch[plain:]], seed=count)]
        pass_through.python_function(tf.cast(np.concatenate(seen), tf.float32))


def _batches(examples: Examples, batch: int, seed: int) -> tf.data.Dataset:
    def augmented(x: tf.Tensor, y: tf.Tensor, w: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return augment(tf.cast(tf.tile(x, (2, 1, 1, 1)), tf.float32)), *(
            tf.concat([part, part], axis=0) for part in (y, w)
        )

    arrays = (examples.images, examples.classes.astype(np.float32)[:, None], examples.weights())
    return shuffled(arrays, augmented, batch, seed)


def _plain(examples: Examples) -> tf.data.Dataset:
    arrays = (examples.images, examples.classes.astype(np.float32)[:, None], examples.weights())
    return (
        tf.data.Dataset.from_tensor_slices(arrays)
        .batch(64)
        .map(lambda x, y, w: (tf.cast(x, tf.float32), y, w))
    )
