"""What people decided in reviews, as the truth that a model is measured by.

Only Unsure cases are reviewed. The figures are about the risks between the two thresholds, unless
the settings have made all cases Unsure: ``normal_below`` 0 and ``pneumonia_above`` 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xray import audit
from xray.risk.figures import (
    THRESHOLDS,
    auc_figure,
    calibrated,
    calibration,
    fit_scale,
    logits_of,
    rates,
)
from xray.risk.period import Period
from xray.settings import Label

FEWEST = 10
"""The fewest images of each class to which a threshold and a temperature are fitted."""
RESAMPLES = 1000
"""How often the images are drawn anew for the interval of what is fitted."""
_DECIDED = (Label.NORMAL.value, Label.PNEUMONIA.value)


@dataclass(slots=True, kw_only=True)
class Reviews:
    """The reviews of one model's cases."""

    model: str
    """The version of the model."""
    risks: list[float] = field(default_factory=list)
    """The risk of each image that a person has labelled."""
    sick: list[int] = field(default_factory=list)
    """1 if the person chose Pneumonia, 0 if Normal."""
    refused: int = 0
    """The number of other reviews of images that the model's gate has refused."""
    undecided: int = 0
    """The number of other reviews by a person who kept the case Unsure."""

    def add(self, scored: Mapping[str, Any]) -> None:
        """Add a review.

        Args:
            scored: of the audit record of the review.
        """
        choice = scored["review"]["choice"]
        if choice not in _DECIDED:
            self.undecided += 1
        elif scored.get("refused"):
            self.refused += 1
        else:
            self.risks.append(scored["risk"])
            self.sick.append(int(choice == Label.PNEUMONIA))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-able values."""
        risks, sick = np.array(self.risks, float), np.array(self.sick, int)
        ill, well = int(sick.sum()), int((1 - sick).sum())
        return {
            "model": self.model,
            "reviews": {"pneumonia": ill, "normal": well},
            "refused": self.refused,
            "undecided": self.undecided,
            "risks": [round(float(one), 4) for one in (risks.min(), risks.max())]
            if len(risks)
            else None,
            "auc": auc_figure(sick, risks),
            "thresholds": {str(at): rates(sick, risks, at) for at in THRESHOLDS},
            "calibration_error": calibration(sick, risks)["error"],
            "calibration_error_balanced": calibration(sick, risks, balanced=True)["error"],
            "fitted": _fitted(risks, sick) if min(ill, well) >= FEWEST else None,
        }


def collect(trails: Iterable[Sequence[Mapping[str, Any]]], period: Period) -> list[Reviews]:
    """Collect the last review of each case in a period, by model.

    Args:
        trails: the records of each case, as :func:`xray.audit.trails` yields them.
        period: the time in which the reviews were recorded.
    """
    found: dict[str, Reviews] = {}
    for trail in trails:
        given = [
            record["scored"]
            for record in trail
            if record.get("outcome") == audit.REVIEWED and record["recorded_at"] in period
        ]
        if given:
            model = given[-1]["model"]
            found.setdefault(model, Reviews(model=model)).add(given[-1])
    return list(found.values())


def best_threshold(risks: np.ndarray, sick: np.ndarray) -> float:
    """Return the threshold with the highest sum of sensitivity and specificity.

    It is in the middle between two risks. Of several that are as good, the middle one is taken.

    Args:
        risks: 0 to 1, shape (n,).
        sick: 0 or 1 for each image, shape (n,). Both must be there.
    """
    found = np.unique(risks)
    between = np.concatenate(([found[0] / 2], (found[1:] + found[:-1]) / 2))
    ill, well = np.sort(risks[sick == 1]), np.sort(risks[sick == 0])
    missed = np.searchsorted(ill, between, "right") / len(ill)
    passed = np.searchsorted(well, between, "right") / len(well)
    best = np.flatnonzero(np.isclose(passed - missed, (passed - missed).max()))
    return float(between[best[len(best) // 2]])


def _fitted(risks: np.ndarray, sick: np.ndarray) -> dict[str, Any]:
    """Return the threshold and the temperature that fit the reviews, and what they change."""

    def temperature(some_risks: np.ndarray, some_sick: np.ndarray) -> float:
        return 1 / fit_scale(logits_of(some_risks), some_sick)

    threshold = best_threshold(risks, sick)
    heat = temperature(risks, sick)
    after = calibrated(logits_of(risks), 1 / heat)
    return {
        "threshold": {
            "value": round(threshold, 4),
            "interval": _interval(best_threshold, risks, sick),
            **rates(sick, risks, threshold),
        },
        "temperature": {
            "value": round(heat, 3),
            "interval": _interval(temperature, risks, sick),
            "calibration_error_balanced": calibration(sick, after, balanced=True)["error"],
        },
    }


def _interval(
    fit: Callable[[np.ndarray, np.ndarray], float], risks: np.ndarray, sick: np.ndarray
) -> list[float]:
    """Return the 95 % interval of what is fitted, by a bootstrap within each class."""
    generator = np.random.default_rng(0)
    classes = [np.flatnonzero(sick == k) for k in (0, 1)]
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([generator.choice(one, len(one)) for one in classes])
        values.append(fit(risks[drawn], sick[drawn]))
    return [round(float(value), 4) for value in np.quantile(values, (0.025, 0.975))]


def in_words(found: Mapping[str, Any]) -> str:
    """Return the figures of :meth:`Reviews.to_json` as a text of several lines."""
    counted = found["reviews"]
    decided = counted["pneumonia"] + counted["normal"]
    lines = [
        f"{found['model']}: {decided:,} reviews, {counted['pneumonia']:,} Pneumonia and "
        f"{counted['normal']:,} Normal; left out: {found['undecided']:,} that kept the case "
        f"Unsure, {found['refused']:,} of images that the gate has refused"
    ]
    if not decided:
        return lines[0]
    low, high = found["risks"]
    lines.append(
        f"The risks of these images are {low:.2f} to {high:.2f}: the figures say nothing of others."
    )
    if found["auc"]["value"] is not None:
        lines.append(f"AUC  {_with_interval(found['auc'])}")
    lines.append(f"{'above':>6} {'accuracy':>24} {'sensitivity':>24} {'specificity':>24}")
    for threshold, figures in found["thresholds"].items():
        cells = " ".join(f"{_with_interval(one):>24}" for one in figures.values())
        lines.append(f"{threshold:>6} {cells}")
    lines.append(
        f"expected calibration error {found['calibration_error']}; with the same weight for both "
        f"classes {found['calibration_error_balanced']}"
    )
    return "\n".join([*lines, *_fit_in_words(found["fitted"])])


def _fit_in_words(fitted: Mapping[str, Any] | None) -> list[str]:
    if fitted is None:
        return [f"Nothing is fitted: at least {FEWEST} reviews of each class are needed."]
    threshold, temperature = fitted["threshold"], fitted["temperature"]
    return [
        f"threshold that fits    {_with_interval(threshold)}: sensitivity "
        f"{threshold['sensitivity']['value']}, specificity {threshold['specificity']['value']}",
        f"temperature that fits  {_with_interval(temperature)}: calibration error "
        f"{temperature['calibration_error_balanced']} with the same weight for both classes",
    ]


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    low, high = figure["interval"]
    return f"{figure['value']} ({low} to {high})"
