"""The meetings of tests/case/test_meetings.py on real stores"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import pytest

from include.servers.real.kafka import Kafka
from tests.case import test_meetings as meetings
from tests.support import model_cases
from tests.support.gateways import BUCKET, STORES
from tests.support.model_cases import World, light_pixels
from tests.support.real_store import RealStore

# The first build of MinIO takes many minutes.
pytestmark = pytest.mark.timeout(1800)
light = pytest.fixture(autouse=True, scope="module")(light_pixels)
ITS_OWN_STORE = {
    "test_manual_runs_of_different_contents_are_different_cases",
    "test_a_backfill_that_fails_leaves_what_a_live_case_has_published",
    "test_a_case_that_fails_in_fetch_withdraws_what_its_upload_supersedes",
    "test_a_backfill_that_fails_beside_a_live_case",
}
"""Tests of what a store has to be made to do, or of every switch between two programs: on a real
store, each of the latter would take many minutes."""


def cases() -> Iterator[Any]:
    """All tests of the module with all their parameters."""
    for name, test in inspect.getmembers(meetings, inspect.isfunction):
        if not name.startswith("test_") or name in ITS_OWN_STORE:
            continue
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        names = [mark.args[0] for mark in marks]
        for values in product(*(mark.args[1] for mark in marks)):
            arguments = dict(zip(names, values, strict=True))
            title = "-".join([name.removeprefix("test_"), *map(str, values)])
            yield pytest.param(partial(test, **arguments), id=title)


@pytest.fixture(scope="module", params=STORES, ids=lambda store: str(store.__name__))
def client(
    kafka: Kafka, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A client of a real store."""
    with request.param(kafka, tmp_path_factory.mktemp("store")) as s3:
        yield s3


@pytest.mark.parametrize("meeting", list(cases()))
def test_cases_that_meet_agree(
    client: Any, meeting: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_cases, "new_store", lambda: RealStore(client, BUCKET))
    model_cases.REDACTOR.reads_everything = False
    meeting(world=World())
