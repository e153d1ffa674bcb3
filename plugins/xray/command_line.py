"""The command line: ``python -m xray`` lists the commands and runs them.

Each command is a module whose ``main(arguments)`` returns the exit status: the module
``command`` of the package of its name, which ``python -m xray.COMMAND`` runs, too, or
one of :data:`MODULES`. All commands share their exit statuses:

====== ==================================================================
0      everything that was asked for succeeded
1      something failed; the output or standard error says what
2      the command was called wrongly; standard error says how to call it
====== ==================================================================
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from xray.errors import XrayError
from xray.pseudonym import Keyring

COMMANDS = {
    "audit": "verify the audit trail, and make checkpoints of it",
    "notification": "show what a Kafka message announces",
    "redaction": "remove text and metadata from images",
    "risk": "compare the model with another one, and measure it by people's reviews",
    "check": "find out what a deployment lacks, and what to do",
    "setup": "create the buckets, topics and announcements that are missing",
    "index": "make the index of the cases again",
}
"""Each command's name and purpose."""

MODULES = {
    "check": "xray.airflow.deployment.check",
    "setup": "xray.airflow.deployment.setup",
    "index": "xray.airflow.index.rebuild",
}
"""The commands that need Airflow, and their modules: they have the spelling ``python -m xray
COMMAND`` alone."""

SUCCEEDED, FAILED, WRONG_CALL = 0, 1, 2

SECRET_ENVIRONMENT = "AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET"  # noqa: S105 - its name, not its value
"""The environment variable from which Airflow takes the Variable with the secrets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m xray``; return the exit status. Without a command, list the commands."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in COMMANDS:
        return run(given[0], given[1:])
    listed = "".join(f"  {name:14}{purpose}\n" for name, purpose in COMMANDS.items())
    plain = " and ".join(name for name in COMMANDS if name not in MODULES)
    parser = argparse.ArgumentParser(
        prog="python -m xray",
        usage="python -m xray [-h] COMMAND ...",
        description=f"commands:\n{listed}",
        epilog="python -m xray COMMAND --help describes a command.\n"
        f"python -m xray.COMMAND is the same, for {plain}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", metavar="COMMAND", nargs="?", choices=list(COMMANDS), help=argparse.SUPPRESS
    )
    parser.parse_args(given)
    parser.print_help()
    return SUCCEEDED


def run(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run the command ``name``; return the exit status.

    Args:
        name: one of :data:`COMMANDS`.
        arguments: of the command; those of the process if None.
    """
    module = import_module(MODULES.get(name, f"xray.{name}.command"))
    command: Callable[[Sequence[str] | None], int] = module.main
    try:
        return command(arguments)
    except XrayError as error:
        spelling = f"xray {name}" if name in MODULES else f"xray.{name}"
        sys.stderr.write(f"python -m {spelling}: error: {error}\n")
        return FAILED


def add_secret_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--secret-file`` of a command that needs the deployment's secrets."""
    parser.add_argument(
        "--secret-file",
        metavar="FILE",
        type=Path,
        help="the value of the Airflow Variable xray_pseudonym_secret; by default that of the "
        f"environment variable {SECRET_ENVIRONMENT}",
    )


def given_secrets(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[str, ...]:
    """Return the secrets that a command was given, newest first; none if it was given none.

    Args:
        parser: the command's parser. A file that cannot be read is a wrong call.
        options: of the command, with that of :func:`add_secret_option`.

    Raises:
        SettingsError: a secret is too short, or the list is not valid.
    """
    text = os.environ.get(SECRET_ENVIRONMENT, "")
    if options.secret_file:
        try:
            text = options.secret_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text"
            parser.error(f"{options.secret_file} cannot be read: {reason}")
    return Keyring.from_text(text).secrets if text else ()
