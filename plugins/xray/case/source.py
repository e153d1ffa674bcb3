"""The object that a case is about: its identity, and the keys that follow from it.

The object key is patient data. It lives in the run's conf and in the
identified buckets alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

from xray.case.values import Value
from xray.notification import ObjectCreated
from xray.pseudonym import Keyring, pseudonym
from xray.settings import PATIENT_PATTERN
from xray.suffixes import EVIDENCE_KEY, PROCESSED_KEY

RUN_PREFIX = "xray__"
RESTARTING_SEQUENCERS = frozenset({"versitygw"})
"""Dialects whose sequencer counts from one again when the gateway restarts: alone it does not
tell one upload from another."""
_OBJECT_DIGITS = 16
"""Hexadecimal digits of a case id that tell the object; the rest tells the upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Value):
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
    def from_notification(cls, created: ObjectCreated) -> Self:
        """The source that a notification announces."""
        return cls(
            bucket=created.bucket,
            key=created.key,
            version_id=created.version_id,
            etag=created.etag,
            size=created.size,
            sequencer=created.sequencer,
            event_time=created.event_time,
            origin=created.dialect,
        )

    def object_id(self, keyring: Keyring) -> str:
        """What the ids of all cases of the same object with the same content begin with."""
        content = self.etag or self.version_id or ""
        return pseudonym(keyring.case_secret, "object", self.bucket, self.key, content)[
            :_OBJECT_DIGITS
        ]

    def case_id(self, keyring: Keyring) -> str:
        """The case's id: the same for a notification that comes twice, another for a new upload."""
        sequence = self.sequencer or ""
        if not sequence or self.origin in RESTARTING_SEQUENCERS:
            sequence += self.event_time or ""
        version = self.version_id or self.etag or ""
        upload = pseudonym(keyring.case_secret, "case", self.bucket, self.key, version, sequence)
        return self.object_id(keyring) + upload[_OBJECT_DIGITS:]

    def run_id(self, keyring: Keyring) -> str:
        """The id of the DAG run that works on this case."""
        return RUN_PREFIX + self.case_id(keyring)

    def processed_key(self) -> str:
        """Where the annotated image goes: ``-processed`` before the extension."""
        return self._beside(PROCESSED_KEY)

    def evidence_key(self, suffix: str = "") -> str:
        """Where the picture of the evidence goes; ``suffix`` if it has another format."""
        return self._beside(EVIDENCE_KEY) + suffix

    def _beside(self, before_extension: str) -> str:
        extension = PurePosixPath(self.key).suffix
        return self.key.removesuffix(extension) + before_extension + extension

    def anonymized_keys(
        self, keyring: Keyring, etag: str, suffix: str, patient_pattern: str = PATIENT_PATTERN
    ) -> list[str]:
        """Return the keys of the anonymised image, ``PATIENT/IMAGE``: one for each secret.

        The first key belongs to the newest secret. The others are where the image went before
        the secret was changed. All cases of the same content share these keys, so that no case
        leaves a second copy. They have a purpose of their own: a case id in a log leads to no
        anonymised image.

        Args:
            keyring: the deployment's secrets.
            etag: of the content.
            suffix: of the image's format, with its dot.
            patient_pattern: its group ``patient`` finds the patient in the object key, so that
                all images of a patient share a prefix. Where it finds nothing, each key is
                treated as a patient of its own.
        """
        found = re.search(patient_pattern, self.key)
        purpose, who = ("patient", found["patient"]) if found else ("no patient", self.key)
        return [
            f"{pseudonym(secret, purpose, self.bucket, who)}/"
            f"{pseudonym(secret, 'image', self.bucket, self.key, etag)}{suffix}"
            for secret in keyring.pseudonym_secrets
        ]
