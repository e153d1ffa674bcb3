"""Verifying the audit trail: finding records that were changed, or are missing in between.

Hashes cannot show that the last records of a case were removed. Protect the
bucket by the store's own means: object lock, or an account that may write and
not delete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from xray.audit.trail import digest, record_name

SCHEMA_FILE = Path(__file__).with_name("audit.schema.json")
_MAX_NUMBER = 99_999
"""The largest number that a record's name has digits for."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of one record."""

    name: str
    """``<case id>/<number>.json``. It names no patient."""
    reason: str
    """A predicate that follows the name in a sentence, such as "is missing"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification."""

    records: int
    """The number of records verified."""
    cases: int
    """The number of cases that they belong to."""
    problems: tuple[Problem, ...]


def verify(named: Iterable[tuple[str, bytes]]) -> Verdict:
    """Verify records, given as (name, bytes) in the order of their names."""
    total = cases = 0
    problems: list[Problem] = []
    for case_id, group in groupby(named, key=lambda pair: pair[0].partition("/")[0]):
        trail = list(group)
        total, cases = total + len(trail), cases + 1
        problems += _trail_problems(case_id, trail)
    return Verdict(total, cases, tuple(problems))


def _trail_problems(case_id: str, trail: Sequence[tuple[str, bytes]]) -> Iterator[Problem]:
    """Yield the problems of one case's records."""
    expected, previous = 1, None
    for name, data in trail:
        while expected <= _MAX_NUMBER and name > record_name(case_id, expected):
            yield Problem(record_name(case_id, expected), "is missing")
            expected, previous = expected + 1, None
        reason = _record_problem(name, data, case_id, expected)
        if reason is None and previous not in (None, json.loads(data)["previous"]):
            reason = "does not follow the record before it: one of the two was changed"
        if reason is not None:
            yield Problem(name, reason)
        expected, previous = expected + 1, hashlib.sha256(data).hexdigest()


def _record_problem(name: str, data: bytes, case_id: str, number: int) -> str | None:
    """Return the problem of one record, apart from its chain; None if there is none."""
    from jsonschema import ValidationError

    try:
        record = json.loads(data)
        _validator().validate(record)
    except ValueError:
        return "is not JSON"
    except ValidationError as error:
        return f"does not have the form of a record, at {error.json_path}"
    place = (record_name(case_id, number), case_id, number)
    if (name, record["case_id"], record["number"]) != place:
        return "does not belong there"
    if record["digest"] != digest(record):
        return "was changed: its digest does not match"
    if record["previous"] is None and number > 1:
        return "names no record before it"
    if record["previous"] is not None and number == 1:
        return "names a record before it, though it is the first"
    return None


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
