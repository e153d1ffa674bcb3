"""Sealed texts: only a holder of the secret can read, change or make one.

Airflow keeps the conf of each run in its database, shows it in the UI, and sends
it to lineage backends. The object key names a patient, so it is there as a sealed
text. A sealed text is ``1.`` and, in URL-safe base64:

======== ========================================================
8 bytes  the id of the key, which says with which secret to open
12 bytes a random nonce
the rest the AES-256-GCM ciphertext with its tag
======== ========================================================

The key and its id are derived from a secret: see :mod:`xray.derivation`. The text
is padded, so that the length of a sealed text says little about it.
"""

from __future__ import annotations

import secrets as randomness
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from xray.derivation import ID_BYTES, DerivedKey, derive
from xray.errors import PermanentError, SettingsError

FORM = "1."
"""What a sealed text starts with: the version of its form."""
BLOCK = 256
"""The padded length of a text is a multiple of this, in bytes."""
_NONCE_BYTES, _TAG_BYTES = 12, 16
_PURPOSE = "seal of a text, form 1"
_END = b"\x80"
"""Ends the text; zeros follow (the padding of ISO/IEC 7816-4)."""


def seal(secret: str, text: str, *, context: str) -> str:
    """Return ``text`` sealed, in ASCII: each time another sealed text.

    Args:
        secret: the secret that opens it again.
        text: what to seal.
        context: where the sealed text belongs. The sealed text can be opened only with the same
            context.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = _key(secret)
    nonce = randomness.token_bytes(_NONCE_BYTES)
    padded = text.encode("utf-8", "surrogatepass") + _END
    padded += bytes(-len(padded) % BLOCK)
    ciphertext = AESGCM(key.value).encrypt(nonce, padded, _bound(context))
    return _text(key.id + nonce + ciphertext)


def unseal(secrets: Sequence[str], sealed: str, *, context: str) -> str:
    """Return the text that :func:`seal` was called with.

    Args:
        secrets: the secrets that may have sealed the text.
        sealed: the sealed text.
        context: the context that it was sealed for.

    Raises:
        SettingsError: none of the secrets has sealed the text.
        PermanentError: the sealed text was changed, is cut off, or belongs to another context.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key_id, nonce, ciphertext = _parts(sealed)
    keys = {key.id: key.value for key in map(_key, secrets)}
    if key_id not in keys:
        raise SettingsError(
            f"The object key was sealed with a secret (id {key_id.hex()}) that the Airflow "
            "Variable xray_pseudonym_secret does not hold: add that secret to the end of the "
            "list, or start the case again by a backfill."
        )
    try:
        padded = AESGCM(keys[key_id]).decrypt(nonce, ciphertext, _bound(context))
    except InvalidTag:
        raise _changed() from None
    return padded.rstrip(b"\0").removesuffix(_END).decode("utf-8", "surrogatepass")


def _parts(sealed: str) -> tuple[bytes, bytes, bytes]:
    """Return the key id, the nonce and the ciphertext of a sealed text."""
    try:
        content = urlsafe_b64decode(sealed.removeprefix(FORM))
    except ValueError:  # It is not ASCII, or cut off.
        raise _changed() from None
    head = ID_BYTES + _NONCE_BYTES
    if sealed != _text(content) or len(content) < head + _TAG_BYTES:
        raise _changed()
    return content[:ID_BYTES], content[ID_BYTES:head], content[head:]


def _text(content: bytes) -> str:
    """Return the one text that stands for the bytes of a sealed text."""
    return FORM + urlsafe_b64encode(content).decode()


def _key(secret: str) -> DerivedKey:
    """Return the key that belongs to a secret."""
    return derive(secret, _PURPOSE)


def _bound(context: str) -> bytes:
    """Return the associated data of a sealed text."""
    return f"{FORM}{context}".encode("utf-8", "surrogatepass")


def _changed() -> PermanentError:
    return PermanentError(
        "The sealed object key cannot be opened, because it was changed or belongs to another "
        "bucket: start the case again by a backfill, or type the object key."
    )
