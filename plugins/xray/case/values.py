"""What the steps of a case hand on: small, typed values that travel as JSON.

The object key is patient data, so no value here holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


class Value:
    """A dataclass that travels as JSON."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The value that :meth:`to_json` gave."""
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned(Value):
    """What *fetch* found: exactly this object, and no other, is the case's."""

    case_id: str
    version_id: str | None
    etag: str
    sha256: str
    size: int
    """Bytes."""
    modified: str
    """When the store got it, in ISO 8601."""
    format: str
    width: int
    height: int
    """Pixels."""
    settings: dict[str, Any]
    """What the whole case goes by, even if the deployment's settings change on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Value):
    """What *classify* found."""

    risk: float
    """Risk of pneumonia, 0 to 1."""
    label: str
    model: str
    """The version of the model that scored it."""
    refused: str | None = None
    """Why the risk means nothing, as in "upside down"; the label is then Unsure."""
    evidence: list[list[float]] | None = None
    """Where the risk comes from: see :class:`xray.risk.Reading`."""
    review: dict[str, Any] | None = None
    """If a person was asked: the label before, the choice, who made it (None: nobody in time) and
    when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged(Value):
    """An image that waits in the staging bucket to be published."""

    name: str
    """Its key there, made of the case id."""
    sha256: str
    size: int
    """Bytes."""
    content_type: str
    suffix: str
    """Of its format, with the dot."""
    redaction: dict[str, Any] | None = None
    """Of an anonymised one: engine, how many regions were removed, verified, quarantined."""

    @property
    def quarantined(self) -> bool:
        """Whether it must not be published."""
        return bool(self.redaction and self.redaction["quarantined"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Value):
    """How a case ended."""

    case_id: str
    label: str
    risk: float
    decision: str
    """``published``, ``published and anonymised``, ``quarantined``, or ``superseded``."""
    attempt: int
    """How often the case was run to an end, with this time."""
