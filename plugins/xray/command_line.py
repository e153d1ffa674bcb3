"""The command line: ``python -m xray`` lists the commands and runs them.

Each command is a package with a module ``command``, whose ``main(arguments)``
returns the exit status. ``python -m xray COMMAND`` and ``python -m xray.COMMAND``
run the same function. All commands share their exit statuses:

====== ==================================================================
0      everything that was asked for succeeded
1      something failed; the output or standard error says what
2      the command was called wrongly; standard error says how to call it
====== ==================================================================
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from xray.errors import XrayError

COMMANDS = {
    "audit": "verify the audit trail",
    "notification": "show what a Kafka message announces",
    "redaction": "remove text and metadata from images",
}
"""Each command's name and purpose."""

SUCCEEDED, FAILED, WRONG_CALL = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m xray``; return the exit status. Without a command, list the commands."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in COMMANDS:
        return run(given[0], given[1:])
    listed = "".join(f"  {name:14}{purpose}\n" for name, purpose in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m xray",
        usage="python -m xray [-h] COMMAND ...",
        description=f"commands:\n{listed}",
        epilog="python -m xray COMMAND --help describes a command.\n"
        "python -m xray.COMMAND is the same as python -m xray COMMAND.",
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
    command: Callable[[Sequence[str] | None], int] = import_module(f"xray.{name}.command").main
    try:
        return command(arguments)
    except XrayError as error:
        sys.stderr.write(f"python -m xray.{name}: error: {error}\n")
        return FAILED
