"""The values that the steps of a case hand on: small, typed and JSON-able.

The object key is patient data, so no value here holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from xray.errors import PermanentError

SOURCE_ETAG = "source-etag"
"""The metadata of an annotated image that holds the etag of the original."""
SOURCE_MODIFIED = "source-modified"
"""The metadata of an annotated image that holds the time of the original's upload."""


class Decision(StrEnum):
    """What became of a case's results. The values are data: audit records hold them."""

    PUBLISHED = "published"
    """The annotated image was published; the policy asked for no anonymised one."""
    ANONYMIZED = "published and anonymised"
    QUARANTINED = "quarantined"
    """The annotated image was published; the anonymised one waits for a person's decision."""
    SUPERSEDED = "superseded"
    """Nothing was published: a newer upload, or a later case of the same upload, has taken over."""
    DELETED = "deleted"
    """Nothing was published: the object's results were deleted on request during the case."""


SCHEMA = 1
"""The version of the form in which tasks hand on their results. Version 0.1.0 names none."""


def check_schema(values: Mapping[str, Any]) -> None:
    """Refuse the result of a task of a later version, whose form may be another one.

    Raises:
        PermanentError: a later version of this package has written the result.
    """
    if (schema := values.get("schema", SCHEMA)) > SCHEMA:
        raise PermanentError(
            f"The result of an earlier task has the schema {schema}, and this version reads "
            f"schema {SCHEMA}: use the version of this package that has written it."
        )


class Value:
    """A dataclass that travels as JSON."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the value that :meth:`to_json` was called on."""
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned(Value):
    """The one object that the case works on, exactly as *fetch* found it."""

    case_id: str
    version_id: str | None
    etag: str
    sha256: str
    size: int
    """In bytes."""
    modified: str
    """The time at which the store received the object, in ISO 8601."""
    format: str
    width: int
    height: int
    """In pixels, as the width is."""
    settings: dict[str, Any]
    """The settings of the whole case, even if the deployment's settings change before its end."""
    claim: int = 0
    """The number of the case's claim on the object; 0 if it has none. See :mod:`xray.case.claim`.
    """
    object: str | None = None
    """The keyed hash of the object key, for the index of the cases."""
    patient: str | None = None
    """The keyed hash of the patient, for the index of the cases; None if the key names none."""
    schema: int = SCHEMA

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the value that :meth:`to_json` was called on.

        Raises:
            PermanentError: a later version of this package has written it.
        """
        check_schema(values)
        return cls(**values)

    def to_record(self) -> dict[str, Any]:
        """Return the fields for an audit record, which holds the settings, the claim and a schema
        under names of its own, and the object key in place of its hashes."""
        elsewhere = ("settings", "claim", "schema", "object", "patient")
        return {name: value for name, value in self.to_json().items() if name not in elsewhere}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Value):
    """The result of *classify*."""

    risk: float
    """The risk of pneumonia, 0 to 1."""
    label: str
    model: str
    """The version of the model."""
    refused: str | None = None
    """Why the risk means nothing, such as "upside down". The label is then Unsure."""
    evidence: list[list[float]] | None = None
    """Where the risk comes from: see :class:`xray.risk.Prediction`."""
    shadow: dict[str, Any] | None = None
    """The result of the shadow model: its version, risk and label, and why it refused the image; or
    the problem that kept it from scoring. None if there is no such model."""
    review: dict[str, Any] | None = None
    """The person's review, if there was one: the label before, the choice, who made it (None if
    nobody answered in time) and when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged(Value):
    """An image in the staging bucket that waits to be published."""

    name: str
    """The key in the staging bucket, made of the case id."""
    sha256: str
    size: int
    """In bytes."""
    content_type: str
    suffix: str
    """The suffix of the image's format, with its dot."""
    redaction: dict[str, Any] | None = None
    """Of an anonymised image: :meth:`xray.redaction.Redaction.summary`."""
    thumbnail: str | None = None
    """Of an annotated image: SHA-256 of its thumbnail, which is staged beside it."""

    @property
    def quarantined(self) -> bool:
        """Whether the image must not be published."""
        return bool(self.redaction and self.redaction["quarantined"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Value):
    """The end of a case."""

    case_id: str
    label: str
    risk: float
    decision: Decision
    attempt: int
    """The number of times that the case was run to an end, this one included."""
    claim: int = 0
    """The number of the claim under which the results were published."""
    schema: int = SCHEMA

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the outcome that :meth:`to_json` was called on.

        Raises:
            PermanentError: a later version of this package has written it.
        """
        check_schema(values)
        return cls(**{**values, "decision": Decision(values["decision"])})
