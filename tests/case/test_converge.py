"""xray.case.converge, on a model of the store"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support import KEYRING, RUN
from tests.support.model_cases import BUCKET, KEY, World, light_pixels
from tests.support.model_store import Fault, ModelStore, Operation, Program, interleave
from xray.case import Source, Work
from xray.case.converge import converge
from xray.case.manifest import RELEASE, REVIEW, Claim, Manifest, Output, Request
from xray.errors import TransientError
from xray.settings import Settings

OUT = "xray-data-in-processed"
light = pytest.fixture(autouse=True, scope="module")(light_pixels)


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def work(store: ModelStore) -> Work:
    """A case with the first claim, which ends."""
    return Work(
        store=store,
        source=Source(bucket=BUCKET, key=KEY),
        settings=Settings(),
        keyring=KEYRING,
        run=RUN,
        token="run-1:store:6",
        carried_id="case-1",
        claim=1,
    )


def claimed(number: int, *keys: str) -> Claim:
    """A claim that may write to some keys."""
    return Claim(
        number=number,
        case_id=f"case-{number}",
        token=f"run-{number}:fetch:6",
        at="",
        places=[[OUT, key] for key in keys],
    )


def put(store: ModelStore, key: str, data: bytes = b"an output") -> Output:
    """Write an output."""
    etag = store.put(OUT, key, data, content_type="image/png", metadata={"of": key})
    digest = hashlib.sha256(data).hexdigest()
    return Output(bucket=OUT, key=key, sha256=digest, size=len(data), etag=etag)


def keys(store: ModelStore) -> list[str]:
    return list(store.peek(OUT))


def test_what_is_live_stays_and_what_is_left_over_goes(store: ModelStore, work: Work) -> None:
    live = put(store, "live")
    for key in ("left over", "of the attempt", "of nobody"):
        put(store, key)
    mine = claimed(1, "live", "of the attempt", "never written")
    work.manifest.change(
        lambda _: Manifest(
            claim=1,
            outputs=(live,),
            content="0" * 64,
            claims=(mine,),
            leftovers=((OUT, "left over"), (OUT, "gone already")),
        )
    )
    converge(work, mine)
    assert keys(store) == ["live", "of nobody"]
    manifest, _ = work.manifest.read()
    assert (manifest.outputs, manifest.claims, manifest.leftovers) == ((live,), (), ())


def test_a_place_that_another_attempt_may_write_to_is_left_to_that_attempt(
    store: ModelStore, work: Work
) -> None:
    put(store, "shared")
    mine, other = claimed(1, "shared"), claimed(2, "shared")
    work.manifest.change(lambda _: Manifest(claim=2, claims=(mine, other)))
    converge(work, mine)
    assert keys(store) == ["shared"]
    assert work.manifest.read()[0].leftovers == ((OUT, "shared"),)
    converge(work, other)
    assert keys(store) == []
    assert work.manifest.read()[0] == Manifest(claim=2, cases=())


@pytest.mark.parametrize("commits", [True, False])
def test_an_output_that_is_written_again_while_it_is_removed_is_put_back(
    store: ModelStore, work: Work, commits: bool
) -> None:
    """Another attempt writes the same bytes, so that the store sees no difference."""
    old = put(store, "a")
    mine, other = claimed(1, "a"), claimed(2, "a")
    work.manifest.change(lambda _: Manifest(claim=1, claims=(mine,)))

    def write_again(operation: Operation) -> None:
        if operation.name == "delete":
            store.before = lambda _: None
            outputs = (put(store, "a"),) if commits else ()
            work.manifest.change(
                lambda current: replace(
                    current, claim=2, claims=(*current.claims, other), outputs=outputs
                )
            )

    store.before = write_again
    converge(work, mine)
    assert store.peek(OUT)["a"].etag == old.etag
    assert store.peek(OUT)["a"].metadata == {"of": "a"}
    if not commits:
        converge(work, other)
        assert keys(store) == []


def test_an_output_that_is_put_back_too_late_is_removed_again(
    store: ModelStore, work: Work
) -> None:
    """The other attempt has published it, and withdrawn it before it was put back."""
    put(store, "left over")
    mine, other = claimed(1), claimed(2, "left over")
    work.manifest.change(
        lambda _: Manifest(claim=1, claims=(mine,), leftovers=((OUT, "left over"),))
    )

    def publish(operation: Operation) -> None:
        if operation.name == "delete":
            store.before = lambda _: None
            output = put(store, "left over")
            work.manifest.change(
                lambda current: replace(
                    current, claim=2, claims=(*current.claims, other), outputs=(output,)
                )
            )
            store.before = withdraw

    def withdraw(operation: Operation) -> None:
        if (operation.name, operation.key) == ("put", "left over"):
            store.before = lambda _: None
            work.manifest.change(lambda current: current.with_outputs((), None))
            converge(replace(work, carried_id="case-2", claim=2, token="run-2:store:6"), other)
            assert keys(store) == []

    store.before = publish
    converge(work, mine)
    assert keys(store) == []
    assert work.manifest.read()[0] == Manifest(claim=2)


def test_an_output_that_changes_while_it_is_removed_is_not_removed(
    store: ModelStore, work: Work
) -> None:
    put(store, "a")
    mine, other = claimed(1, "a"), claimed(2, "a")
    work.manifest.change(lambda _: Manifest(claim=1, claims=(mine,)))

    def write_another(operation: Operation) -> None:
        if operation.name == "delete":
            store.before = lambda _: None
            output = put(store, "a", b"another output")
            work.manifest.change(
                lambda current: replace(
                    current, claim=2, claims=(*current.claims, other), outputs=(output,)
                )
            )

    store.before = write_another
    converge(work, mine)
    assert store.peek(OUT)["a"].data == b"another output"
    assert [one.number for one in work.manifest.read()[0].claims] == [2]


def older_and_newer(world: World) -> list[Callable[[], None]]:
    """A case whose upload supersedes another one, and a later upload of the first one's bytes."""
    world.upload("pneumonia 1")
    world.go_on(world.deliver())
    world.upload("pneumonia 2")
    older = world.deliver()

    def newer() -> None:
        world.upload("pneumonia 1")
        world.go_on(world.deliver())

    return [lambda: world.go_on(older), newer]


def test_outputs_that_a_killed_attempt_has_removed_are_withdrawn() -> None:
    """It was killed before it could put back what another attempt had published meanwhile."""
    world = World()
    program, _ = world.together(older_and_newer(world))
    removals = [
        number
        for number, one in enumerate(program.log)
        if one.name == "delete" and one.bucket == f"{BUCKET}-anonymized"
    ]
    assert len(removals) == 2, "of an image and of its certificate"
    for number in removals:
        other = World()
        faults = [{number + 1: Fault.KILL}]
        other.together(older_and_newer(other), [number], faults)
        other.finish()
        other.check()
        assert other.manifest.outputs == ()


def damaged(store: ModelStore, work: Work, claim: int) -> Claim:
    """An object that lacks a live output. The first attempt has not ended."""
    live, lost = put(store, "live"), put(store, "lost")
    store.delete(OUT, "lost")
    mine = claimed(1, "live", "lost")
    work.manifest.change(
        lambda _: Manifest(claim=claim, outputs=(live, lost), content="0" * 64, claims=(mine,))
    )
    return mine


def test_an_older_attempt_that_ends_leaves_a_damaged_object_without_outputs(
    store: ModelStore, work: Work
) -> None:
    mine = damaged(store, work, claim=2)
    converge(work, mine)
    assert work.manifest.read()[0] == Manifest(claim=2)
    assert keys(store) == []


def test_an_owner_whose_output_was_removed_meanwhile_is_tried_again(
    store: ModelStore, work: Work
) -> None:
    mine = damaged(store, work, claim=1)
    with pytest.raises(TransientError, match="publish it again"):
        converge(work, mine)
    assert work.manifest.read()[0].claims == (mine,)
    put(store, "lost")
    converge(work, mine)
    assert work.manifest.read()[0].claims == ()
    assert keys(store) == ["live", "lost"]


def test_what_was_removed_is_put_back_if_the_convergence_fails(
    store: ModelStore, work: Work
) -> None:
    """Another attempt has published it after the manifest was read."""
    mine, other = claimed(1, "a", "b"), claimed(2, "a", "b")
    work.manifest.change(lambda _: Manifest(claim=1, claims=(mine,)))

    def publish(operation: Operation) -> None:
        if operation.name == "get" and operation.bucket == OUT:
            store.before = refuse
            outputs = put(store, "a"), put(store, "b")
            work.manifest.change(
                lambda current: replace(
                    current, claim=2, claims=(*current.claims, other), outputs=outputs
                )
            )

    removed: list[str] = []

    def refuse(operation: Operation) -> None:
        if operation.name == "delete":
            if removed:
                store.before = lambda _: None
                raise TransientError("The store is not available.")
            removed.append(operation.key)

    store.before = publish
    with pytest.raises(TransientError, match="not available"):
        converge(work, mine)
    assert removed
    assert keys(store) == ["a", "b"]


@pytest.mark.parametrize("answered", [None, "r:review:6"])
@pytest.mark.parametrize("kind", [REVIEW, RELEASE])
def test_a_withdrawn_request_is_recorded_once_and_its_form_closed(
    store: ModelStore, work: Work, kind: str, answered: str | None
) -> None:
    request = Request(
        kind=kind, case_id="case-9", claim=9, sha256="0" * 64, since="", answered=answered
    )
    closed: list[Request] = []
    work = replace(work, close_form=closed.append)
    manifests = f"{BUCKET}-manifests"
    store.put(manifests, request.marker, b"{}", content_type="application/json")
    store.put(f"{BUCKET}-staging", "case-9/9/full.png", b"a picture", content_type="image/png")
    work.manifest.change(lambda _: Manifest(claim=10, withdrawn=(request,)))
    for _ in range(2):
        converge(work)
        work.manifest.change(lambda current: replace(current, withdrawn=(request,)))
    stored = store.peek(f"{BUCKET}-audit")
    assert list(stored) == ["case-9/00001.json"]
    record = json.loads(stored["case-9/00001.json"].data)
    assert (record["outcome"], record["claim"]) == ("withdrawn", 9)
    assert record["request"] == {"kind": kind, "claim": 9, "sha256": "0" * 64}
    assert closed == [request, request]
    assert request.marker not in store.peek(manifests)
    # The attempt of a review that was answered goes on, and removes its pictures itself.
    gone = kind == REVIEW and not answered
    assert (store.peek(f"{BUCKET}-staging") == {}) is gone


def test_a_program_that_is_killed_converges_when_it_is_tried_again(work: Work) -> None:
    """At whichever operation, and whatever the other one of two programs has done."""
    for number in range(60):
        store = ModelStore()
        case = replace(work, store=store)
        live = put(store, "live")
        put(store, "left over")
        put(store, "of the attempt")
        mine = claimed(1, "live", "of the attempt")
        request = Request(kind=RELEASE, case_id="case-9", claim=9, sha256="0" * 64, since="")
        before = Manifest(
            claim=1,
            outputs=(live,),
            content="0" * 64,
            claims=(mine,),
            leftovers=((OUT, "left over"),),
            withdrawn=(request,),
        )
        case.manifest.change(lambda _, before=before: before)
        killed = Program(lambda case=case, mine=mine: converge(case, mine), {number: Fault.KILL})
        try:
            interleave(store, [killed])
        except BaseException:
            converge(case, mine)
        manifest, _ = case.manifest.read()
        assert keys(store) == ["live"], number
        assert (manifest.outputs, manifest.claims, manifest.leftovers) == ((live,), (), ())
        assert manifest.withdrawn == ()
        assert len(store.peek(f"{BUCKET}-audit")) == 1
    assert killed.error is None, "it has fewer operations"


def test_converging_gives_up_if_the_manifest_never_stays_the_same(
    store: ModelStore, work: Work
) -> None:
    work.manifest.change(lambda _: Manifest(claim=1, leftovers=((OUT, "a"),)))

    def interfere(operation: Operation) -> None:
        if operation.name == "put":
            store.before = lambda _: None
            work.manifest.change(lambda current: replace(current, claim=current.claim + 1))
            store.before = interfere

    store.before = interfere
    with pytest.raises(TransientError, match="keep changing"):
        converge(work)


def test_the_manifest_of_a_deleted_object_goes_last(store: ModelStore, work: Work) -> None:
    put(store, "a")
    mine, other = claimed(1, "a"), claimed(2, "a")
    work.manifest.change(lambda _: Manifest(claim=2, claims=(mine, other), deleted=True))
    converge(work, mine)
    assert work.manifest.read()[0].deleted
    converge(work, other)
    assert work.manifest.read() == (Manifest(), None)
    assert keys(store) == []
