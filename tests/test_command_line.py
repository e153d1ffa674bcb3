"""xray.command_line: the list of commands, and what all commands have in common"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support import ROOT
from xray import command_line
from xray.command_line import COMMANDS, FAILED, MODULES, SUCCEEDED, WRONG_CALL
from xray.errors import ObjectError

PLAIN = [name for name in COMMANDS if name not in MODULES]
"""The commands that need no Airflow, each of which is a package."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={"PYTHONPATH": str(ROOT / "plugins"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_commands_are_listed(arguments: tuple[str, ...]) -> None:
    done = run("xray", *arguments)
    assert done.returncode == SUCCEEDED
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_every_command_is_listed() -> None:
    folder = ROOT / "plugins" / "xray"
    packages = {path.parent.name for path in folder.glob("*/__main__.py")}
    assert packages == set(PLAIN)


@pytest.mark.parametrize("name", PLAIN)
def test_both_spellings_show_the_same_help(name: str) -> None:
    done = [run("xray", name, "--help"), run(f"xray.{name}", "--help")]
    assert [one.returncode for one in done] == [SUCCEEDED, SUCCEEDED], done[0].stderr
    assert done[0].stdout == done[1].stdout
    assert done[0].stdout.startswith(f"usage: python -m xray.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_a_command_of_airflow_shows_its_help(name: str) -> None:
    done = run("xray", name, "--help")
    assert done.returncode == SUCCEEDED, done.stderr
    assert done.stdout.startswith(f"usage: python -m xray {name}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", PLAIN)
def test_a_wrong_call_says_how_to_call_it(name: str) -> None:
    for arguments in [(f"xray.{name}",), ("xray", name, "--no-such-option")]:
        done = run(*arguments)
        assert done.returncode == WRONG_CALL
        assert f"usage: python -m xray.{name}" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unknown_command_is_a_wrong_call() -> None:
    done = run("xray", "no-such-command")
    assert done.returncode == WRONG_CALL
    assert "no-such-command" in done.stderr


@pytest.mark.parametrize("name", PLAIN)
def test_a_file_that_is_missing_is_a_wrong_call(name: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    arguments = {"audit": ["verify", missing], "redaction": [missing, str(tmp_path / "out")]}
    done = run(f"xray.{name}", *arguments.get(name, [missing]))
    assert done.returncode == WRONG_CALL
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_failure_is_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise ObjectError("The bucket b does not exist: create it.")

    module = MODULES.get(name, f"xray.{name}.command")
    monkeypatch.setattr(import_module(module), "main", fail)
    assert command_line.run(name, []) == FAILED
    spelling = f"xray {name}" if name in MODULES else f"xray.{name}"
    expected = f"python -m {spelling}: error: The bucket b does not exist: create it.\n"
    assert capsys.readouterr().err == expected
