"""A case: one version of one object, its identity, and what its steps hand on.

The object key is patient data. It lives in the run's conf and in the
identified buckets; a step hands on the values of this module, which carry none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Self

from xray.errors import SettingsError
from xray.notification import Record
from xray.pseudonym import pseudonym
from xray.settings import PATIENT_PATTERN

RUN_PREFIX = "xray__"
RESTARTING_SEQUENCERS = frozenset({"versitygw"})
"""Dialects whose sequencer counts from one again when the gateway restarts: alone it does not
tell one upload from another."""
_OBJECT_DIGITS = 16
"""Hexadecimal digits of a case id that tell the object; the rest tells the upload."""


class _Value:
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
class Source(_Value):
    """The object a case is about, and how the pipeline heard of it: a run's conf."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    sequencer: str | None = None
    event_time: str | None = None
    origin: str = "manual"
    """The dialect of the notification, ``backfill``, ``reconcile``, or ``manual``."""

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """The source that a notification's ``record`` announces."""
        return cls(
            bucket=record.bucket,
            key=record.key,
            version_id=record.version_id,
            etag=record.etag,
            size=record.size,
            sequencer=record.sequencer,
            event_time=record.event_time,
            origin=record.dialect,
        )

    def object_id(self, secret: str) -> str:
        """What the ids of all cases of the same object with the same content begin with."""
        content = self.etag or self.version_id or ""
        return pseudonym(secret, "object", self.bucket, self.key, content)[:_OBJECT_DIGITS]

    def case_id(self, secret: str) -> str:
        """The case's id: the same for a notification that comes twice, another for a new upload."""
        sequence = self.sequencer or ""
        if not sequence or self.origin in RESTARTING_SEQUENCERS:
            sequence += self.event_time or ""
        version = self.version_id or self.etag or ""
        upload = pseudonym(secret, "case", self.bucket, self.key, version, sequence)
        return self.object_id(secret) + upload[_OBJECT_DIGITS:]

    def run_id(self, secret: str) -> str:
        """The id of the DAG run that works on this case."""
        return RUN_PREFIX + self.case_id(secret)

    def processed_key(self) -> str:
        """Where the annotated image goes: ``-processed`` before the extension."""
        return self._beside("processed")

    def evidence_key(self, suffix: str = "") -> str:
        """Where the picture of the evidence goes; ``suffix`` if it has another format."""
        return self._beside("evidence") + suffix

    def _beside(self, what: str) -> str:
        suffix = PurePosixPath(self.key).suffix
        return f"{self.key.removesuffix(suffix)}-{what}{suffix}"

    def anonymized_key(
        self, secret: str, etag: str, suffix: str, patient_pattern: str = PATIENT_PATTERN
    ) -> str:
        """Where the anonymised image of the content with this ``etag`` goes: ``PATIENT/IMAGE``.

        The same for every case of that content, so that none leaves a second copy. It has a
        purpose of its own: a case id in a log leads to no anonymised image. ``suffix`` is that
        of the image's format. The patient is what the group ``patient`` of the pattern finds in
        the key, so that all of a patient's images stand together; where it finds nothing, each
        key is a patient of its own.
        """
        found = re.search(patient_pattern, self.key)
        purpose, who = ("patient", found["patient"]) if found else ("no patient", self.key)
        patient = pseudonym(secret, purpose, self.bucket, who)
        return f"{patient}/{pseudonym(secret, 'image', self.bucket, self.key, etag)}{suffix}"


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a case, named after the one that the image landed in."""

    landing: str

    def __post_init__(self) -> None:
        if not self.landing:
            raise SettingsError("The bucket is missing: give the run's conf a bucket and a key.")

    @property
    def processed(self) -> str:
        """Annotated images, under the original key. Identified."""
        return f"{self.landing}-processed"

    @property
    def anonymized(self) -> str:
        """Anonymised images. Nothing in it names a person."""
        return f"{self.landing}-anonymized"

    @property
    def quarantine(self) -> str:
        """Images that could not be made free of text, under the case id. Identified."""
        return f"{self.landing}-quarantine"

    @property
    def staging(self) -> str:
        """Images between two steps, under the case id. Identified, short-lived."""
        return f"{self.landing}-staging"

    @property
    def audit(self) -> str:
        """Audit records. Identified."""
        return f"{self.landing}-audit"

    def outputs(self) -> tuple[str, ...]:
        """The buckets that the pipeline writes to."""
        return (self.processed, self.anonymized, self.quarantine, self.staging, self.audit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned(_Value):
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
class Scored(_Value):
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
class Staged(_Value):
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
class Outcome(_Value):
    """How a case ended."""

    case_id: str
    label: str
    risk: float
    decision: str
    """``published``, ``published and anonymised``, ``quarantined``, or ``superseded``."""
    attempt: int
    """How often the case was run to an end, with this time."""
