"""The object of a case: its identity, and the ids and keys that are derived from it.

The object key is patient data. Only the audit records and the identified buckets
contain it; in a run's conf it is sealed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import PurePosixPath
from typing import Any, Self

from xray.case.values import Value
from xray.errors import SettingsError
from xray.notification import ObjectCreated
from xray.pseudonym import Keyring, pseudonym
from xray.seal import seal, unseal
from xray.settings import PATIENT_PATTERN
from xray.storage import ListedObject
from xray.suffixes import EVIDENCE_KEY, PROCESSED_KEY, REPORT_KEY

RUN_PREFIX = "xray__"
"""What the id of a case's DAG run starts with."""
RESTARTING_SEQUENCERS = frozenset({"versitygw"})
"""Dialects whose sequencer counts from one again when the gateway restarts, so that it does not
identify an upload by itself."""
SEALED = "sealed"
"""The field of a run's conf that holds the sealed object key, in place of ``key``."""
CONF_SCHEMA = 1
"""The version of the form of a run's conf. Confs of version 0.1.0 name none."""
CASE_ID = "case_id"
"""The field of a run's conf that holds the id of the case."""
OBJECT_DIGITS = 16
"""The hexadecimal digits of a case id that identify the object; the rest identifies the upload."""


def seal_prefix(keyring: Keyring, bucket: str, prefix: str) -> str:
    """Return a prefix of object keys sealed by the newest secret: it may name a patient."""
    return seal(keyring.secrets[0], prefix, context=f"prefix in {bucket}")


def unseal_prefix(keyring: Keyring, bucket: str, sealed: str) -> str:
    """Return the prefix that :func:`seal_prefix` was called with.

    Raises:
        PermanentError: the sealed prefix was changed.
    """
    return unseal(keyring.secrets, sealed, context=f"prefix in {bucket}")


def patient_hash(keyring: Keyring, bucket: str, patient: str) -> str:
    """Return the keyed hash by which the cases of a patient are found.

    Args:
        keyring: the deployment's secrets.
        bucket: the bucket of the images.
        patient: as the setting ``patient_pattern`` finds the patient in an object key.
    """
    return pseudonym(keyring.case_secret, "patient in the index", bucket, patient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Value):
    """The object of a case and the origin of the case."""

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
        """Return the source that a notification announces."""
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

    @classmethod
    def from_listing(cls, bucket: str, entry: ListedObject, origin: str, rerun: str = "") -> Self:
        """Return the source of a listed object: the time of its upload is that of the event.

        Args:
            bucket: the bucket.
            entry: the object.
            origin: of the case.
            rerun: part of the id of the case: another value makes a new case of the same object.
        """
        return cls(
            bucket=bucket,
            key=entry.key,
            etag=entry.etag,
            size=entry.size,
            sequencer=f"{rerun}{entry.modified.isoformat()}",
            event_time=entry.modified.isoformat(),
            origin=origin,
        )

    @classmethod
    def from_conf(cls, conf: Mapping[str, Any], keyring: Keyring) -> Self:
        """Return the source in the conf or the params of a run.

        Args:
            conf: the fields, with the object key sealed, or as a person has typed it.
            keyring: the secrets that may have sealed the key.

        Raises:
            SettingsError: there is no object key, there are two, the secret that has sealed it is
                missing, or a later version of this package has written the conf.
            PermanentError: the sealed object key was changed.
        """
        if (schema := conf.get("schema") or CONF_SCHEMA) > CONF_SCHEMA:
            raise SettingsError(
                f"The run's conf has the schema {schema}, and this version reads schema "
                f"{CONF_SCHEMA}: use the version of this package that has written it."
            )
        typed, sealed = conf.get("key"), conf.get(SEALED)
        if typed and sealed:
            raise SettingsError(
                "The run's conf has an object key and a sealed one: leave one of them out."
            )
        if not typed and not sealed:
            raise SettingsError(
                "The object key is missing: type one, or start the case by a backfill."
            )
        given = {field.name: conf[field.name] for field in fields(cls) if field.name in conf}
        bucket = str(given.get("bucket") or "")
        key = typed or unseal(keyring.secrets, str(sealed), context=bucket)
        return cls(**{**given, "bucket": bucket, "key": key})

    def to_conf(self, keyring: Keyring, case_id: str | None = None) -> dict[str, Any]:
        """Return the conf of a run: the fields, with the object key sealed by the newest secret.

        Args:
            keyring: the deployment's secrets.
            case_id: the id of the case, if it has one already.
        """
        conf = self.to_json()
        key = conf.pop("key")
        return {
            "schema": CONF_SCHEMA,
            **conf,
            CASE_ID: case_id or self.case_id(keyring),
            SEALED: seal(keyring.secrets[0], key, context=self.bucket),
        }

    def found(self, version_id: str | None, etag: str) -> Self:
        """Return the source with the content that was found, if none was announced."""
        if self.version_id or self.etag:
            return self
        return replace(self, version_id=version_id, etag=etag)

    def object_id(self, keyring: Keyring) -> str:
        """Return the start of the ids of all cases of the same object with the same content."""
        content = self.etag or self.version_id or ""
        return pseudonym(keyring.case_secret, "object", self.bucket, self.key, content)[
            :OBJECT_DIGITS
        ]

    def case_id(self, keyring: Keyring) -> str:
        """Return the case's id: the same for a repeated notification, another for a new upload."""
        sequence = self.sequencer or ""
        if not sequence or self.origin in RESTARTING_SEQUENCERS:
            sequence += self.event_time or ""
        version = self.version_id or self.etag or ""
        upload = pseudonym(keyring.case_secret, "case", self.bucket, self.key, version, sequence)
        return self.object_id(keyring) + upload[OBJECT_DIGITS:]

    def object_hash(self, keyring: Keyring) -> str:
        """Return the keyed hash by which the cases of the object are found."""
        return pseudonym(keyring.case_secret, "object in the index", self.bucket, self.key)

    def index_hashes(self, keyring: Keyring, patient_pattern: str) -> dict[str, str]:
        """Return the keyed hashes by which the cases of the object and of its patient are found.

        They have nothing in common with the names of anonymised images.

        Args:
            keyring: the deployment's secrets. The oldest makes the hashes, as it makes case ids.
            patient_pattern: as for :meth:`anonymized_keys`. If it does not match, there is no hash
                of the patient.
        """
        hashes = {"object": self.object_hash(keyring)}
        if match := re.search(patient_pattern, self.key):
            hashes["patient"] = patient_hash(keyring, self.bucket, match["patient"])
        return hashes

    def run_id(self, keyring: Keyring) -> str:
        """Return the id of the case's DAG run."""
        return RUN_PREFIX + self.case_id(keyring)

    def processed_key(self) -> str:
        """Return the key of the annotated image: ``-processed`` before the extension."""
        return self._beside(PROCESSED_KEY)

    def evidence_key(self, suffix: str = "") -> str:
        """Return the key of the picture of the evidence: ``-evidence`` before the extension.

        Args:
            suffix: added at the end if the picture's format is not the image's.
        """
        return self._beside(EVIDENCE_KEY) + suffix

    def report_key(self) -> str:
        """Return the key of the structured report: ``-report`` before the extension."""
        return self._beside(REPORT_KEY)

    def _beside(self, before_extension: str) -> str:
        extension = PurePosixPath(self.key).suffix
        return self.key.removesuffix(extension) + before_extension + extension

    def anonymized_keys(
        self, keyring: Keyring, etag: str, suffix: str, patient_pattern: str = PATIENT_PATTERN
    ) -> list[str]:
        """Return the keys of the anonymised image, ``PATIENT/IMAGE``: one for each secret.

        The first key belongs to the newest secret. The others are where the image went before
        the secret was changed. All cases of the same content share these keys, so that no case
        leaves a second copy. A key has nothing in common with the case id, so that a case id in a
        log leads to no anonymised image.

        Args:
            keyring: the deployment's secrets.
            etag: the etag of the content.
            suffix: the suffix of the image's format, with its dot.
            patient_pattern: a regular expression whose group ``patient`` finds the patient in the
                object key, so that all images of a patient share a prefix. If it does not match,
                the object key stands for a patient of its own.
        """
        match = re.search(patient_pattern, self.key)
        purpose, patient = ("patient", match["patient"]) if match else ("no patient", self.key)
        return [
            f"{pseudonym(secret, purpose, self.bucket, patient)}/"
            f"{pseudonym(secret, 'image', self.bucket, self.key, etag)}{suffix}"
            for secret in keyring.pseudonym_secrets
        ]
