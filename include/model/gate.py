"""Fit the input gate: a description of the training images, and the limits of the distance to it.

No image of another kind is used. A limit is the distance beyond which a configured share of the
images lies, measured on patients that the fit has not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import cholesky, eigh, inv
from PIL import Image

SHRINKAGE = 0.1
"""Shrinkage of the covariance of the features towards a multiple of the identity matrix."""


def turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Return uint8 images (n, size, size, 1) turned to the left, with black corners."""
    return np.stack(
        [
            np.asarray(Image.fromarray(i).rotate(degrees, Image.Resampling.BICUBIC))
            for i in images[..., 0]
        ]
    )[..., None]


def fit_thumbnails(ways: np.ndarray, components: int) -> dict[str, np.ndarray | float]:
    """Fit a probabilistic principal component analysis to thumbnails, shape (n, width)."""
    mean = ways.mean(axis=0)
    sizes, axes = eigh(np.cov(ways - mean, rowvar=False))
    kept = axes[:, -components:]
    return {
        "mean": mean,
        "axes": kept,
        "precisions": 1 / sizes[-components:],
        "rest": 1 / sizes[:-components].mean(),
    }


def picture_distance(ways: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
    """Return the distance that the graph computes of thumbnails (…, width), shape (…)."""
    apart = ways - fitted["mean"]
    along = apart @ fitted["axes"]
    outside = (apart**2).sum(axis=-1) - (along**2).sum(axis=-1)
    return (along**2 * fitted["precisions"]).sum(axis=-1) + outside * fitted["rest"]


def fit_features(features: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the centre of each class, and the whitening of the differences, to features (n, d)."""
    centres = np.stack([features[classes == k].mean(axis=0) for k in (0, 1)])
    spread = np.cov(features - centres[classes.astype(int)], rowvar=False)
    sphere = np.eye(len(spread)) * np.trace(spread) / len(spread)
    shrunk = (1 - SHRINKAGE) * spread + SHRINKAGE * sphere
    return {"centres": centres, "whitening": inv(cholesky(shrunk)).T}


def feature_distance(features: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
    """Return the distance that the graph computes of features (n, d), shape (n,)."""
    apart = (features[:, None] - fitted["centres"]) @ fitted["whitening"]
    nearest: np.ndarray = (apart**2).sum(axis=-1).min(axis=-1)
    return nearest


def picture_limit(
    thumbs: np.ndarray, fold: np.ndarray, *, components: int, refused: float
) -> float:
    """Return the distance that a share ``refused`` of upright thumbnails (n, width) exceeds.

    Each thumbnail is compared with those of the other folds.
    """
    distances = np.empty(len(thumbs))
    for k in np.unique(fold):
        fitted = fit_thumbnails(thumbs[fold != k], components)
        distances[fold == k] = picture_distance(thumbs[fold == k], fitted)
    return float(np.quantile(distances, 1 - refused))
