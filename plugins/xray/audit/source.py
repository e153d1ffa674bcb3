"""Where a command reads the audit trail: in the bucket, or in a folder with a copy of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from xray.audit.checkpoint import is_checkpoint_name
from xray.audit.record import MAX_BYTES, record_number
from xray.audit.trail import objects
from xray.errors import ObjectError
from xray.storage import ObjectStore

_S3 = "s3://"


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``SOURCE`` of a command that reads the audit trail."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="the audit bucket as s3://BUCKET, with the credentials and AWS_ENDPOINT_URL in the "
        "environment as for AWS's own tools; or a folder with a copy of the bucket",
    )


def given_objects(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> Iterator[tuple[str, bytes]]:
    """Return the objects of the source of a command, as :func:`objects` yields them.

    Args:
        parser: the command's parser. A folder that is not there is a wrong call.
        options: of the command, with the argument of :func:`add_source`.
    """
    source: str = options.source
    if source.startswith(_S3):
        import boto3

        return objects(ObjectStore(boto3.client("s3")), source.removeprefix(_S3).strip("/"))
    if not Path(source).is_dir():
        parser.error(f"there is no folder {source}")
    return _from_folder(Path(source))


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each file in a folder, in the order of the names."""
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    named = sorted((path.relative_to(folder).as_posix(), path) for path in paths)
    for name, path in named:
        try:
            yield name, _read(name, path)
        except OSError as error:
            raise ObjectError(f"The file {name} cannot be read: {error.strerror}.") from None


def _read(name: str, path: Path) -> bytes:
    """Return as much of a file as a verification looks at."""
    if is_checkpoint_name(name):
        return path.read_bytes()
    if record_number(name) is None:
        return b""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
