"""The command line ``python -m xray.risk``.

``compare SOURCE`` compares the model with its shadow model. ``reviews SOURCE`` measures the model
by what people decided. Both read the audit trail, and take ``--since``, ``--until``,
``--secret-file`` and ``--json FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xray import audit
from xray.command_line import FAILED, SUCCEEDED, add_secret_option, given_secrets
from xray.risk import comparison, reviews
from xray.risk.period import Period, add_period


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if there is something to tell, 1 if not.

    Args:
        arguments: of the command; those of the process if None.

    Raises:
        SystemExit: with 2 for a wrong call.
        SettingsError: a secret is too short, or the list is not valid.
        XrayError: the bucket or a file cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m xray.risk", description="The model.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare", help="compare the model with its shadow model: agreement, labels, histograms"
    )
    compare.set_defaults(run=_compare, parser=compare)
    measure = commands.add_parser(
        "reviews", help="measure the model by people's reviews, and fit a threshold to them"
    )
    measure.set_defaults(run=_reviews, parser=measure)
    for command in (compare, measure):
        audit.add_source(command)
        add_period(command)
        add_secret_option(command)
        command.add_argument(
            "--json", metavar="FILE", type=Path, help="the file for all figures, as JSON"
        )
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


def _compare(options: argparse.Namespace) -> int:
    found, failed = comparison.compare(_trails(options), Period(options.since, options.until))
    figures = [one.to_json() for one in found]
    texts = [comparison.in_words(one) for one in figures]
    if failed:
        texts.append(f"{failed:,} more could not be scored by the shadow model: see their records.")
    if not texts:
        texts = ["No result of a shadow model was recorded: name one in the setting shadow_model."]
    _write(options.json, {"comparisons": figures, "failed": failed})
    sys.stdout.write("\n\n".join(texts) + "\n")
    return SUCCEEDED if figures else FAILED


def _reviews(options: argparse.Namespace) -> int:
    found = reviews.collect(_trails(options), Period(options.since, options.until))
    figures = [one.to_json() for one in found]
    texts = [reviews.in_words(one) for one in figures]
    _write(options.json, {"models": figures})
    sys.stdout.write("\n\n".join(texts or ["No review was recorded."]) + "\n")
    return SUCCEEDED if figures else FAILED


def _trails(options: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    parser: argparse.ArgumentParser = options.parser
    secrets = given_secrets(parser, options)
    return audit.trails(audit.given_objects(parser, options), secrets)


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")
