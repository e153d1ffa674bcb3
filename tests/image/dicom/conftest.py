"""Fixtures of the DICOM tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.dicom_files import Pixels
from xray.image import decode


@pytest.fixture(scope="package")
def chest8(demo_images: list[Path]) -> Pixels:
    """A synthetic chest X-ray in 8-bit grey, whose risk is far from 0 and from 1."""
    path = next(path for path in demo_images if "Dario" in path.name)
    return np.asarray(decode(path.read_bytes()).pixels.convert("L"))
