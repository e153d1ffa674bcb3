"""The pictures of an evaluation and of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xray.image import decode

KERMANY = ("Kermany et al. 2018", 0.932, 0.901)
"""Sensitivity and specificity that the authors of the data set report for their test split."""
ORIGINAL = (0.8205, 0.8638)
"""Accuracies that the original demo reports for the same split."""
WORST = 12
"""The number of images in the picture of mistakes."""


def draw_all(report: dict[str, Any], directory: Path, out: Path) -> None:
    """Draw the pictures of a report of :func:`evaluate.evaluate`, as PNG files in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("roc", roc(report)),
        ("calibration", calibration(report)),
        ("confusion", confusion(report)),
        ("mistakes", mistakes(report, directory)),
    ):
        _save(figure, out / f"{name}.png")


def roc(report: dict[str, Any]) -> Figure:
    """Draw sensitivity over 1 - specificity, with the published values and the thresholds."""
    targets, risks = _values(report)
    order = np.argsort(-risks, kind="stable")
    sick = targets[order] == 1
    seen, false = np.cumsum(sick) / sick.sum(), np.cumsum(~sick) / (~sick).sum()
    figure, axes = _axes(f"ROC, AUC {report['auc']['value']}")
    axes.plot([0, *false], [0, *seen], label="this model")
    for threshold, found in report["thresholds"].items():
        x, y = 1 - found["specificity"]["value"], found["sensitivity"]["value"]
        axes.plot(x, y, "o", label=f"above {threshold}")
    name, sensitivity, specificity = KERMANY
    axes.plot(1 - specificity, sensitivity, "k*", markersize=10, label=name)
    share = sick.mean()
    x = np.linspace(0, 1, 50)
    for accuracy in ORIGINAL:
        line = (accuracy - (1 - share) * (1 - x)) / share
        axes.plot(x, line, ":", color="grey", label=f"accuracy {accuracy:.2%} (original demo)")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 0.4), ylim=(0.6, 1.005))
    axes.legend(loc="lower right", fontsize="small")
    return figure


def calibration(report: dict[str, Any]) -> Figure:
    """Draw frequency over risk; the area of a dot is the number of images."""
    found = report["calibration"]
    figure, axes = _axes(f"Calibration, expected error {found['error']}")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    most = max(b["images"] for b in found["bins"])
    axes.scatter(
        [b["risk"] for b in found["bins"]],
        [b["sick"] for b in found["bins"]],
        [10 + 250 * b["images"] / most for b in found["bins"]],
        alpha=0.7,
    )
    axes.set(xlabel="risk", ylabel="share that is sick", xlim=(0, 1), ylim=(-0.02, 1.02))
    return figure


def confusion(report: dict[str, Any]) -> Figure:
    """Draw the labels of each class, at the default thresholds."""
    rows, columns = list(report["labels"]), list(next(iter(report["labels"].values())))
    counted = np.array([[report["labels"][row][column] for column in columns] for row in rows])
    figure, axes = _axes("Labels at the thresholds .60 and .80")
    axes.imshow(counted / counted.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for (row, column), count in np.ndenumerate(counted):
        share = count / max(1, counted[row].sum())
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{count}\n{share:.1%}", ha="center", va="center", color=colour)
    return figure


def mistakes(report: dict[str, Any], directory: Path) -> Figure:
    """Draw the images whose risk is furthest from their class."""
    targets, risks = _values(report)
    figure, grid = plt.subplots(3, WORST // 3, figsize=(11, 9), layout="constrained")
    for axes in grid.flat:
        axes.axis("off")
    worst = np.argsort(-np.abs(targets - risks), kind="stable")[:WORST]
    for axes, index in zip(grid.flat, worst, strict=False):
        row = report["scores"][index]
        picture = decode((directory / row["file"]).read_bytes()).eight_bit().convert("L")
        axes.imshow(picture, cmap="gray", aspect="auto")
        refused = f"\nrefused: {row['refused']}" if row["refused"] else ""
        axes.set_title(f"{row['file']}\nrisk {row['risk']:.3f}{refused}", fontsize=7)
    return figure


def curves(found: dict[str, dict[str, list[float]]], out: Path) -> None:
    """Draw the ``loss`` and the ``val_loss`` of each network, one value an epoch."""
    figure, axes = _axes("Learning curves")
    for name, curve in found.items():
        (line,) = axes.plot(curve["loss"], label=f"{name}, training")
        axes.plot(curve["val_loss"], "--", color=line.get_color(), label=f"{name}, held out")
    axes.set(xlabel="epoch", ylabel="cross-entropy")
    axes.legend(fontsize="small")
    _save(figure, out)


def _values(report: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    targets = np.array([float(row["label"] == "PNEUMONIA") for row in report["scores"]])
    return targets, np.array([row["risk"] for row in report["scores"]])


def _axes(title: str) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    axes.set_title(title)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
