"""Put a folder's images into the input bucket, once or again and again.

``python -m include.stack.upload FOLDER [--per-minute N]``. Once: what is there already is left, so
it can be started twice. With a rate: for ever, each round under a prefix of its own.
"""

from __future__ import annotations

import argparse
import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from include.demo.judge import BUCKET, files
from include.stack import store


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-minute", type=float, default=0, help="0: all at once, and end")
    options = parser.parse_args(arguments)
    names = files(options.folder)
    if not names:
        raise SystemExit(f"There are no files in {options.folder}, or they cannot be read.")
    s3, pace, sent = store.client(), threading.Event(), 0
    for key, path in keys(options.folder, names, endless=options.per_minute > 0):
        if put(s3, key, path.read_bytes()):
            sent += 1
            # No key is printed: it names a patient.
            print(f"{sent} uploaded", flush=True)
            if options.per_minute > 0:
                pace.wait(60 / options.per_minute)
    print(f"{sent} uploaded, {len(names) - sent} were there already", flush=True)


def keys(folder: Path, names: Sequence[Path], *, endless: bool) -> Iterator[tuple[str, Path]]:
    """Object keys and their files."""
    rounds = (f"round-{number}/" for number in itertools.count(1)) if endless else iter([""])
    for prefix in rounds:
        for path in names:
            yield f"{prefix}{path.relative_to(folder)}", path


def put(s3: Any, key: str, body: bytes) -> bool:
    """Upload it, if there is no object of that key; whether it was uploaded."""
    try:
        s3.head_object(Bucket=BUCKET, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return True
    return False


if __name__ == "__main__":
    main()
