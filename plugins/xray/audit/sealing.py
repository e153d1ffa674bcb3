"""Keyed seals of records and checkpoints, over a text that is the same for the same content.

The *canonical text* of a JSON object is JSON with sorted names, without spaces, in ASCII. A *seal*
is the id of a key and the HMAC-SHA256, under that key, of the canonical text without ``seal`` and
``digest``. The keys are derived from the deployment's secrets (:mod:`xray.derivation`): only a
holder of a secret can make a seal, or check one.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from xray.derivation import DerivedKey, derive


def from_bytes(data: bytes) -> dict[str, Any]:
    """Return the JSON object in ``data``.

    Raises:
        ValueError: the bytes are not JSON in UTF-8, are nested too deeply, are not an object, or
            hold a number that is not finite or has too many digits.
    """
    try:
        content = json.loads(data.decode())
        json.dumps(content, allow_nan=False)  # NaN and 1e999 are read without an error.
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def canonical(content: Mapping[str, Any], *, without: Sequence[str]) -> bytes:
    """Return the canonical text of ``content`` without some of its properties."""
    rest = {name: value for name, value in content.items() if name not in without}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def make_seal(content: Mapping[str, Any], secret: str, purpose: str) -> dict[str, str]:
    """Return the seal of ``content``.

    Args:
        content: a record or a checkpoint. Its ``seal`` and ``digest`` are not read.
        secret: the secret that the key is derived from.
        purpose: what the key is for.
    """
    return _seal(content, derive(secret, purpose))


def keys(secrets: Sequence[str], purpose: str) -> dict[str, DerivedKey]:
    """Return the keys that ``secrets`` give for a purpose, by their ids in a seal."""
    derived = [derive(secret, purpose) for secret in secrets]
    return {key.id.hex(): key for key in derived}


def seal_problem(content: Mapping[str, Any], known: Mapping[str, DerivedKey]) -> str | None:
    """Return what is wrong with a seal, as a predicate that follows a name; None if it holds.

    Args:
        content: a record or a checkpoint with its seal, by the right form.
        known: the keys that may have sealed it, as :func:`keys` returns them.
    """
    found = content["seal"]
    key = known.get(found["key"])
    if key is None:
        return (
            f"is sealed with a secret that was not given (id {found['key']}): add that secret to "
            "the end of the list"
        )
    if not hmac.compare_digest(_seal(content, key)["mac"], found["mac"]):
        return "was changed or forged: its seal does not match"
    return None


def is_sealed(content: Mapping[str, Any], known: Mapping[str, DerivedKey]) -> bool:
    """Return whether ``content``, of any form, has a seal that holds."""
    try:
        return seal_problem(content, known) is None
    except (KeyError, TypeError):  # It has no seal, or a seal of another form.
        return False


def _seal(content: Mapping[str, Any], key: DerivedKey) -> dict[str, str]:
    mac = key.mac(canonical(content, without=("seal", "digest")))
    return {"key": key.id.hex(), "mac": mac}
