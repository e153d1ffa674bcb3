"""Write the secrets of the local stack: ``make env-file``.

``python -m include.stack.env_file [FILE]`` adds a random value to ``.env`` for each secret that is
not in it, and never changes an existing line. Only the owner can read the file. The module needs
only the standard library.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_HEADER = "# Secrets of the local stack, made by `make env-file`. Do not share them.\n"


def _password() -> str:
    return secrets.token_urlsafe(18)


def _key() -> str:
    return secrets.token_hex(32)


def _fernet() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _access_key() -> str:
    return secrets.token_hex(10).upper()


SECRETS: Mapping[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": _password,
    "REDIS_PASSWORD": _password,
    "AIRFLOW_FERNET_KEY": _fernet,
    "AIRFLOW_SECRET_KEY": _key,
    "AIRFLOW_JWT_SECRET": _key,
    "AIRFLOW_ADMIN_PASSWORD": _password,
    "AIRFLOW_SERVICE_PASSWORD": _password,
    "CEPH_ADMIN_ACCESS_KEY": _access_key,
    "CEPH_ADMIN_SECRET_KEY": _key,
    "S3_ACCESS_KEY": _access_key,
    "S3_SECRET_KEY": _key,
    "XRAY_PSEUDONYM_SECRET": _key,
    "GRAFANA_PASSWORD": _password,
}
"""The name and the generator of each secret; no value needs quoting in URLs, JSON or Compose."""


def add_missing(path: Path) -> list[str]:
    """Add the missing secrets to the file at ``path``, and return their names."""
    text = path.read_text() if path.exists() else _HEADER
    known = set(re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", text, re.MULTILINE))
    missing = [name for name in SECRETS if name not in known]
    if missing:
        if not text.endswith("\n"):
            text += "\n"
        text += "".join(f"{name}={SECRETS[name]()}\n" for name in missing)
        _replace(path, text)
    path.chmod(0o600)
    return missing


def _replace(path: Path, text: str) -> None:
    """Replace the file in one step; other users cannot read it at any time."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    draft.replace(path)


def main(arguments: list[str]) -> None:
    """Run the command line; print the added names, never a value."""
    path = Path(arguments[0] if arguments else ".env")
    added = add_missing(path)
    print(f"{path}: added {', '.join(added)}." if added else f"{path}: nothing is missing.")


if __name__ == "__main__":
    main(sys.argv[1:])
