"""xray.settings"""

from __future__ import annotations

import json

import pytest

from xray.errors import SettingsError
from xray.settings import Label, Policy, Settings, case_settings


def test_the_defaults_are_the_original_systems() -> None:
    settings = Settings()
    assert (settings.normal_below, settings.pneumonia_above) == (0.60, 0.80)
    assert settings.anonymize is Policy.PNEUMONIA


@pytest.mark.parametrize(
    ("risk", "rounded"),
    [
        (0.0, 0.0),
        (0.0004, 0.0),
        (0.5951, 0.59),
        (0.5999, 0.59),
        (0.6001, 0.60),
        (0.7981, 0.80),
        (0.80, 0.80),
        (0.8012, 0.81),
        (0.9349, 0.93),
        (0.9999, 1.0),
        (1.0, 1.0),
    ],
)
def test_a_rounded_risk_has_the_same_label(risk: float, rounded: float) -> None:
    settings = Settings()
    assert settings.rounded(risk) == rounded
    assert settings.label(rounded) == settings.label(risk)


def test_a_risk_is_rounded_to_the_nearest_number_if_none_has_its_label() -> None:
    settings = Settings(normal_below=0.801, pneumonia_above=0.803)
    assert settings.rounded(0.802) == 0.80
    narrow = Settings(normal_below=0.0, pneumonia_above=0.998)
    assert narrow.rounded(0.999) == 1.0
    assert narrow.rounded(0.997) == 0.99, "at most 1, and not Pneumonia"


@pytest.mark.parametrize(
    ("risk", "label"),
    [
        (0.0, Label.NORMAL),
        (0.5999, Label.NORMAL),
        (0.60, Label.UNSURE),
        (0.80, Label.UNSURE),
        (0.8001, Label.PNEUMONIA),
        (1.0, Label.PNEUMONIA),
    ],
)
def test_labels_at_the_thresholds(risk: float, label: Label) -> None:
    assert Settings().label(risk) is label


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (Policy.NEVER, set()),
        (Policy.PNEUMONIA, {Label.PNEUMONIA}),
        (Policy.UNSURE, {Label.UNSURE}),
        (Policy.ALWAYS, set(Label)),
    ],
)
def test_the_policy_decides_which_labels_are_anonymised(policy: Policy, wanted: set[Label]) -> None:
    settings = Settings(anonymize=policy)
    assert {label for label in Label if settings.wants_anonymized(label)} == wanted


@pytest.mark.parametrize("label", Label)
def test_a_person_reviews_unsure_cases_if_asked_to(label: Label) -> None:
    assert not Settings().wants_review(label), "it is off by default"
    assert Settings(review_unsure=True).wants_review(label) is (label is Label.UNSURE)


def test_settings_travel_as_json() -> None:
    settings = Settings(normal_below=0.5, anonymize=Policy.ALWAYS, max_bytes=10)
    assert Settings.from_mapping(json.loads(json.dumps(settings.to_mapping()))) == settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"normal_bellow": 0.5}, "normal_bellow"),
        ({"normal_below": "high"}, "'high'"),
        ({"normal_below": True}, "True"),
        ({"normal_below": 0.9}, "0.9 and 0.8"),
        ({"normal_below": -0.1}, "normal_below must be at least 0, not -0.1"),
        ({"review_hours": 0}, "review_hours must be above 0"),
        ({"review_unsure": 1}, "true or false"),
        ({"max_frames": 0}, "max_frames"),
        ({"pneumonia_above": 1.1}, "1.1"),
        ({"pneumonia_above": float("nan")}, "nan"),
        ({"anonymize": "sometimes"}, "never, pneumonia, unsure, always"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_pixels": 1.5}, "whole number"),
        ({"max_pixels": float("inf")}, "whole number"),
        ({"key_decoding": None}, "None"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_or_value(
    values: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(values)
    assert said in str(caught.value)


def test_the_form_and_the_check_agree() -> None:
    forms = case_settings()
    assert set(forms) == set(Settings().to_mapping()) - {
        "key_decoding",
        "follow_deletions",
        "two_to_release",
        "shadow_model",
    }
    assert forms["normal_below"] == {
        "type": "number",
        "description": "Risk (0 to 1) below which an image is labelled Normal",
        "minimum": 0,
        "maximum": 1,
    }
    assert forms["anonymize"]["enum"] == [policy.value for policy in Policy]
    assert forms["review_unsure"]["type"] == "boolean"
    for name, form in forms.items():
        if "minimum" in form:
            with pytest.raises(SettingsError, match=name):
                Settings.from_mapping({name: form["minimum"] - 1})
