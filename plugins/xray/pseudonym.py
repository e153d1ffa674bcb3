"""Keyed pseudonyms: names that tell nothing to whoever lacks the secret.

A plain hash of a short id is reversed by trying all ids. These are HMAC-SHA256
under a secret, so that trying is of no use without it.

A secret can be *rotated*: of several, the newest makes the pseudonyms of
patients and images, and the oldest goes on making case ids, so that a
notification that comes twice around the change finds its case.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from xray.errors import SettingsError

MIN_SECRET_BYTES = 16
_DIGITS = 32
"""Hexadecimal digits of a pseudonym: 128 bits, so that chance never makes two alike."""


def keyring(value: str) -> tuple[str, ...]:
    """The secrets in ``value``, newest first: one as it is, or a JSON list of several.

    Raises:
        SettingsError: one is missing or too short, or it is no such list.
    """
    secrets = [value]
    if value.startswith("["):
        try:
            secrets = json.loads(value)
        except ValueError:
            raise SettingsError(
                "The Airflow Variable xray_pseudonym_secret begins like a list of secrets and is "
                'none: write ["the newest", "the one before"].'
            ) from None
    for secret in secrets or [""]:
        _check(secret)
    return tuple(secrets)


def _check(secret: object) -> None:
    if not isinstance(secret, str) or len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"The pseudonym secret must have at least {MIN_SECRET_BYTES} bytes: set the Airflow "
            "Variable xray_pseudonym_secret to a long random value and keep it."
        )


def pseudonym(secret: str, purpose: str, *parts: str) -> str:
    """A stable name for ``parts``: 32 hexadecimal digits.

    Args:
        secret: the deployment's secret, at least 16 bytes.
        purpose: what it names; two purposes never share a name.
        parts: what is named. Their borders count: ("ab", "c") is not ("a", "bc").

    Raises:
        SettingsError: the secret is missing or too short.
    """
    _check(secret)
    digest = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for part in (purpose, *parts):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:_DIGITS]
