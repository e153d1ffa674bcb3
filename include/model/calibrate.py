"""Calibrate the logits of the networks, so that risks are probabilities.

The logits are multiplied by one fitted number (temperature scaling: Guo et al., ICML 2017). Both
classes have the same weight, so a risk is the probability of pneumonia where both classes are
equally common, and .5 stays .5. No offset is fitted: the networks do better on the training split
than on other patients, and an offset fitted to it would move the threshold.
"""

from __future__ import annotations

import numpy as np

SCALES = np.exp(np.linspace(np.log(0.1), np.log(10.0), 400))


def class_weights(classes: np.ndarray) -> np.ndarray:
    """Return weights with the mean 1 and the same sum for both ``classes``, 0 and 1."""
    sick = float(classes.mean())
    return np.where(classes == 1, 0.5 / sick, 0.5 / (1 - sick))


def fit_scale(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the scale with the smallest cross-entropy, with the same weight for both classes."""
    signed = np.where(classes == 1, logits, -logits)
    weights = class_weights(classes)
    losses = [np.sum(weights * np.logaddexp(0, -scale * signed)) for scale in SCALES]
    return float(SCALES[int(np.argmin(losses))])


def calibrated(logits: np.ndarray, scale: float) -> np.ndarray:
    """Return the risks of scaled ``logits``."""
    result: np.ndarray = 1 / (1 + np.exp(-scale * logits))
    return result


def cross_fitted(logits: np.ndarray, classes: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the risks, calibrating each fold with the scale that was fitted to the other folds."""
    risks = np.empty(len(logits))
    for k in np.unique(fold):
        others = fold != k
        risks[~others] = calibrated(logits[~others], fit_scale(logits[others], classes[others]))
    return risks
