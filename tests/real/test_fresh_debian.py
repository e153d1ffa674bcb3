"""The README's two commands on a fresh Debian 13: Python 3.13, an ordinary user, make and git"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.debian import Debian, MissingToolError

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def debian() -> Debian:
    try:
        debian = Debian("trixie")
    except MissingToolError as error:
        pytest.skip(f"{error} The README's commands are not tried on a fresh Debian 13.")
    debian.clone(ROOT)
    return debian


@pytest.mark.parametrize(
    ("command", "last"),
    [("make demo ONCE=1", "16 of 16 cases came out right"), ("make test", " passed")],
)
def test_a_command_of_the_readme_works(
    debian: Debian, command: str, last: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    status = debian.run(command, log)
    text = log.read_text(errors="replace")
    assert status == 0, text[-6000:]
    assert last in text


def test_the_python_is_another_one(debian: Debian, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert debian.run(".venv/bin/python --version", log) == 0
    assert log.read_text().startswith("Python 3.13")
