"""xray.case.forget: nothing that was made of an object is left, and no record names anyone"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import KEYRING, SECRET
from tests.support.model_cases import BUCKET, KEY, World, light_pixels, settings
from tests.support.model_store import Fault, Killed, ModelStore, Program, interleave, stored_json
from xray import audit
from xray.case import Run, Source, Work, manifest, review, steps
from xray.case.forget import NO_TRAIL_ERASED, ORIGINAL_THERE, Deletion, forget_object
from xray.errors import ForbiddenError, TransientError
from xray.settings import Settings

MANIFESTS = f"{BUCKET}-manifests"
ASKED = Deletion(reason="The patient has asked for it.", by="dr. b")


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    yield from light_pixels()


def erasing(world: World, run_id: str = "xray_forget__1") -> Work:
    """The object of a world, in a task of ``xray_forget``."""
    return Work(
        store=world.store,
        source=Source(bucket=BUCKET, key=KEY),
        settings=Settings(),
        keyring=KEYRING,
        run=Run(run_id=run_id, task="forget", try_number=1, triggered_by="dr. b", reran_by=None),
        token=f"{run_id}:forget:6",
        close_form=world._close,
    )


def forget(world: World, deletion: Deletion = ASKED, **options: Any) -> Counter[str]:
    """Delete what was made of the object of a world."""
    return forget_object(erasing(world), deletion, **options)


def delete_original(world: World) -> None:
    world.store.delete(BUCKET, KEY)


def ran(content: str = "pneumonia", **options: Any) -> World:
    """A world in which a case has run as far as it goes without a person."""
    world = World(settings=settings("always", **options))
    world.upload(content)
    world.go_on(world.deliver())
    return world


def trails(world: World) -> dict[str, list[dict[str, Any]]]:
    """The audit records of each case."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, record in stored_json(world.store, f"{BUCKET}-audit").items():
        found.setdefault(name.partition("/")[0], []).append(record)
    return found


def assert_nothing_names_anyone(world: World) -> None:
    """Nothing is left but audit records that hold no object key."""
    for name in ("processed", "anonymized", "quarantine", "staging", "manifests"):
        assert list(world.store.peek(f"{BUCKET}-{name}")) == [], name
    named = [(key, one.data) for key, one in world.store.peek(f"{BUCKET}-audit").items()]
    assert b"Ada" not in b"".join(data for _, data in named)
    assert audit.verify(named, [SECRET]).problems == ()


@pytest.mark.parametrize(
    ("content", "options", "counts"),
    [
        ("pneumonia", {}, {"outputs": 4}),
        ("text", {}, {"outputs": 2, "quarantined": 4}),
        ("unsure", {"review_unsure": True}, {"staged": 3}),
        ("no image", {}, {}),
    ],
)
def test_nothing_is_left_but_a_record_that_names_no_one(
    content: str, options: dict[str, Any], counts: dict[str, int]
) -> None:
    world = ran(content, **options)
    delete_original(world)
    found = forget(world)
    assert +found == Counter(forgotten=1, trails=found["trails"], **counts)
    assert_nothing_names_anyone(world)
    for (record,) in trails(world).values():
        assert record["outcome"] == "deleted"
        assert record["source"]["key"] is None
        assert record["deletion"]["reason"] == ASKED.reason
        assert record["deletion"]["by"] == "dr. b"
    assert all(form.closed for form in world.forms)


def test_the_record_tells_how_many_records_it_replaces() -> None:
    world = ran()
    world.go_on(world.runs[0], world.clear(world.runs[0], "store"))
    assert [len(trail) for trail in trails(world).values()] == [2]
    delete_original(world)
    forget(world)
    ((record,),) = trails(world).values()
    assert (record["number"], record["deletion"]["records"]) == (3, 2)


def test_an_object_whose_original_is_there_is_left_alone() -> None:
    world = ran()
    before = {name: world.store.peek(f"{BUCKET}-{name}") for name in ("processed", "audit")}
    assert forget(world) == Counter({ORIGINAL_THERE: 1})
    for name, objects in before.items():
        assert world.store.peek(f"{BUCKET}-{name}") == objects
    assert not world.manifest.deleted


def test_a_second_deletion_finds_nothing() -> None:
    world = ran()
    delete_original(world)
    forget(world)
    before = world.store.peek(f"{BUCKET}-audit")
    source = dataclasses.replace(world.runs[0].source)
    work = dataclasses.replace(erasing(world, "xray_forget__2"), source=source)
    assert forget_object(work, ASKED) == Counter(unknown=1)
    assert world.store.peek(f"{BUCKET}-audit") == before


def test_the_trails_of_all_contents_and_of_failed_cases_are_erased() -> None:
    world = ran("pneumonia of the first upload")
    for content in ("text of the second", "no image", "normal of the last"):
        world.upload(content)
        world.go_on(world.deliver())
    assert len(trails(world)) == 4
    delete_original(world)
    assert forget(world)["trails"] == 4
    assert_nothing_names_anyone(world)
    assert len(trails(world)) == 4


def test_a_dry_run_counts_and_changes_nothing() -> None:
    world = ran("text")
    delete_original(world)
    changes: list[Any] = []
    world.store.after = changes.append
    counted = forget(world, dataclasses.replace(ASKED, dry_run=True))
    assert changes == []
    world.store.after = lambda _: None
    assert counted == forget(world)


@pytest.mark.parametrize("content", ["pneumonia", "text", "unsure"])
def test_a_deletion_may_be_killed_anywhere_and_run_again(content: str) -> None:
    operation, died = 0, True
    while died:
        world = ran(content, review_unsure=True)
        delete_original(world)
        one = Program(lambda world=world: forget(world), {operation: Fault.KILL})  # type: ignore[misc]
        try:
            interleave(world.store, [one])
        except Killed:
            died = True
        else:
            died = False
        world.store.before = world.store.after = lambda _: None
        forget(world)
        assert_nothing_names_anyone(world)
        assert all(len(trail) == 1 for trail in trails(world).values())
        operation += 1
    assert operation > 20, "the deletion was killed before each of its operations"


@pytest.mark.parametrize("content", ["pneumonia", "text"])
def test_an_attempt_under_way_publishes_nothing(content: str) -> None:
    """The object is deleted and forgotten after any number of operations of the case."""

    def deleted(world: World) -> None:
        delete_original(world)
        forget(world)

    begun, ended = 0, False
    decisions = set()
    while not ended:
        world = World(settings=settings("always"))
        world.upload(content)
        run = world.deliver()
        case = Program(lambda world=world, run=run: world.go_on(run))  # type: ignore[misc]
        deletion = Program(lambda world=world: deleted(world))  # type: ignore[misc]
        interleave(world.store, [case, deletion], [begun + 1, 10**6])
        ended = run.ended and begun > len(case.log)
        world.store.before = world.store.after = lambda _: None
        left = world.store.peek(MANIFESTS)
        if left:  # The case had made no claim yet, so that the deletion did not find it.
            before = case.log[: begun + 1]
            assert run.failed
            assert not any(one.name == "put" and one.bucket == MANIFESTS for one in before)
            assert forget(world)["outputs"] == 0
        assert_nothing_names_anyone(world)
        decisions |= {
            record.get("decision") for trail in trails(world).values() for record in trail
        }
        begun += 1
    assert decisions == {None, "deleted"}, "some attempts find the mark in their last step"


@pytest.mark.parametrize("first", range(1, 60, 3))
def test_both_at_once_in_small_steps(first: int) -> None:
    world = World(settings=settings("always"))
    world.upload("pneumonia")
    run = world.deliver()

    def deletion() -> None:
        delete_original(world)
        forget(world)

    programs = [Program(lambda: world.go_on(run)), Program(deletion)]
    interleave(world.store, programs, [first, *([1, 1] * 150)])
    world.store.before = world.store.after = lambda _: None
    if world.store.peek(MANIFESTS):
        assert world.manifest.claims == ()
        forget(world)
    assert_nothing_names_anyone(world)


def test_the_claim_of_a_run_that_has_ended_ends() -> None:
    world = ran()
    run = world.backfill()
    work = world.work(run, "fetch")
    steps.fetch(work)
    delete_original(world)
    assert forget(world)["under_way"] == 1
    assert world.manifest.deleted
    assert world.store.peek(f"{BUCKET}-audit")
    done = dataclasses.replace(ASKED, under_way=lambda run_id: run_id != run.run_id)
    assert forget(world, done)["under_way"] == 0
    assert_nothing_names_anyone(world)


def test_an_object_that_was_uploaded_again_has_a_life_of_its_own() -> None:
    world = ran("pneumonia")
    delete_original(world)
    forget(world)
    world.upload("pneumonia")
    world.go_on(world.deliver())
    assert len(world.manifest.outputs) == 4
    world.check_outputs()
    assert world.runs[-1].values["store"].decision == "published and anonymised"


def test_a_new_upload_during_the_deletion_stays() -> None:
    """The new upload and its case come after any number of operations of the deletion."""

    def uploaded(world: World) -> None:
        world.upload("text of a new upload")
        world.go_on(world.deliver())

    for begun in range(1, 90):
        world = ran("pneumonia")
        delete_original(world)
        programs = [
            Program(lambda world=world: forget(world)),  # type: ignore[misc]
            Program(lambda world=world: uploaded(world)),  # type: ignore[misc]
        ]
        interleave(world.store, programs, [begun, 10**6])
        world.store.before = world.store.after = lambda _: None
        assert world.manifest.case_id == world.runs[-1].case_id
        assert not world.manifest.deleted
        assert len(world.manifest.outputs) == 6
        world.check_outputs()
        (trail,) = [one for case, one in trails(world).items() if case == world.runs[-1].case_id]
        assert [record["outcome"] for record in trail] == ["succeeded"]


def test_an_answer_that_comes_after_the_deletion_is_refused_without_a_name() -> None:
    world = ran("unsure", review_unsure=True)
    (form,) = world.forms
    delete_original(world)
    forget(world)
    world.answer(form, review.KEEP)
    assert_nothing_names_anyone(world)
    (trail,) = trails(world).values()
    assert [record["outcome"] for record in trail][:2] == ["deleted", "refused"]


def test_a_case_that_is_run_again_after_the_deletion_names_no_one() -> None:
    world = ran()
    delete_original(world)
    forget(world)
    run = world.runs[0]
    world.go_on(run, world.clear(run, "fetch"))
    assert run.failed
    assert_nothing_names_anyone(world)
    (trail,) = trails(world).values()
    assert [record["outcome"] for record in trail] == ["deleted", "failed"]


def test_a_case_of_the_same_content_that_comes_late_names_no_one() -> None:
    world = ran()
    source = dataclasses.replace(world.runs[0].source, sequencer="late")
    delete_original(world)
    forget(world)
    late = world.new_run(source)
    world.go_on(late)
    assert late.failed
    assert_nothing_names_anyone(world)


class Locked(ModelStore):
    """A store that does not allow to delete audit records."""

    locked = True

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        """Delete an object, or refuse to."""
        if self.locked and bucket.endswith("-audit"):
            raise ForbiddenError("The store forbids deleting.")
        super().delete(bucket, key, etag=etag)


def test_records_that_may_not_be_deleted_are_counted_and_the_rest_goes() -> None:
    world = World(store=Locked(), settings=settings("always"))
    world.upload("text")
    world.go_on(world.deliver())
    delete_original(world)
    assert forget(world)[NO_TRAIL_ERASED] == 1
    for name in ("processed", "anonymized", "quarantine", "staging"):
        assert world.store.peek(f"{BUCKET}-{name}") == {}
    named = [(key, one.data) for key, one in world.store.peek(f"{BUCKET}-audit").items()]
    assert audit.verify(named, [SECRET]).problems == ()
    ((first, *_),) = trails(world).values()
    assert first["source"]["key"] == KEY
    world.store.locked = False  # type: ignore[attr-defined]
    assert forget(world)[NO_TRAIL_ERASED] == 0, "the manifest knows what is left to do"
    assert_nothing_names_anyone(world)


def test_objects_of_which_old_versions_are_kept_are_counted() -> None:
    world = World(store=ModelStore(versioned=True), settings=settings("always"))
    world.upload("pneumonia")
    world.go_on(world.deliver())
    delete_original(world)
    assert forget(world)["versions_kept"] == 4 + 1, "the outputs, and an audit trail"


def test_an_object_of_version_0_1_0_has_no_manifest() -> None:
    world = ran("text")
    key = manifest.PREFIX + KEY
    world.store.delete(MANIFESTS, key)
    delete_original(world)
    found = forget(world)
    assert (found["outputs"], found["quarantined"], found["trails"]) == (2, 4, 1)
    assert_nothing_names_anyone(world)


def test_a_case_that_comes_late_names_no_one_where_deletions_are_followed() -> None:
    world = World(settings=settings("always", follow_deletions=True))
    world.upload("pneumonia")
    run = world.deliver()
    delete_original(world)
    assert forget(world) == Counter(unknown=1)
    world.go_on(run)
    assert run.failed
    assert_nothing_names_anyone(world)
    ((record,),) = trails(world).values()
    assert record["outcome"] == "failed"


def test_a_case_of_a_version_that_is_kept_publishes_nothing_where_deletions_are_followed() -> None:
    options = settings("always", follow_deletions=True)
    world = World(store=ModelStore(versioned=True), settings=options)
    world.upload("pneumonia")
    run = world.deliver()
    delete_original(world)
    forget(world)
    world.go_on(run)
    assert run.values["store"].decision == "deleted"
    assert_nothing_names_anyone(world)


def test_a_passing_failure_of_the_audit_bucket_is_no_refusal() -> None:
    class Away(Locked):
        def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
            if self.locked and bucket.endswith("-audit"):
                raise TransientError("The store does not answer.")
            super().delete(bucket, key, etag=etag)

    world = World(store=Away(), settings=settings("always"))
    world.upload("pneumonia")
    world.go_on(world.deliver())
    delete_original(world)
    with pytest.raises(TransientError):
        forget(world)
    world.store.locked = False  # type: ignore[attr-defined]
    forget(world)
    assert_nothing_names_anyone(world)
