"""xray.risk and the shipped model"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xray.errors import ModelError
from xray.image import decode
from xray.risk import RiskModel, preprocess

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "include" / "model"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("model.json", "xray.tflite"):
        shutil.copy(MODEL / name, tmp_path)
    return tmp_path


def test_it_scores_the_same_each_time(chest: Image.Image) -> None:
    one, two = RiskModel.load(), RiskModel.load()
    assert 0.0 <= one.score(chest) <= 1.0
    assert one.score(chest) == one.score(chest) == two.score(chest)
    assert one.version.startswith("xray-resnet-")


def test_colour_and_grey_score_alike(demo_images: list[Path]) -> None:
    model = RiskModel.load()
    grey = decode(demo_images[0].read_bytes()).pixels
    assert abs(model.score(grey) - model.score(grey.convert("RGB"))) < 1e-3


@pytest.mark.parametrize(("depth", "most"), [(16, 65535), (12, 4095)])
def test_deep_grey_scores_as_its_eight_bits_do(
    demo_images: list[Path], depth: int, most: int
) -> None:
    model = RiskModel.load()
    grey = decode(demo_images[8].read_bytes()).pixels.convert("L")
    deep = Image.fromarray(np.rint(np.asarray(grey) * (most / 255)).astype(np.uint16))
    assert model.score(deep, depth) == pytest.approx(model.score(grey), abs=1e-3)
    assert model.score(deep) == model.score(deep, depth)


def test_preprocessing_gives_what_the_model_takes(chest: Image.Image) -> None:
    given = preprocess(chest.convert("RGB"), 160)
    assert given.shape == (1, 160, 160, 1)
    assert given.dtype == np.float32
    assert given.min() >= 0
    assert 128 < given.max() <= 255


def test_the_environment_may_name_another_model(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**card, "version": "mine-1"}))
    monkeypatch.setenv("XRAY_MODEL_DIR", str(copy))
    assert RiskModel.load().version == "mine-1"


def test_a_wrong_model_is_refused_with_the_reason(copy: Path) -> None:
    card = json.loads((copy / "model.json").read_text())

    def said(change: dict[str, object]) -> str:
        (copy / "model.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(ModelError) as caught:
            RiskModel.load(copy)
        return str(caught.value)

    assert "sha256" in said({"sha256": "0" * 64})
    assert "(1, 99, 99, 1)" in said({"input": {"size": 99}})
    assert "lacks" in said({"input": {}})
    (copy / "model.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        RiskModel.load(copy)
    (copy / "xray.tflite").unlink()
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"xray\.tflite is missing"):
        RiskModel.load(copy)


def test_the_files_are_small() -> None:
    sizes = [(MODEL / name).stat().st_size for name in ("xray.keras", "xray.tflite")]
    assert sum(sizes) <= 5_000_000


COMPARE = """
import sys, numpy as np, keras
sys.path[:0] = ["include/model", "plugins"]
import network
from convert import scores
from pathlib import Path
from xray.image import decode
from xray.risk import preprocess
rng = np.random.default_rng(1)
images = [preprocess(decode(p.read_bytes()).pixels, 160)[0]
          for p in sorted(Path("include/demo/images").rglob("*.jpeg"))]
images += list(rng.uniform(0, 255, (24, 160, 160, 1)).astype(np.float32))
images = np.stack(images)
model = keras.saving.load_model("include/model/xray.keras")
kept = model.predict(images, verbose=0)[:, 0]
lite = scores(Path("include/model/xray.tflite").read_bytes(), images)
print(len(images), np.abs(kept - lite).max(), kept.max() - kept.min())
"""


def test_both_files_score_alike() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    count, difference, spread = done.stdout.split()[-3:]
    assert int(count) == 40
    assert float(difference) <= 1e-4
    assert float(spread) > 0.5, "the images must differ for the comparison to tell anything"
