"""The comparison of the model that decides, the champion, with its shadow, the challenger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xray import audit
from xray.risk.figures import BINS, bins, proportion
from xray.risk.period import Period
from xray.settings import Label

_WIDEST = 30
"""The widest bar of a histogram, in characters."""
_LABELS = [label.value for label in Label]


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What two models have said of the same images."""

    champion: str
    """The version of the model that decides."""
    challenger: str
    """The version of the shadow model."""
    labels: list[tuple[str, str]] = field(default_factory=list)
    """The labels of each image by the champion, before a review, and by the challenger."""
    risks: list[tuple[float, float]] = field(default_factory=list)
    """The risks of each image that neither of them has refused."""
    refused: list[tuple[bool, bool]] = field(default_factory=list)
    """Whether the gates have refused each image."""

    def add(self, scored: Mapping[str, Any]) -> None:
        """Add an image.

        Args:
            scored: of an audit record, with the result of the shadow model.
        """
        shadow, review = scored["shadow"], scored.get("review")
        own = review["label_before"] if review else scored["label"]
        self.labels.append((own, shadow["label"]))
        gates = (bool(scored.get("refused")), bool(shadow["refused"]))
        self.refused.append(gates)
        if not any(gates):
            self.risks.append((scored["risk"], shadow["risk"]))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-able values."""
        same = sum(one == other for one, other in self.labels)
        risks = np.array(self.risks).reshape(-1, 2)
        apart = np.abs(risks[:, 0] - risks[:, 1])
        return {
            "champion": self.champion,
            "challenger": self.challenger,
            "cases": len(self.labels),
            "same_label": {"cases": same, **proportion(same, len(self.labels))},
            "labels": {
                own: {other: self.labels.count((own, other)) for other in _LABELS}
                for own in _LABELS
            },
            "refused": {
                "champion": sum(one for one, _ in self.refused),
                "challenger": sum(other for _, other in self.refused),
                "both": sum(one and other for one, other in self.refused),
            },
            "difference_of_risks": {
                "mean": round(float(apart.mean()), 4) if len(apart) else None,
                "largest": round(float(apart.max()), 4) if len(apart) else None,
            },
            "histograms": {
                name: np.bincount(bins(risks[:, k]), minlength=BINS).tolist()
                for k, name in enumerate(("champion", "challenger"))
            },
        }


def compare(
    trails: Iterable[Sequence[Mapping[str, Any]]], period: Period
) -> tuple[list[Comparison], int]:
    """Compare the models by the last result of each case in a period.

    Args:
        trails: the records of each case, as :func:`xray.audit.trails` yields them.
        period: the time in which the results were recorded.

    Returns:
        A comparison of each pair of models, and the number of results of which the shadow model has
        none, because it could not score the image.
    """
    found: dict[tuple[str, str], Comparison] = {}
    failed = 0
    for scored in _last_results(trails, period):
        shadow = scored["shadow"]
        if "problem" in shadow:
            failed += 1
            continue
        pair = (scored["model"], shadow["model"])
        if pair not in found:
            found[pair] = Comparison(champion=pair[0], challenger=pair[1])
        found[pair].add(scored)
    return list(found.values()), failed


def _last_results(
    trails: Iterable[Sequence[Mapping[str, Any]]], period: Period
) -> Iterator[Mapping[str, Any]]:
    """Yield the last published result of each case that a shadow model was to score, too."""
    for trail in trails:
        ended = [
            record["scored"]
            for record in trail
            if record.get("outcome") == audit.SUCCEEDED
            and record.get("scored")
            and record["recorded_at"] in period
        ]
        if ended and ended[-1].get("shadow"):
            yield ended[-1]


def in_words(comparison: Mapping[str, Any]) -> str:
    """Return the figures of :meth:`Comparison.to_json` as a text of several lines."""
    same, refused = comparison["same_label"], comparison["refused"]
    apart = comparison["difference_of_risks"]
    low, high = same["interval"]
    lines = [
        f"{comparison['challenger']} in the shadow of {comparison['champion']}, "
        f"{comparison['cases']:,} cases",
        f"same label   {same['cases']:,}: {same['value']:.1%} ({low:.1%} to {high:.1%})",
        f"refused      {refused['champion']:,} by the champion, {refused['challenger']:,} by the "
        f"challenger, {refused['both']:,} by both",
    ]
    if apart["mean"] is not None:
        lines.append(
            f"difference   of the risks: {apart['mean']:.3f} on average, {apart['largest']:.3f} at "
            "most"
        )
    lines += ["", *_label_table(comparison["labels"]), "", *_histograms(comparison["histograms"])]
    return "\n".join(lines)


def _label_table(counted: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield f"{'champion':12} challenger: " + " ".join(f"{name:>10}" for name in _LABELS)
    for own in _LABELS:
        yield f"{own:24} " + " ".join(f"{counted[own][other]:>10,}" for other in _LABELS)


def _histograms(counted: Mapping[str, Sequence[int]]) -> Iterator[str]:
    most = max(max(one) for one in counted.values()) or 1
    yield "risk          " + "".join(f"{name:{_WIDEST + 10}}" for name in counted).rstrip()
    for place, numbers in enumerate(zip(*counted.values(), strict=True)):
        bars = "".join(
            f"{number:>8,} {'█' * round(_WIDEST * number / most):{_WIDEST + 1}}"
            for number in numbers
        )
        yield f"{place / BINS:.1f} to {(place + 1) / BINS:.1f}  {bars}".rstrip()
