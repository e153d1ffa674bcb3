"""Calibrate the logits of the networks, so that risks are probabilities.

The logits are multiplied by one fitted number (temperature scaling: Guo et al., ICML 2017). Both
classes have the same weight, so a risk is the probability of pneumonia where both classes are
equally common, and .5 stays .5. No offset is fitted: the networks do better on the training split
than on other patients, and an offset fitted to it would move the threshold.
"""

from __future__ import annotations

import numpy as np

from xray.risk.figures import calibrated, fit_scale


def cross_fitted(
    logits: np.ndarray, classes: np.ndarray, fold: np.ndarray, *, fitted_on: np.ndarray
) -> np.ndarray:
    """Return the risks, calibrating each fold with the scale that was fitted to the other folds.

    Args:
        logits: of the images, shape (n,).
        classes: of the images, 0 or 1.
        fold: of each image.
        fitted_on: the logits to which the scales are fitted, of the same images in the same order.
    """
    risks = np.empty(len(logits))
    for k in np.unique(fold):
        others = fold != k
        scale = fit_scale(fitted_on[others], classes[others])
        risks[~others] = calibrated(logits[~others], scale)
    return risks
