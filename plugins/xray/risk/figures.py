"""Figures of a model: proportions, AUC and calibration, with their intervals.

All intervals are 95 %: Wilson's for proportions, Hanley and McNeil's (1982) for the AUC.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Z = 1.959964
BINS = 10
"""Number of bins of the calibration and of the histograms, all of the same width."""
THRESHOLDS = (0.5, 0.6, 0.8)
"""The risks above which an image counts as sick, for the figures."""
SMALLEST_SCALE, LARGEST_SCALE = 0.1, 10.0
"""The limits of the scale that is fitted to logits."""
_HALVINGS = 30


def auc(targets: np.ndarray, risks: np.ndarray) -> float:
    """Return the probability that a sick image scores above a healthy one; ties count half.

    Args:
        targets: 0 or 1 for each image, shape (n,). Both must be there.
        risks: 0 to 1, shape (n,).
    """
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


def auc_figure(targets: np.ndarray, risks: np.ndarray) -> dict[str, Any]:
    """Return the AUC with its interval; both are None if a class is missing."""
    sick, healthy = int((targets == 1).sum()), int((targets == 0).sum())
    if not (sick and healthy):
        return {"value": None, "interval": None}
    area = auc(targets, risks)
    return {"value": round(area, 4), "interval": auc_interval(area, sick, healthy)}


def proportion(hits: int, of: int) -> dict[str, Any]:
    """Return a proportion with Wilson's 95 % interval; both are None if there is nothing."""
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


def class_weights(targets: np.ndarray) -> np.ndarray:
    """Return weights with the mean 1 and the same sum for both classes, 0 and 1."""
    sick = float(targets.mean())
    return np.where(targets == 1, 0.5 / sick, 0.5 / (1 - sick))


def bins(risks: np.ndarray) -> np.ndarray:
    """Return the bin of each risk (0 to 1), 0 to :data:`BINS` - 1, shape (n,)."""
    result: np.ndarray = np.minimum((risks * BINS).astype(int), BINS - 1)
    return result


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
    places = bins(risks)
    found, apart = [], 0.0
    for place in np.unique(places):
        inside = places == place
        risk = np.average(risks[inside], weights=weights[inside])
        sick = np.average(targets[inside], weights=weights[inside])
        apart += weights[inside].sum() * abs(risk - sick)
        found.append(
            {
                "images": int(inside.sum()),
                "risk": round(float(risk), 4),
                "sick": round(float(sick), 4),
            }
        )
    return {"error": round(float(apart / len(risks)), 4) if len(risks) else None, "bins": found}


def logits_of(risks: np.ndarray) -> np.ndarray:
    """Return the logits of risks, shape (n,); those of 0 and 1 are large and finite."""
    inside = np.clip(risks, 1e-7, 1 - 1e-7)
    result: np.ndarray = np.log(inside) - np.log1p(-inside)
    return result


def calibrated(logits: np.ndarray, scale: float) -> np.ndarray:
    """Return the risks of scaled ``logits``."""
    result: np.ndarray = 1 / (1 + np.exp(-scale * logits))
    return result


def fit_scale(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the scale of logits with the smallest cross-entropy (temperature scaling: Guo et al.,
    ICML 2017), with the same weight for both classes.

    The cross-entropy is convex in the scale, so that the zero of its slope is searched for.
    """
    signed = np.where(targets == 1, logits, -logits)
    weighted = class_weights(targets) * signed
    low, high = math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (weighted * calibrated(-signed, math.exp(middle))).sum() > 0:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)
