"""The settings of the pipeline, typed and validated.

Settings travel as JSON (an Airflow Variable, a run's conf), so every field is
a plain value. A wrong value is refused with the setting's name; no setting
falls back to its default silently. The description and the range of a field
stand beside it. Both the check and the form in the UI use them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from xray.errors import SettingsError

PATIENT_PATTERN = r"_(?P<patient>\d+)_\d{4}-\d{2}-\d{2}_\d{4}-\d{2}-\d{2}\.[^./]+$"
"""Finds the patient in the original system's keys, ``demo_NAME_NUMBER_BIRTH_EXAM.jpeg``."""


class Label(StrEnum):
    """The label of a risk, as it is printed on the image."""

    NORMAL = "Normal"
    UNSURE = "Unsure"
    PNEUMONIA = "Pneumonia"


class Policy(StrEnum):
    """The cases that get an anonymised copy."""

    NEVER = "never"
    PNEUMONIA = "pneumonia"
    UNSURE = "unsure"
    ALWAYS = "always"


class DicomForm(StrEnum):
    """The form of the anonymised copy of a DICOM image."""

    DICOM = "dicom"
    PNG = "png"


class Outputs(StrEnum):
    """Where the results of DICOM images go, beside the buckets."""

    BUCKETS = "buckets"
    """The results stay in the buckets."""
    ANNOTATED_TO_PACS = "annotated_to_pacs"
    """The annotated image, and the structured report if there is one, go to the PACS."""
    ANONYMIZED_TO_PACS = "anonymized_to_pacs"
    """The anonymised image goes to the PACS, which is then one for research."""


RETAINABLE = ("dates", "device", "characteristics")
"""What an anonymised DICOM image can keep: the fields of :class:`xray.image.dicom.Retained`."""


class KeyDecoding(StrEnum):
    """The encoding of the object key in a notification."""

    AUTO = "auto"
    """As the dialect of the notification encodes it."""
    RAW = "raw"
    """Not encoded."""
    FORM = "form"
    """URL-encoded, with ``+`` for a space."""


def _about(description: str, *, of_a_case: bool = True, **schema: Any) -> dict[str, Any]:
    """Return a field's metadata.

    Args:
        description: for the form and the documentation.
        of_a_case: whether a single case may have a value of its own.
        schema: the range, in the keywords of JSON Schema.
    """
    return {"description": description, "of_a_case": of_a_case, "schema": schema}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The pipeline's settings; the defaults are those of the original system."""

    normal_below: float = field(
        default=0.60,
        metadata=_about(
            "Risk (0 to 1) below which an image is labelled Normal", minimum=0, maximum=1
        ),
    )
    pneumonia_above: float = field(
        default=0.80,
        metadata=_about(
            "Risk (0 to 1) above which an image is labelled Pneumonia", minimum=0, maximum=1
        ),
    )
    anonymize: Policy = field(
        default=Policy.PNEUMONIA, metadata=_about("Which cases get an anonymised copy")
    )
    keep_markers: bool = field(
        default=True,
        metadata=_about(
            "Whether an anonymised image keeps a laterality marker (L, R and the like) that "
            "stands alone"
        ),
    )
    outline_redactions: bool = field(
        default=False,
        metadata=_about(
            "Whether a thin line marks the places of an anonymised image that had text"
        ),
    )
    anonymized_dicom: DicomForm = field(
        default=DicomForm.DICOM,
        metadata=_about("The form of the anonymised copy of a DICOM image"),
    )
    retain_dates: bool = field(
        default=False,
        metadata=_about(
            "Whether an anonymised DICOM image keeps its dates, moved by a number of days that is "
            "secret and the same for all images of a patient"
        ),
    )
    retain_device: bool = field(
        default=False,
        metadata=_about("Whether an anonymised DICOM image keeps what names the device"),
    )
    retain_characteristics: bool = field(
        default=False,
        metadata=_about(
            "Whether an anonymised DICOM image keeps the patient's sex, age, size and weight"
        ),
    )
    outputs: Outputs = field(
        default=Outputs.BUCKETS,
        metadata=_about("Which results of DICOM images go to the PACS of the connection xray_pacs"),
    )
    patient_pattern: str = field(
        default=PATIENT_PATTERN,
        metadata=_about(
            "Regular expression whose group patient finds the patient in the object key: images "
            "of the same patient get the same pseudonym",
            maxLength=500,
        ),
    )
    evidence: bool = field(
        default=False,
        metadata=_about(
            "Whether a picture of the evidence is published beside the annotated image"
        ),
    )
    structured_report: bool = field(
        default=False,
        metadata=_about(
            "Whether a structured report is published beside the annotated DICOM image"
        ),
    )
    review_unsure: bool = field(
        default=False, metadata=_about("Whether an Unsure case waits for a person's decision")
    )
    review_hours: float = field(
        default=24.0,
        metadata=_about(
            "Hours of waiting for the decision, after which the case stays Unsure and goes on",
            exclusiveMinimum=0,
            maximum=24 * 365,
        ),
    )
    two_to_release: bool = field(
        default=False,
        metadata=_about(
            "Whether two different people have to agree to the release of a quarantined image",
            of_a_case=False,
        ),
    )
    shadow_model: str = field(
        default="",
        metadata=_about(
            "Folder of a second model, which scores each image and decides nothing; empty for none",
            of_a_case=False,
            maxLength=500,
        ),
    )
    max_bytes: int = field(
        default=64 * 1024 * 1024,
        metadata=_about("Largest object that is read, in bytes", minimum=1),
    )
    max_pixels: int = field(
        default=20_000_000, metadata=_about("Largest image that is decoded, in pixels", minimum=1)
    )
    min_side: int = field(
        default=64,
        metadata=_about("Shorter side of the smallest image that is read, in pixels", minimum=1),
    )
    max_frames: int = field(
        default=1,
        metadata=_about(
            "Most frames or pages of an image, the first of which is processed", minimum=1
        ),
    )
    key_decoding: KeyDecoding = field(
        default=KeyDecoding.AUTO,
        metadata=_about("Encoding of the object keys in the notifications", of_a_case=False),
    )
    follow_deletions: bool = field(
        default=False,
        metadata=_about(
            "Whether the results of an image are deleted when the store announces that the image "
            "was deleted",
            of_a_case=False,
        ),
    )

    def __post_init__(self) -> None:
        for name, setting in _FIELDS.items():
            _check_range(name, getattr(self, name), setting.metadata["schema"])
        _check_pattern(self.patient_pattern)
        if not self.normal_below <= self.pneumonia_above:
            raise SettingsError(
                "normal_below must not be above pneumonia_above: they are "
                f"{self.normal_below} and {self.pneumonia_above}."
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from JSON-able ``values``; absent settings have their defaults.

        Raises:
            SettingsError: a name is unknown, or a value has the wrong type or is out of range.
        """
        known = {name: type(setting.default) for name, setting in _FIELDS.items()}
        if unknown := sorted(set(values) - set(known)):
            raise SettingsError(
                f"Unknown setting {unknown[0]!r}: the settings are {', '.join(sorted(known))}."
            )
        return cls(**{name: _coerce(name, value, known[name]) for name, value in values.items()})

    def to_mapping(self) -> dict[str, Any]:
        """Return all settings as JSON-able values."""
        return asdict(self)

    def label(self, risk: float) -> Label:
        """Return the label of a ``risk`` (0 to 1)."""
        if risk > self.pneumonia_above:
            return Label.PNEUMONIA
        if risk < self.normal_below:
            return Label.NORMAL
        return Label.UNSURE

    def rounded(self, risk: float) -> float:
        """Return a ``risk`` (0 to 1) with two digits: many cases have the same number.

        A number with another label is avoided: with a threshold of .80, a risk of .803 becomes .81.
        """
        nearest = round(risk, 2)
        numbers = (nearest, round(nearest - 0.01, 2), round(nearest + 0.01, 2))
        possible = [number for number in numbers if self.label(number) == self.label(risk)]
        return min(max(possible[0] if possible else nearest, 0.0), 1.0)

    def wants_review(self, label: str) -> bool:
        """Return whether a person is to look at a case with this ``label`` before it goes on."""
        return self.review_unsure and label == Label.UNSURE

    def retained(self) -> set[str]:
        """Return what an anonymised DICOM image keeps beyond the Basic Profile."""
        return {name for name in RETAINABLE if getattr(self, f"retain_{name}")}

    def wants_anonymized(self, label: str) -> bool:
        """Return whether the policy asks for an anonymised copy of a case with this ``label``."""
        match self.anonymize:
            case Policy.ALWAYS:
                return True
            case Policy.NEVER:
                return False
            case Policy.PNEUMONIA:
                return label == Label.PNEUMONIA
            case Policy.UNSURE:
                return label == Label.UNSURE


_FIELDS: dict[str, Field[Any]] = {setting.name: setting for setting in fields(Settings)}
_SCHEMA_TYPE = {bool: "boolean", int: "integer", float: "number"}


def case_settings() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each setting that a single case may override, for a form."""
    forms = {}
    for name, setting in _FIELDS.items():
        if setting.metadata["of_a_case"]:
            kind = type(setting.default)
            choices = {"enum": [str(c) for c in kind]} if issubclass(kind, StrEnum) else {}
            forms[name] = {
                "type": _SCHEMA_TYPE.get(kind, "string"),
                "description": setting.metadata["description"],
                **setting.metadata["schema"],
                **choices,
            }
    return forms


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise SettingsError(f"patient_pattern is not a regular expression: {error}.") from None
    if "patient" not in groups:
        raise SettingsError("patient_pattern must have a group (?P<patient>…).")


def _check_range(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    """Refuse a value out of its range, and NaN."""
    least, above, most = (schema.get(k) for k in ("minimum", "exclusiveMinimum", "maximum"))
    # Negated, so that NaN is refused: every comparison with it is false.
    if least is not None and not value >= least:
        raise SettingsError(f"{name} must be at least {least}, not {value}.")
    if above is not None and not value > above:
        raise SettingsError(f"{name} must be above {above}, not {value}.")
    if most is not None and not value <= most:
        raise SettingsError(f"{name} must be at most {most}, not {value}.")


def _coerce(name: str, value: Any, kind: type) -> Any:
    """Return ``value`` as a ``kind``. Unlike Python, refuse True as a number."""
    if issubclass(kind, StrEnum):
        try:
            return kind(value)
        except ValueError:
            raise SettingsError(
                f"{name} must be one of {', '.join(kind)}, not {value!r}."
            ) from None
    if kind is str:
        if isinstance(value, str):
            return value
        raise SettingsError(f"{name} must be a string, not {value!r}.")
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise SettingsError(f"{name} must be true or false, not {value!r}.")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is int and number and (isinstance(value, int) or value.is_integer()):
        return int(value)
    raise SettingsError(
        f"{name} must be {'a whole number' if kind is int else 'a number'}, not {value!r}."
    )
