"""Pictures for the tests of the redaction."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def lung() -> Image.Image:
    """A smooth grey picture, 500 x 400."""
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(60, 150, (5, 6), np.uint8).astype(np.uint8))
    return small.resize((500, 400), Image.Resampling.BICUBIC)
