"""include/model: the split, the metrics, and a small training from end to end"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from include.model import gate
from include.model.calibrate import cross_fitted
from include.model.data import folds, held_out, patient_of
from tests.support import ROOT
from xray.risk.figures import calibrated, calibration

pytestmark = pytest.mark.timeout(900)  # Each training is a process that imports TensorFlow.


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person12_bacteria_46.jpeg", "person12"),
        ("person12_virus_9.jpeg", "person12"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0115-0001-0002.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
        ("other.jpeg", "other.jpeg"),
    ],
)
def test_the_patient_is_read_from_the_name(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_about_a_share_of_the_patients_is_held_out() -> None:
    held = [held_out(f"person{n}", share=0.12) for n in range(3000)]
    assert 0.09 < sum(held) / len(held) < 0.15
    assert held == [held_out(f"person{n}", share=0.12) for n in range(3000)]


def test_a_fold_holds_neighbours_and_no_patient_is_in_two() -> None:
    patients = [f"IM-{n:04d}" for n in range(30)] + [
        f"person{n}" for n in range(1, 61) for _ in "ab"
    ]
    found = folds(patients, 3)
    assert found[:30].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert found[30:].tolist() == [0] * 40 + [1] * 40 + [2] * 40
    assert folds(patients[::-1], 3).tolist() == found[::-1].tolist()


def test_each_fold_is_calibrated_by_the_others() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 2, 20_000)
    classes = (rng.uniform(size=len(truth)) < calibrated(truth, 1)).astype(float)
    overconfident, fold = truth * 3, np.arange(len(truth)) % 4
    risks = cross_fitted(overconfident, classes, fold, fitted_on=overconfident)
    assert calibration(classes, risks)["error"] < 0.01
    assert calibration(classes, calibrated(overconfident, 1))["error"] > 0.05


def test_the_gates_distance_is_that_of_a_gaussian() -> None:
    rng = np.random.default_rng(4)
    near = rng.normal(size=(4000, 12)) * np.linspace(3, 1, 12)
    fitted = gate.fit_thumbnails(near, 12 - 2)
    distances = gate.picture_distance(near, fitted)
    assert distances.mean() == pytest.approx(12, rel=0.05)
    fold = np.arange(4000) % 3
    limit = gate.picture_limit(near, fold, components=10, refused=0.01)
    fresh = rng.normal(size=(4000, 12)) * np.linspace(3, 1, 12)
    assert 0.004 < (gate.picture_distance(fresh, fitted) > limit).mean() < 0.02
    assert (gate.picture_distance(near + 12, fitted) > limit).all()


def evaluate(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "include/model/evaluate.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_evaluation_reports_every_file(tmp_path: Path) -> None:
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / name).mkdir()
        for path in sorted((ROOT / "include" / "demo" / "images" / name).glob("*.jpeg"))[:4]:
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "NORMAL" / "bad.jpeg").write_bytes(b"text")
    pictures = tmp_path / "pictures"
    done = evaluate(tmp_path, "--json", tmp_path / "report" / "r.json", "--pictures", pictures)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((tmp_path / "report" / "r.json").read_text())
    assert report["n"] == 8
    assert len(report["scores"]) == 8
    assert {row["label"] for row in report["scores"]} == {"NORMAL", "PNEUMONIA"}
    assert [row["file"] for row in report["errors"]] == ["NORMAL/bad.jpeg"]
    assert set(report["thresholds"]) == {"0.5", "0.6", "0.8"}
    for name in ("accuracy", "sensitivity", "specificity"):
        assert report[name] == report["thresholds"]["0.5"][name]
    assert report["auc"]["value"] == 1.0
    assert "AUC" in done.stdout
    assert {row["refused"] for row in report["scores"]} == {None}
    assert report["refused"]["value"] == 0
    assert sum(report["labels"]["NORMAL"].values()) == 4
    for name in ("roc", "calibration", "confusion", "mistakes"):
        with Image.open(pictures / f"{name}.png") as picture:
            assert min(picture.size) > 300


def test_evaluation_names_the_missing_folder(tmp_path: Path) -> None:
    done = evaluate(tmp_path)
    assert done.returncode != 0
    assert "NORMAL" in done.stderr
    assert "Traceback" not in done.stderr


CONFIG = """
seed = 3
size = 32
held_out = 0.3
min_auc = 0.0
[network]
widths = [8, 8, 8, 8]
dropout = 0.1
[members]
count = 2
folds = 4
epochs = {epochs}
[optimizer]
batch = 8
agreement = 0.1
rate = 1e-3
weight_decay = 0.02
ema = 0.9
smoothing = 0.05
[steady]
epochs = 1
weight = 1.0
rate = 1e-3
ema = 0.9
share = 0.5
[gate]
member = 1
components = 4
askew = [5]
refused = 0.02
"""


class Training:
    """A folder of images whose classes differ, and training on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(5)
        for name, level in (("NORMAL", 70), ("PNEUMONIA", 190)):
            (folder / "in" / name).mkdir(parents=True)
            for index in range(24):
                pixels = rng.normal(level, 20, (64, 64))
                pixels[8:24, 8:24] += 60 if name == "NORMAL" else -60
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                stem = f"person{index}_virus_1" if name == "PNEUMONIA" else f"IM-{index:04d}-0001"
                image.save(folder / "in" / name / f"{stem}.jpeg")

    def start(self, *more: str, epochs: int = 2, work: str = "work") -> Any:
        """Start a training in a process of its own."""
        (self.folder / "config.toml").write_text(CONFIG.format(epochs=epochs))
        options = {"config": "config.toml", "work": work, "out": "out"}
        paths = [part for k, v in options.items() for part in (f"--{k}", str(self.folder / v))]
        return subprocess.Popen(
            [sys.executable, "include/model/train.py", self.folder / "in", *paths, *more],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *more: str, **how: Any) -> str:
        """Run a training to its end, and return its output."""
        with self.start(*more, **how) as process:
            said: str = process.communicate()[0]
        assert process.returncode == 0, said[-3000:]
        return said

    def curve(self, work: str, member: int) -> list[str]:
        """Return the lines of a learning curve."""
        return (self.folder / work / f"member-{member}" / "curve.csv").read_text().splitlines()

    def steady(self, work: str, member: int) -> np.ndarray:
        """Return all weights after the last epochs, one after the other."""
        (found,) = (self.folder / work / f"member-{member}").glob("steady-*.weights.h5")
        weights = []
        with h5py.File(found) as file:
            file.visititems(
                lambda _, part: (
                    weights.append(part[()].ravel()) if isinstance(part, h5py.Dataset) else None
                )
            )
        return np.concatenate(weights)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(tmp_path_factory.mktemp("training"))
    said = training.run()
    assert "Epoch 2/2" in said
    assert "cross_validation: " in said
    assert "the risks of" in said
    return training


def test_a_small_training_writes_all_files(trained: Training) -> None:
    out = trained.folder / "out"
    card = json.loads((out / "model.json").read_text())
    assert card["input"]["size"] == 32
    figures = card["validation"]
    assert sum(fold["images"] for fold in figures["folds"]) == figures["cross_validation"]["images"]
    rest = 48 - figures["held_out"]["images"]
    assert 0.3 * rest < figures["cross_validation"]["images"] < 0.7 * rest
    assert [check["reason"] for check in card["gate"]][:2] == ["blank", "turned left"]
    with Image.open(out / "curves.png") as curves:
        assert min(curves.size) > 300

    from xray.risk import RiskModel

    prediction = RiskModel.load(out).predict(Image.new("L", (99, 50), 80))
    assert 0 <= prediction.risk <= 1
    assert prediction.refused == "blank"
    assert np.shape(prediction.evidence) == (2, 2)


def test_the_same_seed_gives_the_same_numbers(trained: Training) -> None:
    trained.run("--member", "1", work="same")
    assert trained.curve("same", 1) == trained.curve("work", 1)
    assert np.array_equal(trained.steady("same", 1), trained.steady("work", 1))
    assert trained.curve("work", 0) != trained.curve("work", 1)


def test_what_is_trained_is_not_trained_again(trained: Training) -> None:
    said = trained.run("--member", "1")
    assert "member-1: already trained" in said
    assert "member-1: already steady" in said


def test_an_interrupted_training_continues(trained: Training) -> None:
    with trained.start("--member", "0", epochs=9, work="again") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Epoch 3/9" in line:
                process.kill()
                break
    said = trained.run("--member", "0", epochs=4, work="again")
    assert "Epoch 1/4" not in said
    assert "Epoch 4/4" in said
    epochs = [line.split(",")[0] for line in trained.curve("again", 0)]
    assert epochs[:3] == ["epoch", "0", "1"]
    assert epochs[-1] == "3"


def test_the_folder_of_another_training_is_refused(trained: Training) -> None:
    (trained.folder / "in" / "NORMAL" / "IM-0099-0001.jpeg").write_bytes(b"")
    with trained.start() as process:
        said = process.communicate()[0]
    assert process.returncode == 1
    assert "another configuration or other images" in said
    assert "Traceback" not in said
