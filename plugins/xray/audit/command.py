"""The command line ``python -m xray.audit``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from xray.audit.verification import verify
from xray.storage import ObjectStore

_S3 = "s3://"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if all records verify, 1 if a record does not.

    Args:
        arguments: of the command; those of the process if None.

    Raises:
        SystemExit: with 2 for a wrong call.
        XrayError: the bucket cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m xray.audit", description="The audit trail.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "verify", help="find records that were changed, or are missing in between"
    )
    check.add_argument(
        "source",
        metavar="SOURCE",
        help="s3://BUCKET, with the credentials and AWS_ENDPOINT_URL in the environment as for "
        "AWS's own tools; or a folder with a copy of the bucket",
    )
    source = parser.parse_args(arguments).source
    if source.startswith(_S3):
        named = _from_bucket(source.removeprefix(_S3).strip("/"))
    elif Path(source).is_dir():
        named = _from_folder(Path(source))
    else:
        parser.error(f"there is no folder {source}")
    verdict = verify(named)
    for problem in verdict.problems:
        sys.stdout.write(f"{problem.name} {problem.reason}\n")
    count = len(verdict.problems)
    summary = f"; {count} problem{'s' * (count > 1)}" if count else ", all verify"
    sys.stdout.write(f"{verdict.records} records of {verdict.cases} cases{summary}\n")
    return 1 if verdict.problems else 0


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each record in a folder, in the order of the names."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _from_bucket(bucket: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each record in a bucket, in the order of the names."""
    import boto3

    store = ObjectStore(boto3.client("s3"))
    for entry in store.list(bucket):
        yield entry.key, store.get(bucket, entry.key).data
