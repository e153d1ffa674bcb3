"""include/model: the split, the metrics, and a small training from end to end"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "include" / "model"))

from data import held_out, patient_of  # noqa: E402
from evaluate import auc, auc_interval, rates, share  # noqa: E402


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


def test_the_metrics_on_known_values() -> None:
    targets = np.array([0, 0, 1, 1])
    assert auc(targets, np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    assert auc(targets, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    found = rates(targets, np.array([0.1, 0.6, 0.4, 0.8]), 0.5)
    assert [found[name]["value"] for name in ("accuracy", "sensitivity", "specificity")] == [
        0.5
    ] * 3
    # Wilson's interval of 8 in 10, as in Newcombe (1998).
    assert share(8, 10)["interval"] == pytest.approx([0.4902, 0.9433], abs=1e-4)
    low, high = auc_interval(0.9, 50, 50)
    assert low < 0.9 < high <= 1.0


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
    done = evaluate(tmp_path, "--json", tmp_path / "report" / "r.json")
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


def test_evaluation_says_what_is_missing(tmp_path: Path) -> None:
    done = evaluate(tmp_path)
    assert done.returncode != 0
    assert "NORMAL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_small_training_goes_all_the_way(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for name, level in (("NORMAL", 70), ("PNEUMONIA", 190)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for index in range(24):
            pixels = rng.normal(level, 20, (32, 32))
            pixels[8:24, 8:24] += 60 if name == "NORMAL" else -60
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            stem = f"person{index}_virus_1" if name == "PNEUMONIA" else f"IM-{index:04d}-0001"
            image.save(tmp_path / "in" / name / f"{stem}.jpeg")
    options = [
        "--epochs",
        "2",
        "--size",
        "32",
        "--batch",
        "8",
        "--validation",
        "0.3",
        "--min-auc",
        "0",
        "--out",
    ]
    done = subprocess.run(
        [sys.executable, "include/model/train.py", tmp_path / "in", *options, tmp_path / "out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Epoch 2/2" in done.stdout
    assert "scores of" in done.stdout
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert card["input"]["size"] == 32
    assert 0 <= card["validation"]["auc"] <= 1

    from xray.risk import RiskModel

    assert 0 <= RiskModel.load(tmp_path / "out").score(Image.new("L", (99, 50), 80)) <= 1
