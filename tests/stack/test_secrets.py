"""No secret is in the repository or in the image"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support import ROOT

SHAPES = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS access key": r"\bAKIA[0-9A-Z]{16}\b",
    "a token of a code host": r"\b(gh[pousr]_\w{30,}|glpat-[\w-]{20,})",
    "a password in a URL": r"\w://\w*:(?![${.…])[^\s@/:{}$]{6,}@",
    # A long literal with a digit, assigned to a name such as password.
    "a literal": r"(?i)(password|passwd|secret|token|api_?key|access_?key|fernet_?key)\w*[\"']?"
    r"\s*[:=]\s*[\"']?(?=[\w+/=-]*\d)[A-Za-z0-9+/_=-]{16,}(?![\w(.\[])",
}
"""Regular expressions of secrets."""


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = done.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def found(text: str) -> list[str]:
    return [kind for kind, shape in SHAPES.items() if re.search(shape, text)]


def test_no_tracked_file_holds_a_secret() -> None:
    secrets = {}
    for path in tracked():
        if path != Path(__file__) and (kinds := found(path.read_bytes().decode(errors="ignore"))):
            secrets[str(path.relative_to(ROOT))] = kinds
    assert secrets == {}


def test_the_patterns_find_secrets() -> None:
    assert found("aws_secret_access_key = 'wJalrXUtnFEMI9K7MDENGbPxRfiCYEXAMPLE'")
    assert found("-----BEGIN EC PRIVATE KEY-----")
    assert found("postgresql://airflow:hunter22@postgres/airflow")
    assert found("S3_ACCESS_KEY=AKIAIOSFODNN7EXAMPLE")
    assert found('{"password": "c29tZSBzZWNyZXQgMTIz"}')
    assert not found("POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?run make env-file first}")
    assert not found("postgresql+psycopg2://airflow:${POSTGRES_PASSWORD:?run}@postgres/airflow")


def test_the_file_of_secrets_is_neither_committed_nor_copied() -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "a file that no rule includes is left out"
    assert not any(rule.startswith("!") and ".env" in rule for rule in rules)
    assert rules[-1] == "**/.env*", "the last rule wins, also over an included folder"
