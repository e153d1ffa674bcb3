"""Keys derived from a deployment's secret, a key of its own for each purpose.

A key and its id are derived by HKDF-SHA256 (RFC 5869) from the secret and the name of the purpose.
A key says nothing about the secret, or about the keys of other purposes. The id says which of
several secrets a key comes from, and nothing about the key.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

ID_BYTES = 8
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class DerivedKey:
    """A key for one purpose, with its id."""

    id: bytes
    value: bytes = field(repr=False)
    """32 bytes."""

    def mac(self, data: bytes) -> str:
        """Return the HMAC-SHA256 of ``data``: 64 hexadecimal digits."""
        return hmac.digest(self.value, data, "sha256").hex()


def derive(secret: str, purpose: str) -> DerivedKey:
    """Return the key that a secret gives for a purpose: always the same.

    Args:
        secret: a secret of the deployment.
        purpose: the name of the purpose, with the version of the form that the key is used in.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(
        SHA256(), ID_BYTES + _KEY_BYTES, salt=None, info=f"xray: {purpose}".encode()
    ).derive(secret.encode())
    return DerivedKey(derived[:ID_BYTES], derived[ID_BYTES:])
