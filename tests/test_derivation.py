"""xray.derivation"""

from __future__ import annotations

import hashlib
import hmac

from tests.support import SECRET
from xray.derivation import derive


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256 and without salt."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    block, derived = b"", b""
    for number in range(1, 3):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        derived += block
    return derived[:length]


def test_a_key_and_its_id_are_those_of_rfc_5869() -> None:
    key = derive(SECRET, "a purpose")
    assert key.id + key.value == hkdf(SECRET.encode(), b"xray: a purpose", 40)
    assert key.mac(b"data") == hmac.new(key.value, b"data", hashlib.sha256).hexdigest()


def test_secrets_and_purposes_have_keys_of_their_own() -> None:
    keys = [derive(SECRET, "a"), derive(SECRET, "b"), derive(SECRET + "2", "a")]
    assert len({key.id for key in keys}) == len({key.value for key in keys}) == 3
    assert derive(SECRET, "a") == keys[0]


def test_a_key_is_not_shown() -> None:
    key = derive(SECRET, "a purpose")
    assert repr(key.value) not in repr(key)
