"""xray.case.claim: which upload is the present one, and which attempt owns the object"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.support import KEYRING, RUN
from tests.support.model_cases import BUCKET, KEY, World, light_pixels, settings
from tests.support.model_store import ModelStore
from xray.case import Pinned, Source, Work
from xray.case.claim import (
    claim,
    claim_of_task,
    last_claim,
    own_claim,
    precedes,
    run_of,
    superseded,
    upload_of,
    without_request,
)
from xray.case.manifest import RELEASE, REVIEW, Manifest, Request, Upload
from xray.settings import Settings

light = pytest.fixture(autouse=True, scope="module")(light_pixels)


def upload(**fields: str | None) -> Upload:
    """An upload of Ceph's, with ``fields``."""
    blank = dict.fromkeys(
        ("version_id", "etag", "sha256", "modified", "sequencer", "event_time"), None
    )
    return Upload(**{**blank, "origin": "ceph", "etag": str(sorted(fields.items())), **fields})


def seconds(sequencer: str) -> float:
    """The time in a sequencer of Ceph's: seconds and nanoseconds, little-endian, of 32 bits."""
    content = bytes.fromhex(sequencer)
    whole, nano = (int.from_bytes(content[at : at + 4], "little") for at in (0, 4))
    return whole + nano / 1e9


def test_a_sequencer_of_ceph_is_a_time_in_little_endian_numbers() -> None:
    observed = "C8FF046B6C5AB135"
    assert seconds(observed) == pytest.approx(1795489736.900815468)
    assert datetime.fromtimestamp(seconds(observed), UTC).year == 2026


@pytest.mark.parametrize(
    ("origin", "first", "second"),
    [
        # A nanosecond, the carry of a byte, a second, and the carry of two bytes of the seconds.
        ("ceph", "C8FF046B6C5AB135", "C8FF046B6D5AB135"),
        ("ceph", "C8FF046BFFFFFF00", "C8FF046B00000001"),
        ("ceph", "C8FF046BFFC99A3B", "C9FF046B00000000"),
        ("ceph", "FFFF046B00000000", "0000056B00000000"),
        # The Amazon S3 User Guide: the shorter one is padded with zeros on the right.
        ("aws", "0055AED6DCD90281E5", "0055AED6DCD90281E6"),
        ("aws", "0055AED6DCD9", "0055AED6DCD90281E5"),
        ("aws", "0055aed6dcd90281e5", "0055AED6DCD90281E6"),
        ("minio", "17A3B9D1C4E5F600", "17A3B9D1C4E5F601"),
    ],
)
def test_uploads_are_ordered_by_the_stores_sequencers(origin: str, first: str, second: str) -> None:
    # The times of the events say the opposite.
    one = upload(origin=origin, sequencer=first, event_time="2026-01-02T00:00:00Z")
    two = upload(origin=origin, sequencer=second, event_time="2026-01-01T00:00:00Z")
    assert precedes(one, two)
    assert not precedes(two, one)


@pytest.mark.parametrize("sequencer", ["C8FF046B6C5AB1", "not hexadecimal!", ""])
def test_a_strange_sequencer_of_ceph_is_not_compared(sequencer: str) -> None:
    strange = upload(sequencer=sequencer, event_time="2026-01-01T00:00:00Z")
    usual = upload(sequencer="C8FF046B6C5AB135", event_time="2026-01-02T00:00:00Z")
    assert precedes(strange, usual)
    assert not precedes(usual, strange)


def test_a_sequencer_that_restarts_is_not_compared() -> None:
    """versitygw counts from one again when it is restarted."""
    older = upload(origin="versitygw", sequencer="9", event_time="2026-01-01T00:00:00Z")
    newer = upload(origin="versitygw", sequencer="1", event_time="2026-01-01T00:00:01Z")
    assert precedes(older, newer)
    assert not precedes(newer, older)


def test_sequencers_of_different_origins_are_not_compared() -> None:
    older = upload(origin="aws", sequencer="FF", event_time="2026-01-01T00:00:00Z")
    newer = upload(origin="backfill", sequencer="00", modified="2026-01-01T00:00:01+00:00")
    assert precedes(older, newer)
    assert not precedes(newer, older)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"event_time": "2026-01-01T00:00:00Z"}, {"event_time": "2026-01-01T00:00:00.001Z"}),
        ({"event_time": "2026-01-01T00:00:00"}, {"event_time": "2026-01-01T01:00:01+01:00"}),
        ({"event_time": "2026-01-01T00:00:00Z"}, {"modified": "2026-01-01T00:00:01+00:00"}),
        ({"event_time": "?", "modified": "2026-01-01"}, {"event_time": "2026-01-02T00:00:00Z"}),
    ],
)
def test_uploads_without_sequencers_are_ordered_by_the_times_of_their_events(
    older: dict[str, str], newer: dict[str, str]
) -> None:
    assert precedes(upload(**older), upload(**newer))
    assert not precedes(upload(**newer), upload(**older))


def test_uploads_that_nothing_orders_do_not_precede_each_other() -> None:
    one, two = upload(etag="1"), upload(etag="2", event_time="2026-01-01T00:00:00Z")
    assert not precedes(one, two)
    assert not precedes(two, one)


def test_an_upload_does_not_precede_itself() -> None:
    """Its two notifications may have two sequencers."""
    one = upload(etag="e", sequencer="00000000" + "00000000")
    assert not precedes(one, replace(one, sequencer="C8FF046B6C5AB135"))


# What the store says


def work(store: ModelStore, source: Source, **changes: object) -> Work:
    """A case of a source, in its task *fetch*."""
    case = Work(
        store=store,
        source=source,
        settings=Settings(),
        keyring=KEYRING,
        run=RUN,
        token="xray__test:fetch:6",
    )
    return replace(case, **changes)


def two_uploads(versioned: bool) -> tuple[World, Work, Work]:
    """An object that was replaced, and a case of each upload."""
    world = World(store=ModelStore(versioned=versioned))
    older, newer = world.upload("pneumonia 1"), world.upload("pneumonia 2")
    return world, work(world.store, older), work(world.store, newer)


@pytest.mark.parametrize("versioned", [False, True])
def test_the_present_upload_is_what_the_store_says(versioned: bool) -> None:
    _, older, newer = two_uploads(versioned)
    assert superseded(older, upload_of(older.source, None), Manifest())
    assert not superseded(newer, upload_of(newer.source, None), Manifest())


def test_an_upload_of_the_same_bytes_is_another_one_where_versions_are_kept() -> None:
    world = World(store=ModelStore(versioned=True))
    older, newer = (work(world.store, world.upload("pneumonia 1")) for _ in range(2))
    assert superseded(older, upload_of(older.source, None), Manifest())
    assert not superseded(newer, upload_of(newer.source, None), Manifest())


@pytest.mark.parametrize("versioned", [False, True])
def test_if_the_original_is_gone_the_order_of_the_uploads_decides(versioned: bool) -> None:
    world, older, newer = two_uploads(versioned)
    world.store.delete(BUCKET, KEY)
    uploads = [upload_of(case.source, None) for case in (older, newer)]
    assert superseded(older, uploads[0], Manifest(upload=uploads[1]))
    assert not superseded(newer, uploads[1], Manifest(upload=uploads[0]))
    assert not superseded(older, uploads[0], Manifest())


# Claims


def ended(manifest: Manifest) -> Manifest:
    """The manifest once all its attempts have ended."""
    return replace(manifest, claims=())


@pytest.fixture
def pinned() -> Callable[[Work], Pinned]:
    def pin(case: Work) -> Pinned:
        content = case.store.get(BUCKET, KEY)
        return Pinned(
            case_id=case.case_id,
            version_id=content.version_id,
            etag=content.etag,
            sha256=content.sha256,
            size=len(content.data),
            modified=content.modified.isoformat(),
            format="PNG",
            width=64,
            height=64,
            settings={},
        )

    return pin


def test_the_last_claim_owns_the_object(pinned: Callable[[Work], Pinned]) -> None:
    world = World()
    first = work(world.store, world.upload("pneumonia 1"))
    second = replace(first, token="backfill:fetch:6", carried_id="c2")
    one = own_claim(first, claim(first, pinned(first)))
    manifest = claim(second, pinned(second))
    two = own_claim(second, manifest)
    assert one is not None
    assert two is not None
    assert (one.number, two.number) == (1, 2)
    assert own_claim(first, manifest) is None
    assert last_claim(first, manifest) == one
    assert [held.number for held in manifest.claims] == [1, 2]


def test_a_claim_is_made_once_for_each_attempt(pinned: Callable[[Work], Pinned]) -> None:
    world = World()
    case = work(world.store, world.upload("pneumonia 1"))
    first = claim(case, pinned(case))
    assert claim(case, pinned(case)) == first
    later = replace(case, token="xray__test:store:6", claim=1)
    assert claim(later, pinned(case)) == first, "the claim of fetch is that of the whole attempt"
    assert claim_of_task(case, first) == first.claims[0]
    assert claim_of_task(later, first) is None


def test_a_cleared_run_makes_a_new_claim_in_place_of_its_old_one(
    pinned: Callable[[Work], Pinned],
) -> None:
    world = World()
    case = work(world.store, world.upload("pneumonia 1"))
    claim(case, pinned(case))
    manifest = claim(replace(case, token="xray__test:fetch:13"), pinned(case))
    (held,) = manifest.claims
    assert held.number == 2
    places = {key for _, key in held.places}
    assert f"{case.case_id}/1/image.png" in places, "what the old attempt may have left"
    assert f"{case.case_id}/2/image.png" in places


def test_a_superseded_case_gets_no_claim(pinned: Callable[[Work], Pinned]) -> None:
    _, older, newer = two_uploads(versioned=False)
    old = replace(pinned(newer), etag=str(older.source.etag))
    assert claim(older, old) == Manifest()
    assert claim(newer, pinned(newer)).claim == 1


def test_the_places_of_a_claim_are_all_that_a_case_may_write_to() -> None:
    world = World(settings=settings("always", evidence=True))
    for content in ("text 1", "pneumonia 1"):
        world.upload(content)
        run = world.deliver()
        (program,) = world.together([lambda run=run: world.go_on(run)])
        written = {(one.bucket, one.key) for one in program.log if one.name == "put"}
        outputs = {place for place in written if place[0].endswith(("ed", "quarantine"))}
        case = world.work(run, "fetch")
        number = run.values["fetch"].claim
        held = World(store=ModelStore(), settings=world.settings)
        held.upload(content)
        places = claim(
            replace(case, store=held.store, claim=0), replace(run.values["fetch"], claim=0)
        ).claims[0]
        named = {(bucket, key.replace("/1/", f"/{number}/")) for bucket, key in places.places}
        assert outputs
        assert outputs <= named


def test_a_claim_withdraws_the_request_that_waits(pinned: Callable[[Work], Pinned]) -> None:
    world = World()
    world.upload("text 1")
    world.go_on(world.deliver())
    waiting = world.manifest.waiting
    assert waiting is not None
    assert waiting.kind == RELEASE
    case = world.work(world.backfill(), "fetch")
    manifest = claim(case, pinned(case))
    assert manifest.waiting is None
    assert manifest.withdrawn == (waiting,)


@pytest.mark.parametrize(
    ("kind", "answered", "ends"),
    [(REVIEW, None, True), (REVIEW, "r:review:6", False), (RELEASE, None, False)],
)
def test_an_attempt_that_waits_for_a_review_ends_with_the_request(
    kind: str, answered: str | None, ends: bool, pinned: Callable[[Work], Pinned]
) -> None:
    world = World()
    case = work(world.store, world.upload("pneumonia 1"))
    held = claim(case, pinned(case))
    request = Request(
        kind=kind, case_id=case.case_id, claim=1, sha256="0" * 64, since="", answered=answered
    )
    manifest = without_request(replace(held, waiting=request))
    assert manifest.withdrawn == (request,)
    assert (manifest.claims == ()) is ends
    assert (manifest.leftovers != held.leftovers) is ends, (
        "its places are emptied by the next attempt to end"
    )


def test_a_token_names_its_run() -> None:
    assert run_of("xray__abc:store:13") == "xray__abc"
    assert (
        run_of("manual__2026-01-01T00:00:00+00:00:store:6") == "manual__2026-01-01T00:00:00+00:00"
    )
