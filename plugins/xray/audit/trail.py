"""The audit trail: records that are created once, chained, and never overwritten.

A record is JSON at ``<case id>/<number>.json`` in the audit bucket, in the form
of ``audit.schema.json`` beside this module. One ends every attempt of a case,
and one stands for every review and every decision on a quarantined image. Each
holds the hash of the case's record before it, and one of itself. A record names
the object, so the bucket is as confidential as the images are.

``python -m xray.audit verify SOURCE`` checks a bucket (``s3://NAME``) or a folder
that one was copied to, and tells what was changed, or is missing in between.
What no hash can show is a trail's end cut off: protect the bucket by the store's
own means (object lock, or an account that may write and not delete).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from xray.errors import AlreadyExistsError, XrayError
from xray.storage import ObjectStore

SCHEMA = 1
"""Version of a record's form."""
SCHEMA_FILE = Path(__file__).with_name("audit.schema.json")
SUCCEEDED, FAILED, REVIEWED, RELEASED = "succeeded", "failed", "reviewed", "released"
ENDS = (SUCCEEDED, FAILED, RELEASED)
"""Outcomes that end an attempt; a release belongs to the one that ended before it."""


def append(
    store: ObjectStore, bucket: str, case_id: str, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``record`` as the case's next one; returns it whole.

    Args:
        store: where to.
        bucket: of the audit records.
        case_id: whose.
        record: what to write. ``token`` in it makes this harmless to repeat: if the case's last
            record has the same one and the same outcome, that is returned and none is written.

    Two writers at once get two numbers: the store refuses the second one's first choice.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    while True:
        last, digest = _last(store, bucket, case_id)
        if last and all(last.get(name) == record[name] for name in ("outcome", "token")):
            return last
        whole = _whole(case_id, record, last, digest)
        try:
            store.put(
                bucket,
                _name(case_id, whole["number"]),
                json.dumps(whole, indent=2, ensure_ascii=False).encode(),
                content_type="application/json",
                once=True,
            )
        except AlreadyExistsError:
            continue
        return whole


def records(store: ObjectStore, bucket: str, case_id: str) -> list[dict[str, Any]]:
    """The case's records, oldest first."""
    return [
        json.loads(store.get(bucket, entry.key).data) for entry in store.list(bucket, f"{case_id}/")
    ]


def _last(
    store: ObjectStore, bucket: str, case_id: str
) -> tuple[dict[str, Any] | None, str | None]:
    """The case's last record, and the hash of its bytes."""
    key = max((entry.key for entry in store.list(bucket, f"{case_id}/")), default=None)
    if key is None:
        return None, None
    content = store.get(bucket, key)
    return json.loads(content.data), content.sha256


def _whole(
    case_id: str, record: Mapping[str, Any], last: Mapping[str, Any] | None, digest: str | None
) -> dict[str, Any]:
    """``record`` with its place in the case's chain."""
    number, attempt = 1, 1
    if last:
        number = last["number"] + 1
        attempt = last["attempt"]
        attempt += last["outcome"] in ENDS and record["outcome"] != RELEASED
    whole = {
        "schema": SCHEMA,
        "case_id": case_id,
        "number": number,
        "attempt": attempt,
        "previous": digest,
        "recorded_at": datetime.now(UTC).isoformat(),
        **record,
    }
    return {**whole, "digest": _digest(whole)}


def _name(case_id: str, number: int) -> str:
    return f"{case_id}/{number:05d}.json"


def _digest(record: Mapping[str, Any]) -> str:
    """The hash of all of a record but its own ``digest``, in one certain spelling."""
    rest = {name: value for name, value in record.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a record."""

    name: str
    """``<case id>/<number>.json``; it names no patient."""
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found."""

    records: int
    cases: int
    problems: tuple[Problem, ...]


def verify(named: Iterable[tuple[str, bytes]]) -> Verdict:
    """Check records, given as (name, bytes) in the order of their names."""
    total = cases = 0
    problems: list[Problem] = []
    for case_id, group in groupby(named, key=lambda pair: pair[0].partition("/")[0]):
        trail = list(group)
        total, cases = total + len(trail), cases + 1
        problems += _check_trail(case_id, trail)
    return Verdict(total, cases, tuple(problems))


def _check_trail(case_id: str, trail: Sequence[tuple[str, bytes]]) -> Iterator[Problem]:
    """What is wrong with the records of one case."""
    expected, previous = 1, None
    for name, data in trail:
        while expected < 10**5 and name > _name(case_id, expected):
            yield Problem(_name(case_id, expected), "is missing")
            expected, previous = expected + 1, None
        reason = _wrong(name, data, case_id, expected)
        if reason is None and previous not in (None, json.loads(data)["previous"]):
            reason = "does not follow the record before it: one of the two was changed"
        if reason is not None:
            yield Problem(name, reason)
        expected, previous = expected + 1, hashlib.sha256(data).hexdigest()


def _wrong(name: str, data: bytes, case_id: str, number: int) -> str | None:
    """What is wrong with one record by itself."""
    from jsonschema import ValidationError

    try:
        record = json.loads(data)
        _validator().validate(record)
    except ValueError:
        return "is not JSON"
    except ValidationError as error:
        return f"has not the form of a record, at {error.json_path}"
    if (name, record["case_id"], record["number"]) != (_name(case_id, number), case_id, number):
        return "does not belong there"
    if record["digest"] != _digest(record):
        return "was changed: its digest is another"
    if (record["previous"] is None) is not (number == 1):
        return "has no record before it" if number > 1 else "is said to follow another"
    return None


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _from_bucket(bucket: str) -> Iterator[tuple[str, bytes]]:
    import boto3

    store = ObjectStore(boto3.client("s3"))
    for entry in store.list(bucket):
        yield entry.key, store.get(bucket, entry.key).data


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 if all records verify, 1 if one does not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m xray.audit", description="The audit trail.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "verify", help="find records that were changed, or are missing in between"
    )
    check.add_argument(
        "source",
        metavar="SOURCE",
        help="s3://BUCKET, with the login and AWS_ENDPOINT_URL in the environment as AWS's own "
        "tools take them; or a folder that the bucket was copied to",
    )
    source = parser.parse_args(arguments).source
    if not source.startswith("s3://") and not Path(source).is_dir():
        parser.error(f"there is no folder {source}")
    bucket = source.removeprefix("s3://").strip("/")
    try:
        found = _from_bucket(bucket) if source.startswith("s3://") else _from_folder(Path(source))
        verdict = verify(found)
    except XrayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for problem in verdict.problems:
        sys.stdout.write(f"{problem.name} {problem.reason}\n")
    wrong = f"; {len(verdict.problems)} problems" if verdict.problems else ", all verify"
    sys.stdout.write(f"{verdict.records} records of {verdict.cases} cases{wrong}{os.linesep}")
    return 1 if verdict.problems else 0
