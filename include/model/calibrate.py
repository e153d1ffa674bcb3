"""Make a network's logits mean what they say.

A single number is fitted, by which logits are multiplied (temperature scaling:
Guo et al., ICML 2017), with equal weight for both classes. So a risk is the
chance of pneumonia where as many are sick as are healthy, and .5 stays .5. No
offset is fitted: on patients of the training split the network looks better
than it is on others, and an offset that suits them would move the threshold.
"""

from __future__ import annotations

import numpy as np

SCALES = np.exp(np.linspace(np.log(0.1), np.log(10.0), 400))


def class_weights(classes: np.ndarray) -> np.ndarray:
    """Weights of the mean 1 that give both classes the same sum; ``classes`` holds 0 and 1."""
    sick = float(classes.mean())
    return np.where(classes == 1, 0.5 / sick, 0.5 / (1 - sick))


def fit_scale(logits: np.ndarray, classes: np.ndarray) -> float:
    """The scale of the smallest cross-entropy, both classes weighing the same."""
    signed = np.where(classes == 1, logits, -logits)
    weights = class_weights(classes)
    losses = [np.sum(weights * np.logaddexp(0, -scale * signed)) for scale in SCALES]
    return float(SCALES[int(np.argmin(losses))])


def calibrated(logits: np.ndarray, scale: float) -> np.ndarray:
    """Risks."""
    result: np.ndarray = 1 / (1 + np.exp(-scale * logits))
    return result


def cross_fitted(logits: np.ndarray, classes: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Risks, each fold by the scale that the others gave: for an honest check."""
    risks = np.empty(len(logits))
    for k in np.unique(fold):
        others = fold != k
        risks[~others] = calibrated(logits[~others], fit_scale(logits[others], classes[others]))
    return risks
