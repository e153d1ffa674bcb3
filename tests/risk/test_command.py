"""python -m xray.risk: a comparison of two models, and people's reviews, from the audit trail"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.audit_records import BUCKET, REDACTION, SECRETS, ending, success
from xray import audit
from xray.audit.record import SCHEMA_VERSION, complete, record_name, to_bytes
from xray.command_line import SECRET_ENVIRONMENT
from xray.risk.command import main
from xray.settings import Settings
from xray.storage import ObjectStore

SETTINGS = Settings()
ANOTHER = "the secret of another deployment"


class Trails:
    """A folder with the audit records of many cases, as the pipeline would have written them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases = 0

    def add(self, *records: Mapping[str, Any], day: int = 1) -> Path:
        """Add a case, whose records are a minute apart on a day of November."""
        case_id = f"{self.cases:032x}"
        self.cases += 1
        for number, record in enumerate(records, 1):
            time = f"2026-11-{day:02d}T12:{number:02d}:00+00:00"
            place = {"case_id": case_id, "number": number, "attempt": number, "recorded_at": time}
            chained = {"schema": SCHEMA_VERSION, "previous": None, **record, **place}
            path = self.folder / record_name(case_id, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_bytes(complete(chained, ANOTHER)))
        return path


@pytest.fixture
def trails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trails:
    monkeypatch.delenv(SECRET_ENVIRONMENT, raising=False)
    (tmp_path / "audit").mkdir()
    return Trails(tmp_path / "audit")


def scored(risk: float, *, refused: str | None = None, **more: Any) -> dict[str, Any]:
    """The result of a model."""
    label = "Unsure" if refused else SETTINGS.label(risk).value
    return {"risk": risk, "label": label, "model": "old-1", "refused": refused, **more}


def shadow(risk: float, **more: Any) -> dict[str, Any]:
    return {**scored(risk, **more), "model": "new-2"}


def ended(result: dict[str, Any]) -> dict[str, Any]:
    return {**success("t", REDACTION), "scored": result}


def reviewed(risk: float, choice: str, *, refused: str | None = None) -> dict[str, Any]:
    """The record of a review of an Unsure case."""
    review = {"label_before": "Unsure", "choice": choice, "by": "ada", "at": "…"}
    label = {"Keep Unsure": "Unsure"}.get(choice, choice)
    result = {**scored(risk, refused=refused), "label": label, "review": review}
    return ending("reviewed", "t", scored=result)


def said(trails: Trails, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run the command, and return the figures."""
    file = trails.folder.parent / "figures.json"
    command, *rest = arguments
    assert main([command, str(trails.folder), "--json", str(file), *rest]) == status
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_the_models_are_compared(trails: Trails, capsys: pytest.CaptureFixture[str]) -> None:
    for risk, other in ((0.05, 0.15), (0.95, 0.97), (0.9, 0.7), (0.5, 0.4)):
        trails.add(ended(scored(risk, shadow=shadow(other))))
    trails.add(ended(scored(0.9, refused="inverted", shadow=shadow(0.3))))
    trails.add(ended(scored(0.9)))  # Before there was a shadow model.
    trails.add(ended(scored(0.9, shadow={"problem": "xray.tflite is missing."})))
    (found,) = said(trails, "compare")["comparisons"]
    assert (found["champion"], found["challenger"], found["cases"]) == ("old-1", "new-2", 5)
    assert found["same_label"]["cases"] == 3
    assert found["labels"]["Pneumonia"] == {"Normal": 0, "Unsure": 1, "Pneumonia": 1}
    assert found["labels"]["Unsure"] == {"Normal": 1, "Unsure": 0, "Pneumonia": 0}
    assert found["refused"] == {"champion": 1, "challenger": 0, "both": 0}
    assert found["difference_of_risks"] == {"mean": 0.105, "largest": 0.2}
    assert found["histograms"] == {
        "champion": [1, 0, 0, 0, 0, 1, 0, 0, 0, 2],
        "challenger": [0, 1, 0, 0, 1, 0, 0, 1, 0, 1],
    }
    text = capsys.readouterr().out
    assert text.startswith("new-2 in the shadow of old-1, 5 cases\nsame label   3: 60.0% (")
    assert "1 more could not be scored by the shadow model" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_last_result_of_a_case_counts_and_its_review_does_not(trails: Trails) -> None:
    first = ended(scored(0.1, shadow=shadow(0.9)))
    result = scored(0.7, shadow=shadow(0.7))
    review = {"label_before": "Unsure", "choice": "Pneumonia", "by": "ada", "at": "…"}
    trails.add(first, ended({**result, "label": "Pneumonia", "review": review}))
    (found,) = said(trails, "compare")["comparisons"]
    assert (found["cases"], found["same_label"]["cases"]) == (1, 1)


def test_each_pair_of_models_is_compared_in_a_period(trails: Trails) -> None:
    for day in (1, 2, 3):
        trails.add(ended(scored(0.1, shadow=shadow(0.1))), day=day)
    trails.add(ended(scored(0.1, shadow={**shadow(0.1), "model": "new-3"})), day=3)
    counted = [
        {one["challenger"]: one["cases"] for one in said(trails, "compare", *period)["comparisons"]}
        for period in ((), ("--since", "2026-11-02", "--until", "2026-11-03T12:00"))
    ]
    assert counted == [{"new-2": 3, "new-3": 1}, {"new-2": 1}]
    assert said(trails, "compare", "--since", "2026-12-01", status=1)["comparisons"] == []


def test_a_time_that_is_none_is_a_wrong_call(trails: Trails) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["compare", str(trails.folder), "--since", "yesterday"])
    assert ending.value.code == 2


def test_people_are_the_truth(trails: Trails, capsys: pytest.CaptureFixture[str]) -> None:
    # The model separates the classes at .65, and people know better in one case of each.
    for risk in np.linspace(0.66, 0.79, 20):
        trails.add(reviewed(risk, "Pneumonia"))
    for risk in np.linspace(0.6, 0.64, 20):
        trails.add(reviewed(risk, "Normal"))
    trails.add(reviewed(0.61, "Pneumonia"))
    trails.add(reviewed(0.78, "Normal"))
    trails.add(reviewed(0.7, "Keep Unsure"))
    trails.add(reviewed(0.9, "Normal", refused="inverted"))
    (found,) = said(trails, "reviews")["models"]
    assert found["reviews"] == {"pneumonia": 21, "normal": 21}
    assert (found["refused"], found["undecided"]) == (1, 1)
    assert found["risks"] == [0.6, 0.79]
    assert found["thresholds"]["0.5"]["sensitivity"]["value"] == 1.0
    assert found["thresholds"]["0.5"]["specificity"]["value"] == 0.0
    fitted = found["fitted"]["threshold"]
    assert 0.64 < fitted["value"] < 0.66
    assert fitted["sensitivity"]["value"] == fitted["specificity"]["value"] == round(20 / 21, 4)
    low, high = fitted["interval"]
    assert 0.6 < low <= fitted["value"] <= high < 0.79
    text = capsys.readouterr().out
    assert text.startswith("old-1: 42 reviews, 21 Pneumonia and 21 Normal; left out: 1 that")
    assert "the figures say nothing of others" in text


def test_the_temperature_of_risks_that_are_too_sure(trails: Trails) -> None:
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 1.5, 400)
    sick = generator.uniform(size=400) < 1 / (1 + np.exp(-logits))
    for logit, ill in zip(logits, sick, strict=True):
        trails.add(reviewed(float(1 / (1 + np.exp(-3 * logit))), "Pneumonia" if ill else "Normal"))
    (found,) = said(trails, "reviews")["models"]
    fitted = found["fitted"]["temperature"]
    low, high = fitted["interval"]
    assert low < 3 < high
    assert fitted["calibration_error_balanced"] < found["calibration_error_balanced"] / 2


def test_few_reviews_fit_nothing(trails: Trails, capsys: pytest.CaptureFixture[str]) -> None:
    trails.add(reviewed(0.7, "Normal"))
    trails.add(reviewed(0.7, "Pneumonia"), reviewed(0.7, "Normal"))
    (found,) = said(trails, "reviews")["models"]
    assert found["reviews"] == {"pneumonia": 0, "normal": 2}, "the last review of a case counts"
    assert found["fitted"] is None
    assert "at least 10 reviews of each class" in capsys.readouterr().out
    assert said(trails, "reviews", "--until", "2026-11-01", status=1)["models"] == []


def test_with_the_secret_a_forged_record_does_not_count(
    store: ObjectStore, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_ENVIRONMENT, SECRETS[0])
    for number in range(2):
        result = ended(scored(0.1, shadow=shadow(0.1)))
        audit.append(store, BUCKET, f"{number:032x}", result, SECRETS)
    trails = Trails(tmp_path / "audit")
    for name, data in audit.objects(store, BUCKET):
        path = trails.folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    trails.cases = 2
    trails.add(ended(scored(0.1, shadow=shadow(0.9))))
    (trails.folder / record_name("0" * 32, 2)).write_text("[]")
    (found,) = said(trails, "compare")["comparisons"]
    assert (found["cases"], found["same_label"]["cases"]) == (2, 2)
