"""A case at work: what a step needs, and what the steps have in common.

A step looks at nothing but its arguments. Modules about pixels are imported by
the function that needs them, so that a DAG file can import this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xray import audit, pacs
from xray.case.buckets import Buckets
from xray.case.manifest import Manifest, ManifestFile, Request
from xray.case.pictures import THUMBNAIL_TYPE
from xray.case.source import OBJECT_DIGITS, Source
from xray.case.values import Decision, Pinned, Staged
from xray.errors import NotFoundError, ObjectError
from xray.pseudonym import Keyring
from xray.settings import DicomForm, Settings
from xray.storage import ObjectStore

if TYPE_CHECKING:
    from PIL import Image

    from xray.image import Format, Limits, Picture

_THUMBNAIL = "thumbnail.jpg"
"""The name of the staged thumbnail within the case."""
DELETED_MEANWHILE = "The object's results were deleted on request while the case was under way."
"""The reason of a deletion that a case completes itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The task at work, for the audit record."""

    run_id: str
    task: str
    try_number: int
    triggered_by: str | None
    """The account that started the run; None if Airflow names none."""
    reran_by: str | None
    """The account that cleared the run or one of its tasks; None if Airflow names none."""

    def to_json(self) -> dict[str, Any]:
        """Return the field ``run`` of an audit record."""
        return {
            "run_id": self.run_id,
            "task": self.task,
            "try": self.try_number,
            "triggered_by": self.triggered_by,
            "reran_by": self.reran_by,
        }


def _leave_open(request: Request) -> None:
    """Leave a form alone: where there is no Airflow, there are no forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A case, and everything that its steps need."""

    store: ObjectStore
    source: Source
    settings: Settings
    keyring: Keyring
    """The keys of case ids and pseudonyms."""
    run: Run
    token: str
    """The run, the task and its maximum of tries: the same for all tries of a task's attempt;
    another in another run, and when the task is cleared and run again."""
    carried_id: str | None = None
    """The id that the case was given when it began; None for a case that begins now."""
    claim: int = 0
    """The number of the case's claim on the object; 0 if it has none."""
    close_form: Callable[[Request], None] = _leave_open
    """Closes a form that waits for a person, because its request was withdrawn."""
    request_to_pacs: pacs.Request = pacs.no_pacs
    """Sends a request to the PACS, if results go there."""

    @property
    def buckets(self) -> Buckets:
        """The buckets of the case."""
        return Buckets(self.source.bucket)

    @property
    def case_id(self) -> str:
        """The id of the case, which does not change on its way."""
        return self.carried_id or self.source.case_id(self.keyring)

    @property
    def manifest(self) -> ManifestFile:
        """The manifest of the object."""
        return ManifestFile(self.store, self.buckets.manifests, self.source.key)

    @property
    def stage_prefix(self) -> str:
        """What the keys of the attempt's images start with, in the staging bucket."""
        return f"{self.case_id}/{self.claim}/"

    def anonymized_keys(self, etag: str, suffix: str) -> list[str]:
        """Return the keys of the anonymised image: see :meth:`Source.anonymized_keys`."""
        pattern = self.settings.patient_pattern
        return self.source.anonymized_keys(self.keyring, etag, suffix, pattern)

    def anonymized_format(self, pinned: Pinned) -> Format:
        """Return the format of the anonymised image."""
        from xray.image import Format, anonymous_format

        form = Format(pinned.format)
        if form is Format.DICOM and self.settings.anonymized_dicom is DicomForm.DICOM:
            return form
        return anonymous_format(form)

    @property
    def limits(self) -> Limits:
        """The limits of an image, from the settings."""
        from xray.image import Limits

        return Limits.from_settings(self.settings)


def record(work: Work, outcome: str, *, nameless: bool = False, **facts: Any) -> dict[str, Any]:
    """Add a record to the case's audit trail, and return the whole record.

    If the trail has a record of the same token and outcome, that record is returned. The object's
    manifest lists the case before the record names the object. If the object's results are deleted
    on request meanwhile, no record that names it stays.

    Args:
        work: the case.
        outcome: one of :mod:`xray.audit`.
        nameless: whether to leave out the object key, which may name a patient.
        facts: further fields of the record.
    """
    nameless = nameless or _followed(work) or not _list_case(work)
    written = audit.append(
        work.store,
        work.buckets.audit,
        work.case_id,
        _entry(work, outcome, nameless=nameless, **facts),
        work.keyring.secrets,
    )
    if written["source"]["key"] is not None:
        manifest, _ = work.manifest.read()
        if manifest.deleted or work.case_id not in manifest.cases:
            erase_trail(work, f"{work.token}:{written['number']}", DELETED_MEANWHILE)
    return written


def erase_trail(work: Work, token: str, reason: str, by: str | None = None) -> None:
    """Replace the audit trail of a case by a record of the deletion, which names no one.

    Args:
        work: the case.
        token: of the record.
        reason: why the object's results are deleted, in one sentence that names no patient.
        by: the person who asked for it; None if nobody did.

    Raises:
        ObjectError: the store does not allow to delete audit records.
        TransientError: the store cannot answer now.
    """
    deletion = {"reason": reason, "records": 0, "by": by, "at": datetime.now(UTC).isoformat()}
    entry = _entry(work, audit.DELETED, nameless=True, deletion=deletion)
    audit.erase(
        work.store,
        work.buckets.audit,
        work.case_id,
        {**entry, "token": token},
        work.keyring.secrets,
    )


def _followed(work: Work) -> bool:
    """Return whether the original is gone and the deployment follows deletions: see
    docs/deletion.md."""
    source = work.source
    return work.settings.follow_deletions and work.store.head(source.bucket, source.key) is None


def _list_case(work: Work) -> bool:
    """List the case in the object's manifest; return False if the object was deleted on request."""

    def edit(current: Manifest) -> Manifest:
        if current.deleted or current.forgets(work.claim) or work.case_id in current.cases:
            return current
        if _deleted_before(work):
            return current
        return replace(current, cases=(*current.cases, work.case_id))

    manifest = work.manifest.change(edit)
    forgotten = manifest.deleted or manifest.forgets(work.claim)
    return work.case_id in manifest.cases and not forgotten


def _deleted_before(work: Work) -> bool:
    """Return whether the original is gone, and the results of the same content were deleted.

    Such a case began late, or was run again after the deletion.
    """
    source, audited = work.source, work.buckets.audit
    if work.store.head(source.bucket, source.key) is not None:
        return False
    content = work.case_id[:OBJECT_DIGITS]
    cases = {entry.key.partition("/")[0] for entry in work.store.list(audited, content)}
    return any(
        record.get("outcome") == audit.DELETED
        for case_id in cases
        for record in audit.records(work.store, audited, case_id)
    )


def _entry(work: Work, outcome: str, *, nameless: bool, **facts: Any) -> dict[str, Any]:
    """Return a record without its place in the trail."""
    source = work.source.to_json()
    if nameless:
        source["key"] = None
        if "outputs" in facts:  # The keys of outputs name the object, and no output stays.
            facts |= {"outputs": [], "decision": Decision.DELETED}
            facts.pop("sent", None)
    return {
        "outcome": outcome,
        "token": work.token,
        "run": work.run.to_json(),
        "source": source,
        "settings": work.settings.to_mapping(),
        **facts,
    }


def recorded(work: Work, *outcomes: str) -> dict[str, Any] | None:
    """Return the record that this attempt of the task has written; None if it has written none."""
    secrets = work.keyring.secrets
    trail = audit.records(work.store, work.buckets.audit, work.case_id, secrets)
    found = (audit.find(trail, work.token, outcome) for outcome in outcomes)
    return next(filter(None, found), None)


def read_pinned_image(work: Work, pinned: Pinned) -> Picture:
    """Read the pinned object again and decode it.

    Raises:
        ObjectError: the object was deleted or replaced after it was fetched.
        TransientError: the store cannot answer now.
    """
    from xray.image import decode

    try:
        content = work.store.get(
            work.source.bucket,
            work.source.key,
            version_id=pinned.version_id,
            etag=pinned.etag,
            max_bytes=work.settings.max_bytes,
        )
    except NotFoundError:
        raise ObjectError(
            f"The object was deleted from {work.source.bucket} after it was fetched: upload it "
            "again."
        ) from None
    if content.sha256 != pinned.sha256:
        raise ObjectError(
            f"The object in {work.source.bucket} has changed since it was fetched: clear the "
            "case's run from fetch on."
        )
    return decode(content.data, limits=work.limits)


def stage(work: Work, name: str, picture: Picture, pixels: Image.Image) -> Staged:
    """Write an image to the staging bucket for a later step.

    Args:
        work: the case.
        name: of the image within the case, without its suffix.
        picture: the image's format and everything else but its pixels.
        pixels: the image's pixels.
    """
    from xray.image import encode

    data = encode(replace(picture, pixels=pixels))
    staged = Staged(
        name=f"{work.stage_prefix}{name}{picture.format.suffix}",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        content_type=picture.format.content_type,
        suffix=picture.format.suffix,
    )
    work.store.put(
        work.buckets.staging, staged.name, data, content_type=picture.format.content_type
    )
    return staged


def stage_thumbnail(work: Work, data: bytes) -> str:
    """Write a thumbnail to the staging bucket, and return its SHA-256."""
    name = work.stage_prefix + _THUMBNAIL
    work.store.put(work.buckets.staging, name, data, content_type=THUMBNAIL_TYPE)
    return hashlib.sha256(data).hexdigest()


def unstage(work: Work, staged: Staged) -> bytes:
    """Return a staged image's bytes.

    Raises:
        ObjectError: the bytes are not the ones that were staged.
    """
    return _unstage(work, staged.name, staged.sha256)


def unstage_thumbnail(work: Work, annotated: Staged) -> bytes | None:
    """Return the bytes of the thumbnail that is staged beside an image: see :func:`unstage`.

    An image that an earlier version has staged has none.
    """
    if annotated.thumbnail is None:
        return None
    folder = annotated.name.rpartition("/")[0]
    return _unstage(work, f"{folder}/{_THUMBNAIL}", annotated.thumbnail)


def _unstage(work: Work, name: str, sha256: str) -> bytes:
    bucket = work.buckets.staging
    content = work.store.get(bucket, name)
    if content.sha256 != sha256:
        raise ObjectError(
            f"A staged image in {bucket} is not the one that was staged: clear the case's "
            "run to make it again."
        )
    return content.data


def clear_stage(work: Work) -> None:
    """Remove everything that the attempt has staged."""
    # Versions without claims staged a case's images beside each other.
    prefix = work.stage_prefix if work.claim else f"{work.case_id}/"
    for entry in work.store.list(work.buckets.staging, prefix):
        work.store.delete(work.buckets.staging, entry.key)
