"""Train the model: ``python include/model/train.py DIR`` (or ``make train DATA=DIR``).

DIR holds NORMAL/ and PNEUMONIA/. Writes ``xray.keras``, ``xray.tflite`` and
``model.json`` beside this file (or to ``--out``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "plugins")]

from convert import convert  # noqa: E402
from data import examples, held_out, load  # noqa: E402
from evaluate import auc, rates  # noqa: E402
from network import augment, build  # noqa: E402

MIN_AUC = 0.97
"""A model below this on the validation patients is not written."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _options(arguments)
    keras.utils.set_random_seed(options.seed)
    everything = examples(options.directory)
    validation = [e for e in everything if held_out(e.patient, share=options.validation)]
    training = [e for e in everything if not held_out(e.patient, share=options.validation)]
    print(f"{len(training)} images to train on, {len(validation)} of other patients to check with")
    images, targets = load(training, options.size)
    model = train(images, targets, load(validation, options.size), options)
    held_images, held_targets = load(validation, options.size)
    risks = model.predict(held_images.astype(np.float32), batch_size=64, verbose=0)[:, 0]
    area = auc(held_targets[:, 0], risks)
    print(f"validation AUC {area:.4f}")
    if area < options.min_auc:
        print(
            f"The AUC is below {options.min_auc}: nothing was written. Train longer or look at "
            "the data.",
            file=sys.stderr,
        )
        return 1
    figures = {
        "patients": len({e.patient for e in validation}),
        "images": len(validation),
        "auc": round(area, 4),
        "at_0.5": rates(held_targets[:, 0], risks, 0.5),
    }
    write(model, held_images[:256].astype(np.float32), figures, options)
    return 0


def train(
    images: np.ndarray,
    targets: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    options: argparse.Namespace,
) -> keras.Model:
    """A trained network, its weights averaged over the last steps (EMA)."""
    steps = max(1, len(images) // options.batch)
    model = build(options.size)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                1e-4,
                max(1, steps * (options.epochs - 1)),
                warmup_target=2e-3,
                warmup_steps=steps,
            ),
            weight_decay=0.02,
            use_ema=True,
            ema_momentum=0.995,
        ),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=0.05),
        metrics=[keras.metrics.AUC(name="auc")],
        jit_compile=False,
    )
    batches = (
        tf.data.Dataset.from_tensor_slices((images, targets))
        .shuffle(len(images), seed=options.seed)
        .repeat()
        .batch(options.batch)
        .map(
            lambda x, y: (augment(tf.cast(x, tf.float32)), y),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(2)
    )
    sick = float(targets.mean())
    model.fit(
        batches,
        steps_per_epoch=steps,
        epochs=options.epochs,
        validation_data=(validation[0].astype(np.float32), validation[1]),
        class_weight={0: 0.5 / (1 - sick), 1: 0.5 / sick},
        callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
        verbose=2,
    )
    return model


def write(
    model: keras.Model, samples: np.ndarray, figures: dict[str, object], options: argparse.Namespace
) -> None:
    """The model's three files, once the converted one gives the same scores."""
    options.out.mkdir(parents=True, exist_ok=True)
    bare = build(options.size)  # Without the optimizer's state, which is three times the weights.
    bare.set_weights(model.get_weights())
    bare.save(options.out / "xray.keras")
    deflate(options.out / "xray.keras")
    lite = convert(bare, samples)
    (options.out / "xray.tflite").write_bytes(lite)
    digest = hashlib.sha256(lite).hexdigest()
    card = {
        "name": "xray-resnet",
        "version": f"xray-resnet-{digest[:8]}",
        "sha256": digest,
        "input": {"size": options.size, "channels": 1, "range": [0, 255], "resize": "lanczos"},
        "output": "risk of pneumonia, 0 to 1",
        "parameters": model.count_params(),
        "seed": options.seed,
        "epochs": options.epochs,
        "validation": figures,
        "data": "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest "
        "X-Ray Images for Classification, Mendeley Data; the training split",
        "data_license": "CC-BY-4.0",
    }
    (options.out / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {card['version']}: {len(lite)} bytes, {card['parameters']} parameters")


def deflate(path: Path) -> None:
    """Compress a .keras archive, which Keras stores as it is and reads either way."""
    with zipfile.ZipFile(path) as archive:
        parts = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts:
            archive.writestr(name, content)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="a folder with NORMAL/ and PNEUMONIA/")
    parser.add_argument("--out", type=Path, default=HERE, help="where the model's files go")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", type=int, default=160, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--validation", type=float, default=0.12, help="share of the patients")
    parser.add_argument("--min-auc", type=float, default=MIN_AUC, help="write no worse model")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
