"""bench.real_chests: the masks of the corpus on real X-rays"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.real_chests import redacted
from include.model.data import HELD_OUT, held_out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of even images: healthy chests are dark, sick ones bright, others black."""
    for name, shade in (("NORMAL", 60), ("PNEUMONIA", 190)):
        (tmp_path / name).mkdir()
        for number in range(40):
            stem = f"IM-{number:04d}" if name == "NORMAL" else f"person{number}"
            grey = shade if held_out(stem, share=HELD_OUT) else 0
            Image.new("L", (32, 32), grey).save(tmp_path / name / f"{stem}-0001.png")
    return tmp_path


def test_a_mask_is_filled_on_held_out_chests_of_both_classes(folder: Path) -> None:
    mask = np.zeros((80, 100), np.uint8)
    mask[30:40, 20:60] = 1
    shades = set()
    for index in range(6):
        before, after = redacted(folder, index, mask)
        assert before.size == after.size == (100, 80)
        shades.add(before.getpixel((0, 0)))
        outside = mask == 0
        assert np.array_equal(np.array(before)[outside], np.array(after)[outside])
    assert shades == {60, 190}


def test_a_filled_mask_no_longer_shows_what_was_there(folder: Path) -> None:
    mask = np.zeros((80, 100), np.uint8)
    mask[30:40, 20:60] = 1
    for path in folder.rglob("*.png"):
        pixels = np.full((80, 100), 100, np.uint8)
        pixels[33:37, 25:55] = 250
        Image.fromarray(pixels).save(path)
    before, after = redacted(folder, 0, mask)
    assert np.array(before)[35, 40] == 250
    assert np.array(after).max() < 110
