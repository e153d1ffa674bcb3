"""xray.case.writer, on a model of the store"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tests.support import KEYRING, RUN
from tests.support.model_cases import BUCKET, KEY
from tests.support.model_store import ModelStore, Operation
from xray.case import Source, Work
from xray.case.manifest import Claim, Manifest, Output
from xray.case.writer import Writer, writing
from xray.errors import BlockedError, ConflictError, ObjectError, StaleError, TransientError
from xray.settings import Settings

OUT = "xray-data-in-processed"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def work(store: ModelStore) -> Work:
    """A case that owns its object: it has the first claim."""
    case = Work(
        store=store,
        source=Source(bucket=BUCKET, key=KEY),
        settings=Settings(),
        keyring=KEYRING,
        run=RUN,
        token="run-1:store:6",
        carried_id="case-1",
        claim=1,
    )
    mine = Claim(number=1, case_id="case-1", token="run-1:fetch:6", at="", places=[[OUT, "a"]])
    case.manifest.change(lambda _: Manifest(claim=1, case_id="case-1", claims=(mine,)))
    return case


def own(work: Work) -> tuple[Manifest, Claim]:
    """The manifest and the attempt's claim."""
    manifest, _ = work.manifest.read()
    return manifest, manifest.claims[0]


def live(work: Work, key: str, data: bytes) -> Output:
    """An output that an earlier attempt has published."""
    etag = work.store.put(OUT, key, data, content_type="image/png")
    output = Output(bucket=OUT, key=key, sha256=digest(data), size=len(data), etag=etag)
    work.manifest.change(lambda current: replace(current, outputs=(output,), content="0" * 64))
    return output


def take_over(work: Work) -> None:
    """Let another case claim the object."""
    work.manifest.change(lambda current: replace(current, claim=2, case_id="case-2"))


def content(store: ModelStore) -> dict[str, bytes]:
    return {key: one.data for key, one in store.peek(OUT).items()}


def test_an_output_is_written_and_then_made_live(store: ModelStore, work: Work) -> None:
    with writing(work, *own(work)) as writer:
        output = writer.write(OUT, "a", b"new", "image/png", {"label": "Normal"})
        assert work.manifest.read()[0].outputs == (), "not before the commit"
        writer.commit("1" * 64)
    assert work.manifest.read()[0].outputs == (output,)
    assert work.manifest.read()[0].content == "1" * 64
    written = store.peek(OUT)["a"]
    assert (written.data, written.metadata) == (b"new", {"label": "Normal"})
    assert (written.sha256, written.etag) == (output.sha256, output.etag)


def test_an_output_replaces_the_live_one(store: ModelStore, work: Work) -> None:
    live(work, "a", b"old")
    operations: list[Operation] = []
    store.before = operations.append
    with writing(work, *own(work)) as writer:
        writer.write(OUT, "a", b"new", "image/png")
        assert [one.name for one in operations].count("put") == 1, "over what was looked at"
        writer.commit("1" * 64)
    assert content(store) == {"a": b"new"}


def test_the_owner_writes_over_what_somebody_else_has_left(store: ModelStore, work: Work) -> None:
    store.put(OUT, "a", b"left by an attempt that was killed", content_type="image/png")
    with writing(work, *own(work)) as writer:
        writer.write(OUT, "a", b"new", "image/png")
        writer.commit("1" * 64)
    assert content(store) == {"a": b"new"}


@pytest.mark.parametrize("before", ["write", "commit"])
def test_after_a_later_claim_nothing_is_published(
    store: ModelStore, work: Work, before: str
) -> None:
    live(work, "a", b"old")

    def publish() -> None:
        with writing(work, *own(work)) as writer:
            if before == "write":
                take_over(work)
                store.put(OUT, "a", b"of the later case", content_type="image/png")
            writer.write(OUT, "a", b"new", "image/png")
            if before == "commit":
                take_over(work)
            writer.commit("1" * 64)

    with pytest.raises(StaleError, match="taken over"):
        publish()
    assert content(store) == {"a": b"of the later case" if before == "write" else b"old"}


@pytest.mark.parametrize("error", [ObjectError("No."), TransientError("Later.")])
def test_if_an_output_cannot_be_written_the_live_ones_are_put_back(
    store: ModelStore, work: Work, error: Exception
) -> None:
    old = live(work, "a", b"old")

    def refuse(operation: Operation) -> None:
        if (operation.name, operation.key) == ("put", "b"):
            raise error

    def publish() -> None:
        with writing(work, *own(work)) as writer:
            writer.write(OUT, "a", b"new", "image/png")
            writer.write(OUT, "b", b"new", "image/png")

    store.before = refuse
    with pytest.raises(type(error)):
        publish()
    assert content(store) == {"a": b"old"}
    assert store.peek(OUT)["a"].etag == old.etag


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_unfinished_stays_while_a_person_has_to_mend_the_store(
    store: ModelStore, work: Work, shared: bool
) -> None:
    def refuse(operation: Operation) -> None:
        if (operation.name, operation.key) == ("put", "b"):
            raise BlockedError("The store forbids it.")

    def claim_as_well(current: Manifest) -> Manifest:
        (mine,) = current.claims
        return replace(current, claims=(mine, replace(mine, number=0, case_id="case-0")))

    if shared:
        work.manifest.change(claim_as_well)

    def publish() -> None:
        with writing(work, *own(work)) as writer:
            writer.write(OUT, "a", b"new", "image/png")
            writer.write(OUT, "b", b"new", "image/png")

    store.before = refuse
    with pytest.raises(BlockedError):
        publish()
    # A place that another attempt may write to is left to that attempt.
    assert content(store) == ({"a": b"new"} if shared else {})
    assert work.manifest.read()[0].held(1), "the attempt goes on later"


def test_an_output_that_a_later_case_has_written_is_not_put_back(
    store: ModelStore, work: Work
) -> None:
    live(work, "a", b"old")

    def publish() -> None:
        with writing(work, *own(work)) as writer:
            writer.write(OUT, "a", b"new", "image/png")
            take_over(work)
            store.put(OUT, "a", b"of the later case", content_type="image/png")
            writer.commit("1" * 64)

    with pytest.raises(StaleError):
        publish()
    assert content(store) == {"a": b"of the later case"}


def test_the_same_bytes_are_not_kept_for_being_put_back(store: ModelStore, work: Work) -> None:
    live(work, "a", b"same")
    writer = Writer(work, *own(work))
    operations: list[Operation] = []
    store.before = operations.append
    writer.write(OUT, "a", b"same", "image/png")
    assert [(one.name, one.key) for one in operations] == [("put", "a")]


def test_outputs_that_are_kept_stay_live(work: Work) -> None:
    old = live(work, "a", b"old")
    with writing(work, *own(work)) as writer:
        new = writer.write(OUT, "b", b"new", "image/png")
        writer.commit("1" * 64, kept=[old])
    assert work.manifest.read()[0].outputs == (old, new)
    with writing(work, *own(work)) as writer:
        newer = writer.write(OUT, "a", b"newer", "image/png")
        writer.commit("1" * 64, kept=[old, new])
    assert work.manifest.read()[0].outputs == (new, newer)


def test_an_output_that_keeps_changing_is_tried_again_later(store: ModelStore, work: Work) -> None:
    number = 0

    def interfere(operation: Operation) -> None:
        nonlocal number
        if (operation.name, operation.key) == ("put", "a"):
            number += 1
            store.before = lambda _: None
            store.put(OUT, "a", str(number).encode(), content_type="image/png")
            store.before = interfere

    store.before = interfere
    with pytest.raises(TransientError, match="keep writing"):
        Writer(work, *own(work)).write(OUT, "a", b"new", "image/png")


class _VersionedCeph(ModelStore):
    """A store that refuses conditions that hold, in buckets of outputs."""

    def put(self, bucket: str, key: str, data: bytes, **options: object) -> str:
        if bucket == OUT and (options.get("once") or options.get("over")):
            raise ConflictError("The condition does not hold.")
        return super().put(bucket, key, data, **options)


def test_a_store_that_refuses_conditions_that_hold_is_written_to_without(work: Work) -> None:
    store = _VersionedCeph()
    case = replace(work, store=store)
    case.manifest.change(lambda _: work.manifest.read()[0])
    for data in (b"new", b"newer"):
        with writing(case, *own(case)) as writer:
            writer.write(OUT, "a", data, "image/png")
            writer.commit("1" * 64)
        assert content(store) == {"a": data}
    take_over(case)
    with pytest.raises(StaleError), writing(case, *own(case)) as writer:
        writer.write(OUT, "a", b"of an older case", "image/png")
    assert content(store) == {"a": b"newer"}


def test_an_output_that_comes_and_goes_is_not_written_without_a_condition(
    store: ModelStore, work: Work
) -> None:
    """It is removed by a convergence, and then written by the later case of the object."""
    store.put(OUT, "a", b"left by an attempt that was killed", content_type="image/png")

    def interfere(operation: Operation) -> None:
        if (operation.name, operation.key) == ("head", "a"):
            store.before = ends
            store.delete(OUT, "a")

    def ends(operation: Operation) -> None:
        if (operation.name, operation.key) == ("put", "a"):
            store.before = lambda _: None
            take_over(work)
            store.put(OUT, "a", b"of the later case", content_type="image/png")

    store.before = interfere
    with pytest.raises(StaleError):
        Writer(work, *own(work)).write(OUT, "a", b"of the older case", "image/png")
    assert content(store) == {"a": b"of the later case"}
