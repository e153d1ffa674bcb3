"""Upload the images of a folder to the input bucket, once or repeatedly.

``python -m include.stack.upload FOLDER [--per-minute N]``. Without a rate, each image is uploaded
once; existing objects are skipped. With a rate, the upload never ends, and each round has a prefix
of its own.
"""

from __future__ import annotations

import argparse
import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from include.demo.verification import BUCKET, files_to_upload
from include.stack import store


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--per-minute",
        type=float,
        default=0,
        help="0 (the default): upload everything at once, then end",
    )
    options = parser.parse_args(arguments)
    paths = files_to_upload(options.folder)
    if not paths:
        raise SystemExit(f"There are no files in {options.folder}, or they cannot be read.")
    s3, pace, sent = store.client(), threading.Event(), 0
    for key, path in keys(options.folder, paths, endless=options.per_minute > 0):
        if upload_if_missing(s3, key, path.read_bytes()):
            sent += 1
            # The key is not printed: it names a patient.
            print(f"{sent} uploaded", flush=True)
            if options.per_minute > 0:
                pace.wait(60 / options.per_minute)
    print(f"{sent} uploaded, {len(paths) - sent} existed already", flush=True)


def keys(folder: Path, paths: Sequence[Path], *, endless: bool) -> Iterator[tuple[str, Path]]:
    """Yield each object key and its file: one round, or endless ones with numbered prefixes."""
    rounds = (f"round-{number}/" for number in itertools.count(1)) if endless else iter([""])
    for prefix in rounds:
        for path in paths:
            yield f"{prefix}{path.relative_to(folder)}", path


def upload_if_missing(s3: Any, key: str, body: bytes) -> bool:
    """Upload an object unless its key exists; return whether it was uploaded."""
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
