"""Finding the object keys behind what a person may type: a case id, or a patient's pseudonym."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from xray import audit
from xray.case.buckets import Buckets
from xray.case.manifest import PREFIX, ManifestFile
from xray.case.source import OBJECT_DIGITS, Source
from xray.pseudonym import Keyring
from xray.storage import ObjectStore
from xray.suffixes import PROCESSED_KEY


def object_keys(store: ObjectStore, buckets: Buckets) -> Iterator[str]:
    """Yield the keys of the objects that have a manifest or an annotated image.

    A key may come twice. Objects that version 0.1.0 processed have no manifest.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    for entry in store.list(buckets.manifests, PREFIX):
        yield entry.key.removeprefix(PREFIX)
    for entry in store.list(buckets.processed):
        extension = PurePosixPath(entry.key).suffix
        stem = entry.key.removesuffix(extension)
        if stem.endswith(PROCESSED_KEY):
            yield stem.removesuffix(PROCESSED_KEY) + extension


def keys_of_patient(
    store: ObjectStore, buckets: Buckets, keyring: Keyring, patient: str, pattern: str
) -> list[str]:
    """Return the keys of a patient's objects.

    Args:
        store: the object store.
        buckets: the buckets of the cases.
        keyring: the secrets, any of which may have made the pseudonym.
        patient: the pseudonym: the folder of the patient's anonymised images.
        pattern: the setting ``patient_pattern``.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    found = set()
    for key in object_keys(store, buckets):
        source = Source(bucket=buckets.landing, key=key)
        images = source.anonymized_keys(keyring, "", "", pattern)
        if any(image.partition("/")[0] == patient for image in images):
            found.add(key)
    return sorted(found)


def key_of_case(store: ObjectStore, buckets: Buckets, keyring: Keyring, case_id: str) -> str | None:
    """Return the key of a case's object; None if nothing names it, or no longer.

    The audit trail has it. The case of a trail that was erased, or that has no record yet, may be
    in a manifest: all of them are read then.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    sealed = audit.records(store, buckets.audit, case_id, keyring.secrets)
    for record in sealed:
        if (key := record["source"]["key"]) is not None:
            return str(key)
    for record in audit.records(store, buckets.audit, case_id):
        if (key := _proven_key(record, buckets, keyring, case_id)) is not None:
            return key
    for entry in store.list(buckets.manifests, PREFIX):
        key = entry.key.removeprefix(PREFIX)
        manifest, _ = ManifestFile(store, buckets.manifests, key).read()
        if case_id in manifest.cases:
            return key
    return None


def _proven_key(
    record: Mapping[str, Any], buckets: Buckets, keyring: Keyring, case_id: str
) -> str | None:
    """Return the key in a record without a seal, if the case id was made from it.

    Version 0.1.0 wrote records without seals.
    """
    source, pinned = record.get("source") or {}, record.get("pinned") or {}
    key = source.get("key")
    if not isinstance(key, str):
        return None
    known = Source(bucket=buckets.landing, key=key)
    contents = {source.get("etag"), source.get("version_id"), pinned.get("etag"), None}
    ids = {replace(known, etag=content).object_id(keyring) for content in contents}
    return key if case_id[:OBJECT_DIGITS] in ids else None
