"""xray.errors"""

from __future__ import annotations

import re

import pytest

from xray import errors
from xray.errors import NotFoundError, PermanentError, TransientError, XrayError
from xray.notification import UnreadableError

CLASSES = [
    one
    for one in [*vars(errors).values(), UnreadableError]
    if isinstance(one, type) and issubclass(one, XrayError)
]


def test_the_drawing_shows_every_error_below_its_base() -> None:
    drawn: dict[str, str | None] = {}
    bases: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( *)[*x+-] (\w+)", str(errors.__doc__), flags=re.M):
        bases = [base for base in bases if base[0] < len(indent)]
        drawn[name] = bases[-1][1] if bases else None
        bases.append((len(indent), name))
    classes = {one.__name__: one.__bases__[0].__name__ for one in CLASSES}
    assert drawn == {**classes, "XrayError": None}


@pytest.mark.parametrize("error", [one for one in CLASSES if one is not XrayError])
def test_a_failure_is_permanent_or_passing(error: type[XrayError]) -> None:
    assert issubclass(error, PermanentError) is not issubclass(error, TransientError)


def test_an_object_that_is_not_found_may_be_on_its_way() -> None:
    assert not NotFoundError("It is not there.").deleted
    assert NotFoundError("It is not there.", deleted=True).deleted
