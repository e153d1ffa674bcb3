"""Cases, reruns and forms of the same object that meet: each of these once disagreed"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.model_cases import (
    BUCKET,
    KEY,
    REDACTOR,
    Form,
    World,
    light_pixels,
    settings,
)
from tests.support.model_store import Fault, ModelStore
from xray.case import quarantine
from xray.errors import ForbiddenError

PROCESSED = KEY.replace(".png", "-processed.png")
light = pytest.fixture(autouse=True, scope="module")(light_pixels)


@pytest.fixture
def world() -> World:
    REDACTOR.reads_everything = False
    return World()


def run(world: World, content: str) -> None:
    """Upload an image, and run its case."""
    world.upload(content)
    world.go_on(world.deliver())


def rerun(world: World, first: str = "fetch") -> None:
    """Clear the first run from a task on, and run it again."""
    case = world.runs[0]
    world.go_on(case, world.clear(case, first))


def images(world: World, name: str) -> dict[str, str]:
    """The images of an output bucket, without their certificates and pictures."""
    found = world.store.peek(f"{BUCKET}-{name}")
    return {
        key: one.data.decode()
        for key, one in found.items()
        if not key.endswith((".json", "preview.jpeg", "full.png", "stretched.png"))
    }


def outcomes(world: World) -> list[str]:
    """The outcomes on record, in the order of the trails."""
    stored = world.store.peek(f"{BUCKET}-audit").values()
    return [json.loads(one.data)["outcome"] for one in stored]


def end(world: World) -> None:
    """End all that is under way, and check everything."""
    world.finish()
    world.check()


def test_a_case_that_is_quarantined_twice_has_one_form_that_counts(world: World) -> None:
    run(world, "text 1")
    rerun(world)
    old, new = world.forms
    assert old.closed
    world.answer(old, quarantine.RELEASE_AS_IT_IS)
    assert images(world, "anonymized") == {}
    world.answer(new, quarantine.WITHHOLD)
    assert images(world, "anonymized") == {}
    assert outcomes(world) == ["succeeded", "succeeded", "withdrawn", "refused", "released"]
    end(world)


def test_each_of_two_manual_runs_leaves_a_record(world: World) -> None:
    world.upload("pneumonia 1")
    world.announced.clear()
    for _ in range(2):
        world.go_on(world.by_hand())
    assert outcomes(world) == ["succeeded", "succeeded"]
    assert len(world.store.peek(f"{BUCKET}-audit")) == 2
    end(world)


@pytest.mark.parametrize("versioned", [False, True])
def test_manual_runs_of_different_contents_are_different_cases(versioned: bool) -> None:
    REDACTOR.reads_everything = False
    world = World(store=ModelStore(versioned=versioned))
    for content in ("text 1", "text 2"):
        world.upload(content)
        world.announced.clear()
        world.go_on(world.by_hand())
    first, second = (case.values["fetch"].case_id for case in world.runs)
    assert first != second
    assert sorted(outcomes(world)) == ["succeeded", "succeeded", "withdrawn"]
    assert [key.split("/")[0] for key in images(world, "quarantine")] == [second]
    end(world)


@pytest.mark.parametrize("choice", [quarantine.RELEASE_AS_IT_IS, quarantine.MASK])
def test_after_a_rerun_that_publishes_no_copy_the_old_form_publishes_none(
    world: World, choice: str
) -> None:
    run(world, "text 1")
    world.settings = settings("never")
    rerun(world)
    (form,) = world.forms
    world.answer(form, choice)
    assert images(world, "anonymized") == images(world, "quarantine") == {}
    assert outcomes(world)[-1] == "refused"
    end(world)


def test_after_a_rerun_that_publishes_a_clean_copy_the_old_form_leaves_it(world: World) -> None:
    run(world, "text 1")
    REDACTOR.reads_everything = True
    rerun(world)
    clean = images(world, "anonymized")
    assert len(clean) == 1
    world.answer(world.forms[0], quarantine.RELEASE_AS_IT_IS)
    assert images(world, "anonymized") == clean
    assert outcomes(world)[-1] == "refused"
    end(world)


def test_a_quarantined_image_that_was_changed_is_not_released(world: World) -> None:
    run(world, "text 1")
    (key,) = images(world, "quarantine")
    world.store.put(f"{BUCKET}-quarantine", key, b"grey text 2", content_type="image/png")
    world.answer(world.forms[0], quarantine.RELEASE_AS_IT_IS)
    assert images(world, "anonymized") == {}
    assert outcomes(world)[-1] == "refused"


@pytest.mark.parametrize("first", ["fetch", "classify"])
def test_a_rerun_that_needs_no_copy_removes_the_copy(world: World, first: str) -> None:
    run(world, "pneumonia 1")
    assert len(images(world, "anonymized")) == 1
    world.settings = settings("never")
    rerun(world, first)
    # Clearing a later task keeps the settings that *fetch* has pinned.
    assert len(images(world, "anonymized")) == (first != "fetch")
    end(world)


@pytest.mark.parametrize("content", ["pneumonia 1", "text 1"])
def test_a_backfill_with_another_patient_pattern_leaves_one_pseudonym(
    world: World, content: str
) -> None:
    run(world, content)
    for form in list(world.forms):
        world.answer(form, quarantine.RELEASE_AS_IT_IS)
    (before,) = images(world, "anonymized")
    world.settings = settings("always", patient_pattern="Ada (?P<patient>[A-Za-z]+)")
    REDACTOR.reads_everything = True
    world.go_on(world.backfill())
    (after,) = images(world, "anonymized")
    assert after.split("/")[0] != before.split("/")[0]
    end(world)


def test_a_corrected_upload_leaves_one_copy_of_each_kind(world: World) -> None:
    world.settings = settings("always", evidence=True)
    run(world, "pneumonia 1")
    run(world, "pneumonia 2")
    assert len(images(world, "anonymized")) == 1
    assert all("pneumonia 2" in text for text in images(world, "anonymized").values())
    assert list(images(world, "processed")) == [PROCESSED]
    end(world)


def test_a_corrected_upload_that_is_no_image_withdraws_what_was_published(world: World) -> None:
    run(world, "text 1")
    run(world, "no image")
    assert images(world, "processed") == images(world, "quarantine") == {}
    assert world.forms[0].closed
    end(world)


@pytest.mark.parametrize("fault", Fault)
def test_a_case_that_fails_in_fetch_withdraws_what_its_upload_supersedes(fault: Fault) -> None:
    """Whether or not it has claimed the object: it could not say so if the answer was lost."""
    for number in range(5):
        world = World(gives_up=True)
        run(world, "text 1")
        world.upload("pneumonia 2")
        case = world.deliver()
        world.together([lambda world=world, case=case: world.go_on(case)], [], [{number: fault}])
        if case.failed == "fetch":
            assert images(world, "processed") == images(world, "quarantine") == {}
            assert world.forms[0].closed
        end(world)


def test_the_newer_of_two_uploads_wins_whoever_ends_last(world: World) -> None:
    """Also within a second: no clock orders them."""
    older, newer = world.upload("pneumonia 1"), world.upload("pneumonia 2")
    older = replace(older, event_time=newer.event_time)
    world.announced.clear()
    world.go_on(world.new_run(newer))
    world.go_on(world.new_run(older))
    assert "pneumonia 2" in images(world, "processed")[PROCESSED]
    assert "superseded" not in outcomes(world)
    end(world)


def newer_and_older(world: World) -> list[Any]:
    """Two cases: of an upload, and of the next one that arrives while the first is at work."""
    world.upload("pneumonia 1")
    case = world.deliver()

    def second() -> None:
        run(world, "pneumonia 2")

    return [lambda: world.go_on(case), second]


def test_a_newer_case_that_ends_between_two_writes_of_an_older_one_wins(world: World) -> None:
    (program, _) = world.together(newer_and_older(world))
    for begun in range(1, len(program.log)):
        other = World()
        other.together(newer_and_older(other), [begun])
        assert "pneumonia 2" in images(other, "processed")[PROCESSED], begun
        assert len(images(other, "anonymized")) == 1, begun
        end(other)


class _RefusingStore(ModelStore):
    """A store that forbids to write annotated images, if it is told to."""

    refuses = False

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> str:
        if self.refuses and bucket.endswith("-processed"):
            raise ForbiddenError("The store forbids it.")
        return super().put(bucket, key, data, **options)


def test_a_backfill_that_fails_leaves_what_a_live_case_has_published(world: World) -> None:
    store = _RefusingStore()
    world = World(store=store)
    run(world, "pneumonia 1")
    before = [images(world, name) for name in ("processed", "anonymized")]
    world.settings = settings("always", normal_below=0.99, pneumonia_above=0.99)
    store.refuses = True
    world.go_on(world.backfill())
    assert world.runs[-1].failed == "store"
    assert [images(world, name) for name in ("processed", "anonymized")] == before
    end(world)


@pytest.mark.parametrize("kept", ["the case", "the backfill"])
def test_a_backfill_that_fails_beside_a_live_case(world: World, kept: str) -> None:
    """The copy that the live case publishes meanwhile stays, at whatever time it does so."""

    def both(world: World) -> list[Any]:
        world.upload("pneumonia 1")
        case, backfill = world.deliver(), world.backfill()
        backfill.settings = settings("always", max_bytes=3)  # Its fetch fails.
        bodies = [lambda: world.go_on(case), lambda: world.go_on(backfill)]
        return bodies if kept == "the case" else bodies[::-1]

    program, *_ = world.together(both(world))
    for begun in range(1, len(program.log)):
        other = World()
        other.together(both(other), [begun])
        assert len(images(other, "anonymized")) == 1, begun
        assert len(images(other, "processed")) == 1, begun
        end(other)


def test_a_withdrawn_review_leaves_no_claim_and_no_picture(world: World) -> None:
    world.settings = settings(review_unsure=True)
    run(world, "unsure 1")
    assert [one.number for one in world.manifest.claims] == [1], "it waits"
    run(world, "normal 2")
    (form,) = world.forms
    assert form.closed
    assert world.manifest.claims == ()
    assert world.store.peek(f"{BUCKET}-staging") == {}
    world.answer(form, "Pneumonia")
    assert images(world, "anonymized") == {}
    assert sorted(outcomes(world)) == ["failed", "refused", "succeeded", "withdrawn"]
    end(world)


def test_a_form_is_asked_again_after_a_decision(world: World) -> None:
    run(world, "text 1")
    (form,) = world.forms
    world.answer(form, quarantine.WITHHOLD)
    work = replace(world.work(world.runs[0], "store"), claim=form.request.claim)
    request = quarantine.open_request(work, form.pinned, form.scored)
    again = Form(form.source, request, form.pinned, form.scored, cleared=1)
    world.forms.append(again)
    world.answer(again, quarantine.MASK)
    ((_, text),) = images(world, "anonymized").items()
    assert "1 masked" in text
    assert outcomes(world) == ["succeeded", "released", "released"]
    end(world)
