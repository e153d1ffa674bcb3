"""Fit the input gate: what the training images are like, and how far from them is too far.

No odd image has a part in it. A limit is where so many images of patients that
the fit has not seen lie beyond it, as config.toml allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import cholesky, eigh, inv
from PIL import Image

SHRINKAGE = 0.1
"""Of the features' covariance towards a round one."""


def turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Images (n, size, size, 1) in uint8, turned to the left; black comes in at the corners."""
    return np.stack(
        [
            np.asarray(Image.fromarray(i).rotate(degrees, Image.Resampling.BICUBIC))
            for i in images[..., 0]
        ]
    )[..., None]


def thumbnails(ways: np.ndarray, components: int) -> dict[str, np.ndarray | float]:
    """A probabilistic principal component analysis of thumbnails, shape (n, width)."""
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
    """What the graph computes of thumbnails (…, width), shape (…)."""
    apart = ways - fitted["mean"]
    along = apart @ fitted["axes"]
    outside = (apart**2).sum(axis=-1) - (along**2).sum(axis=-1)
    return (along**2 * fitted["precisions"]).sum(axis=-1) + outside * fitted["rest"]


def features(found: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Each class's centre and the whitening of what is left, for features of shape (n, d)."""
    centres = np.stack([found[classes == k].mean(axis=0) for k in (0, 1)])
    spread = np.cov(found - centres[classes.astype(int)], rowvar=False)
    round_one = np.eye(len(spread)) * np.trace(spread) / len(spread)
    shrunk = (1 - SHRINKAGE) * spread + SHRINKAGE * round_one
    return {"centres": centres, "whitening": inv(cholesky(shrunk)).T}


def feature_distance(found: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
    """What the graph computes of features (n, d), shape (n,)."""
    apart = (found[:, None] - fitted["centres"]) @ fitted["whitening"]
    nearest: np.ndarray = (apart**2).sum(axis=-1).min(axis=-1)
    return nearest


def picture_limit(
    thumbs: np.ndarray, fold: np.ndarray, *, components: int, refused: float
) -> float:
    """The distance beyond which a share ``refused`` of upright thumbnails (n, width) lies.

    Each is compared with those of the other folds.
    """
    distances = np.empty(len(thumbs))
    for k in np.unique(fold):
        fitted = thumbnails(thumbs[fold != k], components)
        distances[fold == k] = picture_distance(thumbs[fold == k], fitted)
    return float(np.quantile(distances, 1 - refused))
