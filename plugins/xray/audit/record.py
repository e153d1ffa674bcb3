"""The form of an audit record: its name, its bytes, its digest and its seal.

A record is a JSON object in the form of ``audit.schema.json`` beside this module, at
``<case id>/<number>.json``. Its *seal* (:mod:`xray.audit.sealing`) shows that the writer had the
deployment's secret. Its *digest* is the SHA-256 of its canonical text without the digest: it covers
the seal as well, and is checked without a secret. Records of schema 1, which version 0.1.0 wrote,
have a digest and no seal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from xray.audit.sealing import canonical, from_bytes, keys, make_seal
from xray.derivation import DerivedKey

SCHEMA_FILE = Path(__file__).with_name("audit.schema.json")
SCHEMA_VERSION = 2
SUCCEEDED, FAILED, REVIEWED, RELEASED = "succeeded", "failed", "reviewed", "released"
WITHDRAWN, EXPIRED, REFUSED, DELETED = "withdrawn", "expired", "refused", "deleted"
AGREED = "agreed"
MAX_NUMBER = 99_999
"""The largest number that a record's name has digits for."""
MAX_BYTES = 2**24
"""The size of the largest record that is read. A record with its evidence has a few kB."""
_NAME = re.compile(r"[^/]+/(?P<number>[0-9]{5})\.json")
_PURPOSE = "seal of an audit record, schema 2"


class FormError(ValueError):
    """A record does not have the right form. The message is a predicate that follows its name."""


def record_name(case_id: str, number: int) -> str:
    """Return the key of a record in the audit bucket. It names no patient."""
    return f"{case_id}/{number:05d}.json"


def record_number(name: str) -> int | None:
    """Return the number in the name of a record; None if the name is not that of a record."""
    found = _NAME.fullmatch(name)
    return (int(found["number"]) or None) if found else None


def complete(record: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """Return a record with its seal and its digest."""
    sealed = {**record, "seal": make_seal(record, secret, _PURPOSE)}
    return {**sealed, "digest": digest(sealed)}


def record_keys(secrets: Sequence[str]) -> dict[str, DerivedKey]:
    """Return the keys of the records' seals, by their ids."""
    return keys(secrets, _PURPOSE)


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record without its ``digest``, as the schema describes it."""
    return hashlib.sha256(canonical(record, without=["digest"])).hexdigest()


def to_bytes(record: Mapping[str, Any]) -> bytes:
    """Return the bytes of a record: always the same for the same record."""
    try:
        return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:  # The object key is not valid UTF-8.
        return json.dumps(record, indent=2, allow_nan=False).encode()


def read_record(data: bytes) -> dict[str, Any]:
    """Return the record in ``data``, whose form and digest are right. Its seal is not checked.

    Raises:
        FormError: the form or the digest is wrong.
    """
    from jsonschema import ValidationError

    if len(data) > MAX_BYTES:
        raise FormError("is too large for a record")
    try:
        record = from_bytes(data)
        _validator().validate(record)
        matches = record["digest"] == digest(record)
        as_written = record["schema"] != SCHEMA_VERSION or to_bytes(record) == data
    except (ValueError, RecursionError):
        raise FormError("is not JSON") from None
    except ValidationError as error:
        raise FormError(f"does not have the form of a record, at {error.json_path}") from None
    if not matches:
        raise FormError("was changed: its digest does not match")
    if not as_written:
        # Another parser could read a name that occurs twice, for example, in another way.
        raise FormError("was written anew: it does not have the bytes that this package writes")
    return record


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
