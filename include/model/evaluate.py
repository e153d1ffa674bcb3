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
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from include.model.data import CLASSES, Example, examples, held_out_examples
from xray.errors import XrayError
from xray.image import decode
from xray.risk import RiskModel
from xray.risk.figures import THRESHOLDS, auc_figure, calibration, proportion, rates
from xray.settings import Label, Settings

HERE = Path(__file__).resolve().parent


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
    chosen = held_out_examples(directory) if held_out_only else examples(directory)
    scored, errors = _scores(directory, chosen, model)
    targets = np.array([float(row["label"] == "PNEUMONIA") for row in scored])
    risks = np.array([row["risk"] for row in scored])
    at = {str(threshold): rates(targets, risks, threshold) for threshold in THRESHOLDS}
    return {
        "model": model.version,
        "n": len(scored),
        "auc": auc_figure(targets, risks),
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
