"""The command line ``python -m xray.notification``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from xray.notification.dialects import Notification, UnreadableError, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the content of a message as JSON: 0, or 1 if a part of it cannot be read.

    Args:
        arguments: of the command; those of the process if None.

    Raises:
        SystemExit: with 2 for a wrong call, such as a file that cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xray.notification",
        description="Show what a Kafka message announces: the objects that were created, the parts "
        "that ask for no case, and the error if a part cannot be read, as JSON.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="one raw Kafka message")
    file = parser.parse_args(arguments).file
    try:
        message = file.read_bytes()
    except OSError as failure:
        parser.error(f"{file} cannot be read: {failure.strerror}")
    error = None
    notification = Notification()
    try:
        notification = parse(message)
    except UnreadableError as failure:
        notification, error = failure.rest, str(failure)
    parts = asdict(notification)
    answer = {"records": parts["records"], "skipped": parts["skipped"], "error": error}
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    return 0 if error is None else 1
