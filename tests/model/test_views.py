"""include.model.patches and include.model.augmentation: what the last epochs are trained with"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from include.model.augmentation import MOST_CUT, cut, mirrored
from include.model.patches import patched

SIZE = 64


@pytest.fixture
def ramps() -> np.ndarray:
    """Eight pictures whose grey levels grow to the right, and eight that grow downwards."""
    ramp = np.tile(np.linspace(20, 220, SIZE), (SIZE, 1))
    both = np.stack([ramp] * 8 + [ramp.T] * 8)[..., None]
    return np.rint(both).astype(np.uint8)


def test_patches_change_a_part_of_each_picture(ramps: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    noisy = (ramps + rng.normal(0, 15, ramps.shape)).clip(0, 255).astype(np.uint8)
    found = patched(noisy, seed=3)
    changed = (found != noisy).mean(axis=(1, 2, 3))
    assert found.shape == noisy.shape
    assert found.dtype == np.uint8
    assert (changed > 0).mean() > 0.8
    assert (changed < 0.6).all()
    assert np.array_equal(found, patched(noisy, seed=3))
    assert not np.array_equal(found, patched(noisy, seed=4))


def test_a_part_is_cut_off_and_the_rest_enlarged(ramps: np.ndarray) -> None:
    pictures = ramps.astype(np.float32)
    found = np.asarray(cut(pictures))
    assert found.shape == pictures.shape
    spans = np.ptp(found, axis=(1, 2, 3)) / np.ptp(pictures, axis=(1, 2, 3))
    assert spans.min() > 1 - MOST_CUT - 0.02
    assert (spans < 0.99).any(), "along the ramp"
    assert (spans > 0.99).any(), "across the ramp"


def test_a_half_of_the_pictures_is_mirrored(ramps: np.ndarray) -> None:
    tf.random.set_seed(1)
    pictures = np.repeat(ramps[:1], 64, axis=0).astype(np.float32)
    found = np.asarray(mirrored(pictures))
    is_mirrored = np.isclose(found, pictures[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (is_mirrored ^ np.isclose(found, pictures).all(axis=(1, 2, 3))).all()
    assert 16 < is_mirrored.sum() < 48
