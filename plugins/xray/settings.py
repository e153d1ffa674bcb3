"""What an operator can set, validated once, in one typed place.

Settings travel as JSON (an Airflow Variable, a run's conf), so every field is
a plain value. A wrong one is refused with its name and value; nothing falls
back silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

from xray.errors import SettingsError


class Label(StrEnum):
    """What a risk means, in the words that are printed on the image."""

    NORMAL = "Normal"
    UNSURE = "Unsure"
    PNEUMONIA = "Pneumonia"


class Policy(StrEnum):
    """Which cases get an anonymised copy."""

    NEVER = "never"
    PNEUMONIA = "pneumonia"
    UNSURE = "unsure"
    ALWAYS = "always"


class KeyDecoding(StrEnum):
    """How the object key stands in a notification."""

    AUTO = "auto"
    """As the dialect that sent it does it."""
    RAW = "raw"
    FORM = "form"
    """URL-encoded, with ``+`` for a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The pipeline's settings; the defaults are those of the original system."""

    normal_below: float = 0.60
    """Risk (0 to 1) under which an image is labelled Normal."""
    pneumonia_above: float = 0.80
    """Risk (0 to 1) above which an image is labelled Pneumonia."""
    anonymize: Policy = Policy.PNEUMONIA
    """Which cases get an anonymised copy."""
    max_bytes: int = 64 * 1024 * 1024
    """Largest object that is read, in bytes."""
    max_pixels: int = 50_000_000
    """Largest image that is decoded, in pixels."""
    key_decoding: KeyDecoding = KeyDecoding.AUTO
    """How object keys stand in the notifications."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.normal_below <= self.pneumonia_above <= 1.0:
            raise SettingsError(
                "The thresholds must satisfy 0 <= normal_below <= pneumonia_above <= 1, not "
                f"normal_below={self.normal_below} and pneumonia_above={self.pneumonia_above}."
            )
        for name in ("max_bytes", "max_pixels"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, not {getattr(self, name)}.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Settings from JSON-able ``values``; what is absent keeps its default.

        Raises:
            SettingsError: for an unknown name, a value of the wrong type, or one out of range.
        """
        known = {field.name: type(field.default) for field in fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise SettingsError(
                f"Unknown setting {unknown[0]!r}: the settings are {', '.join(sorted(known))}."
            )
        return cls(**{name: _coerce(name, value, known[name]) for name, value in values.items()})

    def to_mapping(self) -> dict[str, Any]:
        """The settings as JSON-able values, all of them."""
        return asdict(self)

    def label(self, risk: float) -> Label:
        """The label of a ``risk`` (0 to 1)."""
        if risk > self.pneumonia_above:
            return Label.PNEUMONIA
        if risk < self.normal_below:
            return Label.NORMAL
        return Label.UNSURE

    def wants_anonymized(self, label: Label) -> bool:
        """Whether the policy asks for an anonymised copy of a case with this ``label``."""
        match self.anonymize:
            case Policy.ALWAYS:
                return True
            case Policy.NEVER:
                return False
            case Policy.PNEUMONIA:
                return label is Label.PNEUMONIA
            case Policy.UNSURE:
                return label is Label.UNSURE


def _coerce(name: str, value: Any, kind: type) -> Any:
    """``value`` as a ``kind``, without Python's generous conversions (True is no number)."""
    if issubclass(kind, StrEnum):
        try:
            return kind(value)
        except ValueError:
            raise SettingsError(
                f"{name} must be one of {', '.join(kind)}, not {value!r}."
            ) from None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is int and number and value == int(value):
        return int(value)
    raise SettingsError(
        f"{name} must be {'a whole number' if kind is int else 'a number'}, not {value!r}."
    )
