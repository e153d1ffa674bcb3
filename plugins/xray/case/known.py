"""What the store knows of a case, for people: its object, its audit trail, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xray import audit
from xray.case.buckets import Buckets
from xray.case.manifest import Manifest, ManifestFile, Request
from xray.case.pictures import is_picture
from xray.case.source import Source
from xray.pseudonym import Keyring
from xray.storage import ObjectStore
from xray.suffixes import CERTIFICATE_KEY


class Kind(StrEnum):
    """A picture of a case."""

    ORIGINAL = "original"
    ANNOTATED = "annotated"
    EVIDENCE = "evidence"
    ANONYMIZED = "anonymised"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a picture is stored."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows of a case."""

    case_id: str
    buckets: Buckets
    trail: Sequence[Mapping[str, Any]]
    """The audit records that this deployment has sealed, oldest first."""
    source: Source | None
    """None if nothing names the object, or its results were deleted on request."""
    manifest: Manifest

    @property
    def owns(self) -> bool:
        """Whether the live outputs of the object are those of the case."""
        return self.manifest.case_id == self.case_id

    @property
    def waiting(self) -> Request | None:
        """What a person is asked about the case."""
        waiting = self.manifest.waiting
        return waiting if waiting and waiting.case_id == self.case_id else None

    @property
    def claims(self) -> set[int]:
        """The numbers of the claims under which the case may have asked a person."""
        asked = [one["request"]["claim"] for one in self.trail if one.get("request")]
        numbers = {claim for claim in asked if claim}  # A form of version 0.1.0 has none.
        return numbers | ({self.waiting.claim} if self.waiting else set())

    def pictures(self) -> dict[Kind, Stored]:
        """Return where the pictures of the case are."""
        if self.source is None:
            return {}
        source, found = self.source, dict[Kind, Stored]()
        found[Kind.ORIGINAL] = Stored(
            bucket=source.bucket,
            key=source.key,
            version_id=source.version_id,
            etag=source.etag,
        )
        for output in self.manifest.outputs if self.owns else ():
            kind = self._kind(output.bucket, output.key)
            if kind:
                found[kind] = Stored(bucket=output.bucket, key=output.key)
        return found

    def certificate(self) -> Stored | None:
        """Return where the certificate of the anonymised image is."""
        for output in self.manifest.outputs if self.owns else ():
            if output.bucket == self.buckets.anonymized and output.key.endswith(CERTIFICATE_KEY):
                return Stored(bucket=output.bucket, key=output.key)
        return None

    def _kind(self, bucket: str, key: str) -> Kind | None:
        """Return the kind of an output; None for what is no picture, and for a view of one."""
        if bucket == self.buckets.processed and self.source:
            if key == self.source.processed_key():
                return Kind.ANNOTATED
            return Kind.EVIDENCE if key.startswith(self.source.evidence_key()) else None
        if bucket == self.buckets.anonymized and not key.endswith(CERTIFICATE_KEY):
            return Kind.ANONYMIZED
        if bucket == self.buckets.quarantine and not is_picture(key):
            return Kind.QUARANTINED
        return None


def look_up(
    store: ObjectStore,
    bucket: str,
    case_id: str,
    keyring: Keyring,
    conf: Mapping[str, Any] | None = None,
) -> Known:
    """Return what the store knows of a case.

    Args:
        store: the object store.
        bucket: the bucket in which the image landed.
        case_id: the case.
        keyring: the deployment's secrets.
        conf: of the run of the case, for a case without an audit record; None for none.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
        XrayError: the conf cannot be read.
    """
    buckets = Buckets(bucket)
    trail = audit.records(store, buckets.audit, case_id, keyring.secrets)
    source, manifest = _source(trail, conf, keyring), Manifest()
    if source:
        manifest, _ = ManifestFile(store, buckets.manifests, source.key).read()
    return Known(case_id=case_id, buckets=buckets, trail=trail, source=source, manifest=manifest)


def _source(
    trail: Sequence[Mapping[str, Any]], conf: Mapping[str, Any] | None, keyring: Keyring
) -> Source | None:
    """Return the object of a case, pinned if *fetch* has pinned it."""
    if any(record["outcome"] == audit.DELETED for record in trail):
        return None
    for record in reversed(trail):
        if record["source"]["key"] is not None:
            source, pinned = Source.from_json(record["source"]), record.get("pinned")
            return source.found(pinned["version_id"], pinned["etag"]) if pinned else source
    return Source.from_conf(conf, keyring) if conf else None
