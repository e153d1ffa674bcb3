"""xray.risk.figures, on known values"""

from __future__ import annotations

import numpy as np
import pytest

from xray.risk.figures import (
    auc,
    auc_interval,
    calibrated,
    calibration,
    fit_scale,
    logits_of,
    proportion,
    rates,
)


def test_the_metrics_on_known_values() -> None:
    targets = np.array([0, 0, 1, 1])
    assert auc(targets, np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    assert auc(targets, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    found = rates(targets, np.array([0.1, 0.6, 0.4, 0.8]), 0.5)
    assert [found[name]["value"] for name in ("accuracy", "sensitivity", "specificity")] == [
        0.5
    ] * 3
    # Wilson's interval of 8 in 10, as in Newcombe (1998).
    assert proportion(8, 10)["interval"] == pytest.approx([0.4902, 0.9433], abs=1e-4)
    low, high = auc_interval(0.9, 50, 50)
    assert low < 0.9 < high <= 1.0


def test_the_calibration_error_on_known_values() -> None:
    risks, targets = np.array([0.25] * 4 + [0.95] * 4), np.array([1, 0, 0, 0, 1, 1, 1, 0])
    found = calibration(targets, risks)
    assert found["error"] == pytest.approx((0 + 0.2) / 2)
    assert [b["images"] for b in found["bins"]] == [4, 4]
    assert calibration(np.ones(3), np.ones(3))["error"] == 0
    assert calibration(np.ones(3), np.ones(3), balanced=True)["error"] == 0
    # Four of eight are sick: the classes have the same weight already.
    assert calibration(targets, risks, balanced=True) == found
    # One of nine is sick, and all have the same risk: the sick one has half of the weight.
    targets, risks = np.eye(1, 9)[0], np.full(9, 0.4)
    assert calibration(targets, risks)["error"] == pytest.approx(0.4 - 1 / 9, abs=1e-4)
    assert calibration(targets, risks, balanced=True)["error"] == pytest.approx(0.1)


def test_the_scale_calibrates_the_logits() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 2, 20_000)
    classes = (rng.uniform(size=len(truth)) < calibrated(truth, 1)).astype(float)
    overconfident = truth * 3
    assert fit_scale(overconfident, classes) == pytest.approx(1 / 3, rel=0.05)


def test_logits_and_risks_are_inverse_to_each_other() -> None:
    risks = np.array([0.0, 0.1, 0.5, 0.99, 1.0])
    assert np.isfinite(logits_of(risks)).all()
    assert calibrated(logits_of(risks), 1) == pytest.approx(risks, abs=1e-6)
