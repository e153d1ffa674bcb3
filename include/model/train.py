"""Train the model: ``python include/model/train.py DIR`` (or ``make train DATA=DIR``).

DIR has the folders NORMAL/ and PNEUMONIA/. Some patients are held out; the others are split into
folds. For each fold, a network learns from all other folds and is evaluated on this one: the
cross-validation. All networks together are the shipped model, which is evaluated on the held-out
patients. After the calibration and the fit of the gate, the files ``xray.keras``, ``xray.tflite``,
``model.json`` and ``curves.png`` are written beside this module, or to ``--out``.

An interrupted training continues from the checkpoints in ``--work``. It also continues after the
number of epochs in the configuration was increased.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from include.model import gate, serving
from include.model.calibrate import cross_fitted
from include.model.convert import convert
from include.model.data import Example, blind, examples, folds, held_out, load_images
from include.model.learn import Examples, augmented_images, curve, learn, logits
from include.model.pictures import curves
from include.model.steady import steady
from xray.risk.figures import auc_figure, calibration, fit_scale, rates

HERE = Path(__file__).resolve().parent

MAX_COMPARED = 200
"""The most images for the comparison of the Keras and the LiteRT model."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _options(arguments)
    config = tomllib.loads(options.config.read_text())
    # Makes random numbers and parallel sums reproducible.
    tf.config.experimental.enable_op_determinism()
    everything = examples(options.directory)
    share = config["held_out"]
    held = [e for e in everything if held_out(e.patient, share=share)]
    chosen = [e for e in everything if not held_out(e.patient, share=share)]
    print(f"{len(chosen)} images to learn from, {len(held)} of other patients held out")
    _claim(options.work, config, everything)
    training, validation = _load(chosen, config["size"]), _load(held, config["size"])
    count, parts = config["members"]["count"], config["members"]["folds"]
    fold = blind(folds([e.patient for e in chosen], parts), count, parts)
    members = train(training, validation, fold, config, options)
    if options.member is not None:
        return 0
    for member in members:
        round_weights(member)
    figures, scale = cross_validate(members, training, fold, seed=config["seed"])
    model, checks = assemble_model(members, scale, training, fold, config["gate"])
    risks = _predict(model, validation.images)[0][:, 0]
    figures["held_out"] = {
        "patients": len({e.patient for e in held}),
        **summary(validation.classes, risks),
    }
    for name in ("cross_validation", "held_out"):
        _print(name, figures[name])
    if figures["held_out"]["auc"]["value"] < config["min_auc"]:
        print(
            f"The AUC on the held-out patients is below {config['min_auc']}: nothing was written. "
            "Train for more epochs, or check the data.",
            file=sys.stderr,
        )
        return 1
    write_model(model, checks, validation, figures, options)
    found = {member.name: curve(options.work / member.name) for member in members}
    curves(found, options.out / "curves.png")
    return 0


def train(
    training: Examples,
    validation: Examples,
    fold: np.ndarray,
    config: dict[str, Any],
    options: argparse.Namespace,
) -> list[keras.Model]:
    """Train the members, or only the one that ``--member`` names."""
    chosen = range(config["members"]["count"]) if options.member is None else [options.member]
    members = []
    for k in chosen:
        seen, seed = training[fold != k], config["seed"] + k
        folder, epochs = options.work / f"member-{k}", config["members"]["epochs"]
        member = learn(seen, validation, config, epochs=epochs, seed=seed, folder=folder)
        steady(member, seen, config, seed=seed + 100, folder=folder)
        members.append(member)
    return members


def round_weights(member: keras.Model) -> None:
    """Round each weight to nine significant bits, which halves the compressed ``xray.keras``."""
    for weight in member.weights:
        bits = weight.numpy().astype(np.float32).view(np.uint32)
        weight.assign(((bits + 0x4000) & np.uint32(0xFFFF8000)).view(np.float32))


def cross_validate(
    members: list[keras.Model], training: Examples, fold: np.ndarray, *, seed: int
) -> tuple[dict[str, Any], float]:
    """Return the figures of the members on the folds that they have not seen, and the scale.

    The scale is fitted to augmented images. On original images, which are of the same hospital as
    the training images, a network is more confident than it may be on images from elsewhere.
    """
    training, fold = training[fold >= 0], fold[fold >= 0]
    unseen, augmented = np.empty(len(training)), np.empty(len(training))
    for k, member in enumerate(members):
        images = training.images[fold == k]
        unseen[fold == k] = logits(member, images)
        augmented[fold == k] = logits(member, augmented_images(images, seed=seed))
    calibrated = cross_fitted(unseen, training.classes, fold, fitted_on=augmented)
    figures = {
        "folds": [
            summary(training.classes[fold == k], calibrated[fold == k]) for k in range(len(members))
        ],
        "cross_validation": summary(training.classes, calibrated),
    }
    return figures, fit_scale(augmented, training.classes)


def assemble_model(
    members: list[keras.Model],
    scale: float,
    training: Examples,
    fold: np.ndarray,
    options: dict[str, Any],
) -> tuple[keras.Model, list[dict[str, Any]]]:
    """Return the members with calibration and gate as one model, and the checks of the gate."""
    components, refused, member = options["components"], options["refused"], options["member"]
    model = serving.assemble(members, components, gate=member)
    serving.set_weights(model.get_layer("calibrate"), scale=scale)
    inputs = serving.gate_inputs(model)
    # A slightly tilted chest must also pass the gate.
    variants = [training.images, *(gate.turned(training.images, by) for by in options["askew"])]
    outputs = [_predict(inputs, images) for images in variants]
    ways, deviations, features = (np.concatenate(part) for part in zip(*outputs, strict=True))
    fold, classes = np.tile(fold, len(variants)), np.tile(training.classes, len(variants))
    is_learned = fold != member
    known = gate.fit_features(features[is_learned], classes[is_learned])
    strange = gate.feature_distance(features[~is_learned], known)
    limits = dict.fromkeys(serving.REASONS, 0.0)  # No other orientation is likelier.
    picture = gate.picture_limit(ways[:, 0], fold, components=components, refused=refused)
    limits |= {
        "blank": -float(deviations.min()) / 2,  # Half of the smallest contrast in the data.
        "unlike a chest X-ray": picture,
        "unfamiliar": float(np.quantile(strange, 1 - refused)),
    }
    serving.set_weights(
        model.get_layer("strangeness"),
        limit=picture,
        **gate.fit_thumbnails(ways[:, 0], components),
        **known,
    )
    return model, [{"reason": r, "limit": round(limit, 4)} for r, limit in limits.items()]


def summary(classes: np.ndarray, risks: np.ndarray) -> dict[str, Any]:
    """Return the figures of a set of images, with their intervals."""
    return {
        "images": len(classes),
        "auc": auc_figure(classes, risks),
        "at_0.5": rates(classes, risks, 0.5),
        "calibration_error": calibration(classes, risks)["error"],
        "calibration_error_balanced": calibration(classes, risks, balanced=True)["error"],
    }


def write_model(
    model: keras.Model,
    checks: list[dict[str, Any]],
    samples: Examples,
    figures: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Write the files of the model, after the comparison of its two forms."""
    options.out.mkdir(parents=True, exist_ok=True)
    model.save(options.out / "xray.keras")
    deflate(options.out / "xray.keras")
    lite = convert(model, samples.images[:MAX_COMPARED].astype(np.float32))
    (options.out / "xray.tflite").write_bytes(lite.content)
    digest = hashlib.sha256(lite.content).hexdigest()
    config = options.config.read_text()
    card = {
        "name": "xray-resnet",
        "version": f"xray-resnet-{digest[:8]}",
        "sha256": digest,
        "input": {
            "size": model.input_shape[1],
            "channels": 1,
            "range": [0, 255],
            "resize": "lanczos",
        },
        "output": "risk of pneumonia, 0 to 1, where as many are sick as are healthy",
        "outputs": lite.outputs,
        "gate": checks,
        "parameters": model.count_params(),
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "validation": figures,
        "data": "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest "
        "X-Ray Images for Classification, Mendeley Data; the training split",
        "data_license": "CC-BY-4.0",
    }
    (options.out / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {card['version']}: {len(lite.content)} bytes, {card['parameters']} parameters")


def deflate(path: Path) -> None:
    """Compress a .keras archive: Keras writes it uncompressed, and reads both."""
    with zipfile.ZipFile(path) as archive:
        parts = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts:
            archive.writestr(name, content)


def _predict(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    found: list[np.ndarray] = model.predict(images.astype(np.float32), batch_size=32, verbose=0)
    return found


def _load(chosen: list[Example], size: int) -> Examples:
    images, classes = load_images(chosen, size)
    return Examples(images, classes)


def _claim(work: Path, config: dict[str, Any], everything: list[Example]) -> None:
    """Mark the folder ``work`` as belonging to this training.

    Raises:
        SystemExit: the folder belongs to a training of another configuration or other images.
    """
    names = ",".join(example.path.name for example in everything)
    learned = {k: v for k, v in config.items() if k not in ("gate", "min_auc", "steady")}
    learned["members"] = config["members"]["count"]  # Epochs may be added.
    mine = {"config": learned, "images": hashlib.sha256(names.encode()).hexdigest()}
    mark = work / "training.json"
    if mark.exists() and json.loads(mark.read_text()) != mine:
        raise SystemExit(
            f"{work} belongs to a training of another configuration or other images: remove the "
            "folder, or name another one with --work."
        )
    work.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(mine, indent=2) + "\n")


def _print(name: str, found: dict[str, Any]) -> None:
    cells = [
        f"{key} {found['at_0.5'][key]['value']} {found['at_0.5'][key]['interval']}"
        for key in ("accuracy", "sensitivity", "specificity")
    ]
    area = found["auc"]
    print(
        f"{name}: {found['images']} images, AUC {area['value']} {area['interval']}, "
        f"calibration error {found['calibration_error']}, with the same weight for both classes "
        f"{found['calibration_error_balanced']}; at .5 {', '.join(cells)}"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="a folder with NORMAL/ and PNEUMONIA/")
    parser.add_argument("--config", type=Path, default=HERE / "config.toml")
    parser.add_argument(
        "--work", type=Path, default=Path("out/training"), help="the folder of the checkpoints"
    )
    parser.add_argument(
        "--member", type=int, help="train only this member; several can run at once"
    )
    parser.add_argument(
        "--out", type=Path, default=HERE, help="the folder for the files of the model"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
