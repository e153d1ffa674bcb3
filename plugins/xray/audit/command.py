"""The command line ``python -m xray.audit``.

``verify SOURCE [--secret-file FILE] [--checkpoint FILE]`` checks the audit trail. Without the
secret, it checks the chain alone.

``checkpoint SOURCE [--secret-file FILE]`` writes a checkpoint to standard output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xray.audit.source import add_source, given_objects
from xray.audit.verification import Verdict, make_checkpoint, verify
from xray.command_line import SECRET_ENVIRONMENT, add_secret_option, given_secrets


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if all records verify, 1 if a record does not.

    Args:
        arguments: of the command; those of the process if None.

    Raises:
        SystemExit: with 2 for a wrong call.
        SettingsError: a secret is too short, or the list is not valid.
        XrayError: the bucket or a file cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m xray.audit", description="The audit trail.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("verify", help="find records that were changed, forged or removed")
    check.set_defaults(run=_verify, parser=check)
    make = commands.add_parser(
        "checkpoint", help="print a signed checkpoint, to be kept elsewhere for a later verify"
    )
    make.set_defaults(run=_checkpoint, parser=make)
    for command in (check, make):
        add_source(command)
        add_secret_option(command)
    check.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        help="an earlier checkpoint: find what was removed, cut off or written anew since",
    )
    options = parser.parse_args(arguments)
    status: int = options.run(options.parser, options)
    return status


def _verify(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the problems and a summary; return the exit status."""
    secrets = given_secrets(parser, options)
    checkpoint = None
    if options.checkpoint:
        try:
            checkpoint = options.checkpoint.read_bytes()
        except OSError as error:
            parser.error(f"{options.checkpoint} cannot be read: {error.strerror}")
    verdict = verify(given_objects(parser, options), secrets, checkpoint)
    for problem in verdict.problems:
        # Anybody who can write to the bucket chooses the names of other files.
        name = problem.name if problem.name.isprintable() else ascii(problem.name)
        sys.stdout.write(f"{name} {problem.reason}\n")
    sys.stdout.write(_summary(verdict, has_secret=bool(secrets)) + "\n")
    return 1 if verdict.problems else 0


def _summary(verdict: Verdict, *, has_secret: bool) -> str:
    """Return the last line of the output."""
    text = f"{_counted(verdict.records, 'record')} of {_counted(verdict.cases, 'case')}"
    if verdict.checkpoints:
        text += f" and {_counted(verdict.checkpoints, 'checkpoint')}"
    if verdict.unkeyed:
        text += f" ({verdict.unkeyed} of them without a key, from version 0.1.0)"
    text += f"; {_counted(n, 'problem')}" if (n := len(verdict.problems)) else ", all verify"
    if not has_secret:
        text += "; no seal was checked, because no secret was given"
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _checkpoint(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print a checkpoint; return the exit status."""
    secrets = given_secrets(parser, options)
    if not secrets:
        parser.error(
            f"a checkpoint is sealed: give --secret-file, or the secret in {SECRET_ENVIRONMENT}"
        )
    sys.stdout.write(make_checkpoint(given_objects(parser, options), secrets).decode())
    return 0
