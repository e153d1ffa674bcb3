"""Score a folder of labelled images with the shipped model, as the pipeline does.

``python include/model/evaluate.py DIR [--json FILE] [--pictures DIR]``; DIR has the folders NORMAL/
and PNEUMONIA/. TensorFlow is not needed. All intervals are 95 %: Wilson's for proportions, Hanley
and McNeil's (1982) for the AUC.

The figures cover all images: an image that the gate refuses counts with its risk, and the entry of
each file says whether it was refused.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from include.model.calibrate import class_weights
from include.model.data import CLASSES, HELD_OUT, Example, examples, held_out
from xray.errors import XrayError
from xray.image import decode
from xray.risk import RiskModel
from xray.settings import Label, Settings

HERE = Path(__file__).resolve().parent

THRESHOLDS = (0.5, 0.6, 0.8)
Z = 1.959964
BINS = 10
"""Number of bins of the calibration, all of the same width."""


def auc(targets: np.ndarray, risks: np.ndarray) -> float:
    """Return the probability that a sick image scores above a healthy one; ties count half."""
    sick, healthy = risks[targets == 1], risks[targets == 0]
    order = np.sort(healthy)
    below = np.searchsorted(order, sick, "left")
    ties = np.searchsorted(order, sick, "right") - below
    return float((below + ties / 2).sum() / (len(sick) * len(healthy)))


def auc_interval(area: float, sick: int, healthy: int) -> list[float]:
    """Return the 95 % interval of an AUC (Hanley and McNeil, Radiology 1982)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (sick - 1) * (one - area**2) + (healthy - 1) * (two - area**2)
    ) / (sick * healthy)
    reach = Z * math.sqrt(max(variance, 0.0))
    return [round(max(0.0, area - reach), 4), round(min(1.0, area + reach), 4)]


def proportion(hits: int, of: int) -> dict[str, Any]:
    """Return a proportion with Wilson's 95 % interval."""
    if not of:
        return {"value": None, "interval": None}
    p, z2 = hits / of, Z * Z
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    reach = Z / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    return {
        "value": round(p, 4),
        "interval": [round(max(0.0, centre - reach), 4), round(min(1.0, centre + reach), 4)],
    }


def rates(targets: np.ndarray, risks: np.ndarray, threshold: float) -> dict[str, Any]:
    """Return accuracy, sensitivity and specificity if a risk above ``threshold`` means sick."""
    said, sick = risks > threshold, targets == 1
    return {
        "accuracy": proportion(int((said == sick).sum()), len(sick)),
        "sensitivity": proportion(int((said & sick).sum()), int(sick.sum())),
        "specificity": proportion(int((~said & ~sick).sum()), int((~sick).sum())),
    }


def calibration(
    targets: np.ndarray, risks: np.ndarray, *, balanced: bool = False
) -> dict[str, Any]:
    """Return the expected calibration error, and the risk and the frequency in each bin.

    Args:
        targets: 0 or 1 for each image, shape (n,).
        risks: 0 to 1, shape (n,).
        balanced: whether both classes have the same weight, for which the risks of the shipped
            model are calibrated.
    """
    weights = np.ones(len(risks))
    if balanced and 0 < targets.sum() < len(targets):
        weights = class_weights(targets)
    places = np.minimum((risks * BINS).astype(int), BINS - 1)
    bins, apart = [], 0.0
    for place in np.unique(places):
        inside = places == place
        risk = np.average(risks[inside], weights=weights[inside])
        sick = np.average(targets[inside], weights=weights[inside])
        apart += weights[inside].sum() * abs(risk - sick)
        bins.append(
            {
                "images": int(inside.sum()),
                "risk": round(float(risk), 4),
                "sick": round(float(sick), 4),
            }
        )
    return {"error": round(float(apart / len(risks)), 4) if len(risks) else None, "bins": bins}


def count_labels(scored: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the number of images of each class with each label, under the default settings."""
    settings = Settings()
    counted = {name: {label.value: 0 for label in Label} for name in CLASSES}
    for row in scored:
        label = Label.UNSURE if row["refused"] else settings.label(row["risk"])
        counted[row["label"]][label.value] += 1
    return counted


def evaluate(directory: Path, model: RiskModel, *, held_out_only: bool = False) -> dict[str, Any]:
    """Return the report that ``--json`` writes."""
    chosen = examples(directory)
    if held_out_only:
        chosen = [e for e in chosen if held_out(e.patient, share=HELD_OUT)]
    scored, errors = _scores(directory, chosen, model)
    targets = np.array([float(row["label"] == "PNEUMONIA") for row in scored])
    risks = np.array([row["risk"] for row in scored])
    sick, healthy = int((targets == 1).sum()), int((targets == 0).sum())
    area = auc(targets, risks) if sick and healthy else None
    at = {str(threshold): rates(targets, risks, threshold) for threshold in THRESHOLDS}
    return {
        "model": model.version,
        "n": len(scored),
        "auc": {
            "value": None if area is None else round(area, 4),
            "interval": None if area is None else auc_interval(area, sick, healthy),
        },
        **at["0.5"],
        "thresholds": at,
        "calibration": calibration(targets, risks),
        "calibration_balanced": calibration(targets, risks, balanced=True),
        "refused": proportion(sum(row["refused"] is not None for row in scored), len(scored)),
        "labels": count_labels(scored),
        "scores": scored,
        "errors": errors,
    }


def _scores(
    directory: Path, chosen: list[Example], model: RiskModel
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    scored: list[dict[str, Any]] = []
    errors = []
    for index, example in enumerate(chosen, 1):
        name = str(example.path.relative_to(directory))
        try:
            prediction = model.predict(decode(example.path.read_bytes()).eight_bit())
            label, risk = CLASSES[example.target], round(prediction.risk, 6)
            row = {"file": name, "label": label, "risk": risk, "refused": prediction.refused}
            scored.append(row)
        except XrayError as error:
            errors.append({"file": name, "error": str(error)})
        if index % 500 == 0:
            print(f"{index} of {len(chosen)}", file=sys.stderr)
    return scored, errors


def _table(report: dict[str, Any]) -> str:
    area = report["auc"]
    lines = [f"{report['model']}: {report['n']} images, {len(report['errors'])} unreadable"]
    lines.append(f"AUC  {area['value']}  {area['interval']}")
    lines.append(f"{'above':>6} {'accuracy':>24} {'sensitivity':>24} {'specificity':>24}")
    for threshold, figures in report["thresholds"].items():
        cells = [f"{c['value']} {c['interval']}" for c in figures.values()]
        lines.append(f"{threshold:>6} " + " ".join(f"{cell:>24}" for cell in cells))
    errors = [report[name]["error"] for name in ("calibration", "calibration_balanced")]
    lines.append(
        f"expected calibration error {errors[0]}; with the same weight for both classes {errors[1]}"
    )
    lines.append(
        f"refused by the gate {report['refused']['value']} {report['refused']['interval']}"
    )
    for name, counted in report["labels"].items():
        lines.append(f"{name:>9}: " + ", ".join(f"{n} {label}" for label, n in counted.items()))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="a folder with NORMAL/ and PNEUMONIA/")
    parser.add_argument("--json", type=Path, help="the file for the whole report")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="the folder for the pictures: ROC, calibration, confusion, mistakes",
    )
    parser.add_argument(
        "--held-out", action="store_true", help="use only the patients that training held out"
    )
    options = parser.parse_args(arguments)
    try:
        report = evaluate(options.directory, RiskModel.load(), held_out_only=options.held_out)
    except XrayError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.pictures:
        from include.model.pictures import draw_all

        draw_all(report, options.directory, options.pictures)
    print(_table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
