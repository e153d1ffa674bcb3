"""xray.risk and the shipped model"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench import odd_images
from tests.support import ROOT
from xray.errors import ModelError
from xray.image import decode
from xray.risk import RiskModel, preprocess, shared_model

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


def test_preprocessing_gives_the_models_input(chest: Image.Image) -> None:
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


def test_the_shared_model_is_loaded_again_only_if_its_files_have_changed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAY_MODEL_DIR", str(copy))
    first = shared_model()
    assert shared_model() is first
    card = copy / "model.json"
    replaced = copy / "model.json.new"
    replaced.write_text(json.dumps({**json.loads(card.read_text()), "version": "another"}))
    replaced.replace(card)
    assert shared_model().version == "another"
    card.unlink()
    with pytest.raises(ModelError, match=r"model.json is missing"):
        shared_model()


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
import json, sys, numpy as np, keras
from include.model import network, serving
from include.model.convert import OUTPUTS, run_lite
from pathlib import Path
from xray.image import decode
from xray.risk import RiskModel, preprocess
rng = np.random.default_rng(1)
size = RiskModel.load().size
chests = [preprocess(decode(p.read_bytes()).pixels, size)[0]
          for p in sorted(Path("include/demo/images").rglob("*.jpeg"))]
images = np.stack([rng.uniform(0.6, 1.4) * chests[k % len(chests)] for k in range(200)])
images = (images + rng.normal(0, 9, images.shape)).clip(0, 255).astype(np.float32)
kept = keras.saving.load_model("include/model/xray.keras").predict(images, verbose=0)
lite = run_lite(Path("include/model/xray.tflite").read_bytes(), images)
places = json.loads(Path("include/model/model.json").read_text())["outputs"]
assert set(places) == set(OUTPUTS)
for name, part in zip(OUTPUTS, kept):
    print(name, len(images), np.abs(part - lite[places[name]]).max() / max(1, np.abs(part).max()),
          np.ptp(part))
"""


def test_both_model_files_give_the_same_outputs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for line in done.stdout.splitlines()[-3:]:
        name, count, difference, spread = line.split()
        assert int(count) == 200
        assert float(difference) <= 1e-4, name
        assert float(spread) > 0.5, "the comparison needs images that differ"


def test_the_evidence_adds_up_to_the_risk(demo_images: list[Path]) -> None:
    model = RiskModel.load()
    for path in demo_images:
        prediction = model.predict(decode(path.read_bytes()).pixels)
        assert prediction.evidence is not None
        cells = np.array(prediction.evidence)
        assert min(cells.shape) >= 5
        logit = np.log(prediction.risk / (1 - prediction.risk))
        assert cells.mean() == pytest.approx(logit, abs=2e-3)


def test_a_mirrored_chest_scores_the_same_and_so_does_its_evidence(chest: Image.Image) -> None:
    model = RiskModel.load()
    one, other = model.predict(chest), model.predict(ImageOps.mirror(chest))
    assert one.risk == pytest.approx(other.risk, abs=1e-3)
    assert one.evidence is not None
    assert other.evidence is not None
    np.testing.assert_allclose(np.array(one.evidence)[:, ::-1], other.evidence, atol=0.05)


def test_the_demos_chests_are_not_refused(demo_images: list[Path]) -> None:
    model = RiskModel.load()
    assert {model.predict(decode(p.read_bytes()).pixels).refused for p in demo_images} == {None}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("turned left", lambda image: image.transpose(Image.Transpose.ROTATE_90)),
        ("turned right", lambda image: image.transpose(Image.Transpose.ROTATE_270)),
        ("upside down", lambda image: image.transpose(Image.Transpose.ROTATE_180)),
        ("inverted", ImageOps.invert),
    ],
)
def test_a_turned_or_inverted_chest_is_refused_with_the_reason(
    demo_images: list[Path], reason: str, change: Callable[[Image.Image], Image.Image]
) -> None:
    model = RiskModel.load()
    for path in demo_images:
        assert (
            model.predict(change(decode(path.read_bytes()).pixels.convert("L"))).refused == reason
        )


@pytest.mark.parametrize("kind", sorted(odd_images.kinds()))
def test_an_image_that_is_not_a_chest_is_refused(kind: str) -> None:
    model = RiskModel.load()
    images = odd_images.kinds()[kind]
    refused = [model.predict(image).refused for image in images]
    assert sum(reason is not None for reason in refused) >= 0.9 * len(images)
    if kind == "blank":
        assert set(refused) == {"blank"}


MAKE = """
import sys
from pathlib import Path
import tensorflow as tf
out = Path(sys.argv[1])
grey = tf.TensorSpec((1, 32, 32, 1), tf.float32)
def save(name, function, given=grey):
    graph = tf.function(function).get_concrete_function(given)
    content = tf.lite.TFLiteConverter.from_concrete_functions([graph]).convert()
    (out / f"{name}.tflite").write_bytes(content)
mean = lambda x: tf.reshape(tf.reduce_mean(x) / 255, (1, 1))
save("plain", mean)
save("logit", lambda x: mean(x) * 40 - 3)
save("nan", lambda x: tf.math.log(mean(x) - 9))
save("two", lambda x: (mean(x), tf.reshape(mean(x) * 2, (1, 1, 1))))
save("whole", lambda x: tf.cast(tf.reshape(tf.reduce_sum(x), (1, 1)), tf.float32),
     tf.TensorSpec((1, 32, 32, 1), tf.int32))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models other than the shipped one."""
    out = tmp_path_factory.mktemp("models")
    done = subprocess.run(
        [sys.executable, "-c", MAKE, out], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def folder(made: Path, name: str, out: Path, **card: object) -> Path:
    """A folder with one of the models ``made`` and its model.json."""
    content = (made / f"{name}.tflite").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    (out / "xray.tflite").write_bytes(content)
    whole = {"version": "mine-1", "sha256": digest, "input": {"size": 32}, **card}
    (out / "model.json").write_text(json.dumps(whole))
    return out


def test_a_custom_model_needs_only_a_risk(made: Path, tmp_path: Path) -> None:
    model = RiskModel.load(folder(made, "plain", tmp_path))
    prediction = model.predict(Image.new("L", (50, 40), 51))
    assert prediction.risk == pytest.approx(0.2, abs=1e-3)
    assert (prediction.evidence, prediction.refused) == (None, None)


def test_a_custom_model_may_give_evidence(made: Path, tmp_path: Path) -> None:
    directory = folder(made, "two", tmp_path, outputs={"risk": 0, "evidence": 1})
    prediction = RiskModel.load(directory).predict(Image.new("L", (50, 40), 51))
    assert prediction.evidence == [[pytest.approx(0.4, abs=1e-3)]]


@pytest.mark.parametrize(
    ("name", "card", "said"),
    [
        ("logit", {}, r"gives -?[\d.]+ as a risk"),
        ("nan", {}, "gives nan as a risk"),
        ("whole", {}, "in float32 only"),
        ("two", {"outputs": {"risk": 1}}, "calls output 1 'risk'"),
        ("two", {"outputs": {"risk": 0, "strangeness": 7}}, "calls output 7 'strangeness'"),
        ("two", {"outputs": {"risk": 0, "warmth": 1}}, "calls output 1 'warmth'"),
        ("two", {"outputs": {"evidence": 1}}, "outputs or gate"),
        ("plain", {"gate": [{"reason": "odd", "limit": 1}]}, "it needs both"),
        ("plain", {"gate": ["odd"]}, "outputs or gate"),
    ],
)
def test_a_model_of_another_form_is_refused(
    made: Path, tmp_path: Path, name: str, card: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        RiskModel.load(folder(made, name, tmp_path, **card))
