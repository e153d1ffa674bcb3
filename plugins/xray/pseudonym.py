"""Keyed pseudonyms: names that reveal nothing without the secret.

A plain hash of a short id can be reversed by trying all ids. A pseudonym is an
HMAC-SHA256 under a secret, so that nobody can try ids without the secret.

A secret can be *rotated*. The newest secret makes the pseudonyms of patients
and images. The oldest secret still makes the case ids, so that a notification
that is delivered twice around the change finds its case.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Self

from xray.errors import SettingsError

MIN_SECRET_BYTES = 16
_DIGITS = 32
"""The hexadecimal digits of a pseudonym: 128 bits, enough to rule out collisions."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The secrets of a deployment, newest first."""

    secrets: tuple[str, ...]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse one secret as it is, or a JSON list of several secrets, newest first.

        Raises:
            SettingsError: a secret is missing or too short, or the list is not valid JSON.
        """
        secrets = [text]
        if text.startswith("["):
            try:
                secrets = json.loads(text)
            except ValueError:
                raise SettingsError(
                    "The Airflow Variable xray_pseudonym_secret starts like a JSON list of secrets "
                    'but is not one: write ["the newest secret", "the secret before it"].'
                ) from None
        for secret in secrets or [""]:
            _check(secret)
        return cls(tuple(secrets))

    @property
    def case_secret(self) -> str:
        """The secret of case ids: the oldest, so that ids stay the same when a secret is added."""
        return self.secrets[-1]

    @property
    def pseudonym_secrets(self) -> tuple[str, ...]:
        """The secrets of patients' and images' pseudonyms. New pseudonyms use the first."""
        return self.secrets


def _check(secret: object) -> None:
    """Refuse a secret that is missing or too short."""
    if not isinstance(secret, str) or len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"The pseudonym secret must have at least {MIN_SECRET_BYTES} bytes: set the Airflow "
            "Variable xray_pseudonym_secret to a long random value and keep it."
        )


def pseudonym(secret: str, purpose: str, *parts: str) -> str:
    """Return a stable name for ``parts``: 32 hexadecimal digits.

    Args:
        secret: the deployment's secret, at least 16 bytes.
        purpose: the kind of the thing named; two purposes never share a name.
        parts: the identity of the thing named. Their borders count: ("ab", "c") is not
            ("a", "bc").

    Raises:
        SettingsError: the secret is missing or too short.
    """
    _check(secret)
    digest = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for part in (purpose, *parts):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:_DIGITS]
