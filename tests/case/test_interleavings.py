"""Cases, reruns, forms and deletions of one object that meet, and programs that are killed.

:class:`ObjectMachine` does random things to one object at random times, on a model of the store.
The number of its sequences is that of a quick run; ``XRAY_INTERLEAVINGS=5000`` does as many.
The tests after it try each switch between two programs, and each kill, of pairs that matter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.model_cases import (
    BUCKET,
    NOBODY,
    REDACTOR,
    CaseRun,
    World,
    light_pixels,
    settings,
)
from tests.support.model_store import Fault, ModelStore
from xray.case import quarantine
from xray.case.manifest import REVIEW
from xray.settings import PATIENT_PATTERN, Settings

EXAMPLES = int(os.environ.get("XRAY_INTERLEAVINGS", "0"))
Body = Callable[[], None]


@pytest.fixture(autouse=True, scope="module")
def _light_pixels() -> Iterator[None]:
    yield from light_pixels()


@dataclass(frozen=True)
class Action:
    """Something that a person or the pipeline does to the object."""

    kind: str
    number: int
    """Which of the runs or forms that there are."""
    detail: str


CONTENTS = ("pneumonia 1", "pneumonia 2", "text 1", "text 2", "normal 1", "unsure 1", "bad")
CHOICES = {
    REVIEW: ("Normal", "Pneumonia", NOBODY),
    "release": quarantine.RELEASE_CHOICES,
}
ACTIONS = st.one_of(
    st.builds(Action, st.just("upload"), st.just(0), st.sampled_from(CONTENTS)),
    st.builds(Action, st.sampled_from(["deliver", "backfill", "by hand"]), st.just(0), st.just("")),
    st.builds(Action, st.just("rerun"), st.integers(0, 5), st.sampled_from(["fetch", "store"])),
    st.builds(Action, st.just("answer"), st.integers(0, 5), st.sampled_from("012")),
    st.builds(Action, st.just("delete"), st.just(0), st.just("")),
)
FAULTS = st.dictionaries(st.integers(0, 70), st.sampled_from(Fault), max_size=2)
TURNS = st.lists(st.integers(1, 40), max_size=8)
SETTINGS = st.builds(
    settings,
    st.sampled_from(["never", "pneumonia", "always"]),
    patient_pattern=st.sampled_from([PATIENT_PATTERN, "Ada (?P<patient>[a-z]+)"]),
    evidence=st.booleans(),
    review_unsure=st.booleans(),
)


class ObjectMachine(RuleBasedStateMachine):
    """One object, and all that may happen to it."""

    @initialize(versioned=st.booleans(), content=st.sampled_from(CONTENTS))
    def begin(self, versioned: bool, content: str) -> None:
        """The object is uploaded."""
        self.world = World(store=ModelStore(versioned=versioned))
        self.broken = False
        REDACTOR.reads_everything = False
        self.world.upload(content)

    @rule(chosen=SETTINGS)
    def change_settings(self, chosen: Settings) -> None:
        """The settings of the deployment change."""
        self.world.settings = chosen

    @rule(better=st.booleans())
    def change_redactor(self, better: bool) -> None:
        """A version that redacts better, or worse, is installed."""
        REDACTOR.reads_everything = better

    @rule(
        actions=st.lists(ACTIONS, min_size=1, max_size=3),
        turns=TURNS,
        faults=st.lists(FAULTS, min_size=3, max_size=3),
        gives_up=st.booleans(),
    )
    def happen(
        self,
        actions: list[Action],
        turns: list[int],
        faults: list[dict[int, Fault]],
        gives_up: bool,
    ) -> None:
        """Several things happen at the same time."""
        used: list[object] = []
        bodies = [body for one in actions if (body := self._body(one, used))]
        self.world.gives_up = gives_up
        self._try(lambda: self.world.together(bodies, turns, faults))

    @invariant()
    def visible_is_what_the_manifest_says(self) -> None:
        """After all that was under way has ended, or waits."""
        if hasattr(self, "world") and not self.broken:
            self._try(self.world.check_outputs)

    def teardown(self) -> None:
        """End what waits, and check everything."""
        if hasattr(self, "world") and not self.broken:
            note(f"runs: {[run.run_id for run in self.world.runs]}")
            self.world.finish()
            self.world.check()

    def _try(self, body: Callable[[], object]) -> None:
        self.broken = True
        body()
        self.broken = False

    def _body(self, action: Action, used: list[object]) -> Body | None:
        """Return what the action does; None if there is nothing to do it to."""
        world = self.world
        match action.kind:
            case "upload":
                return lambda: void(world.upload(action.detail))
            case "deliver" if world.announced:
                return _running(world, world.deliver())
            case "backfill" if world.store.peek(BUCKET):
                return _running(world, world.backfill())
            case "by hand":
                return _running(world, world.by_hand())
            case "rerun":
                runs = [run for run in world.runs if run.ended and run not in used]
                if runs:
                    run = runs[action.number % len(runs)]
                    used.append(run)
                    return lambda: world.go_on(run, world.clear(run, action.detail))
            case "answer":
                forms = [form for form in world.forms if form not in used]
                if forms:
                    form = forms[action.number % len(forms)]
                    used.append(form)
                    choice = CHOICES[form.request.kind][int(action.detail)]
                    return lambda: world.answer(form, choice)
            case "delete" if "delete" not in used:
                used.append("delete")  # Two deletions of an object take their turns.
                return world.forget
        return None


def void(_: object) -> None:
    """Return nothing."""


def _running(world: World, run: CaseRun) -> Body:
    return lambda: world.go_on(run)


TestObject = ObjectMachine.TestCase
TestObject.settings = hypothesis_settings(
    max_examples=EXAMPLES or 100,
    stateful_step_count=8,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
    database=None,
)


# Pairs of programs


def done(world: World, content: str) -> CaseRun:
    """A case that has ended."""
    world.upload(content)
    run = world.deliver()
    world.go_on(run)
    return run


def upload_and_run(world: World, content: str) -> Body:
    """An upload, and its case."""
    return lambda: void(done(world, content))


def two_uploads(world: World) -> list[Body]:
    world.upload("pneumonia 1")
    return [_running(world, world.deliver()), upload_and_run(world, "text 2")]


def an_upload_and_a_backfill(world: World) -> list[Body]:
    world.upload("text 1")
    return [_running(world, world.deliver()), _running(world, world.backfill())]


def two_backfills_with_different_patterns(world: World) -> list[Body]:
    done(world, "pneumonia 1")
    one, two = world.backfill(), world.backfill()
    two.settings = settings("always", patient_pattern="Ada (?P<patient>[A-Za-z]+)")
    return [_running(world, one), _running(world, two)]


def a_release_and_a_rerun(world: World) -> list[Body]:
    run = done(world, "text 1")
    (form,) = world.forms
    return [
        lambda: world.answer(form, quarantine.MASK),
        lambda: world.go_on(run, world.clear(run, "fetch")),
    ]


def a_release_and_a_rerun_of_store_that_needs_none(world: World) -> list[Body]:
    run = done(world, "text 1")
    (form,) = world.forms
    REDACTOR.reads_everything = True
    return [
        lambda: world.answer(form, quarantine.RELEASE_AS_IT_IS),
        lambda: world.go_on(run, world.clear(run, "anonymize")),
    ]


def a_release_and_an_upload(world: World) -> list[Body]:
    done(world, "text 1")
    (form,) = world.forms
    return [
        lambda: world.answer(form, quarantine.RELEASE_AS_IT_IS),
        upload_and_run(world, "normal 2"),
    ]


def a_review_and_an_upload(world: World) -> list[Body]:
    world.settings = settings(review_unsure=True)
    done(world, "unsure 1")
    (form,) = world.forms
    return [lambda: world.answer(form, "Pneumonia"), upload_and_run(world, "normal 2")]


def an_image_and_no_image(world: World) -> list[Body]:
    world.upload("pneumonia 1")
    return [_running(world, world.deliver()), upload_and_run(world, "bad")]


def an_upload_and_its_first_content_again(world: World) -> list[Body]:
    done(world, "pneumonia 1")
    world.upload("pneumonia 2")
    return [_running(world, world.deliver()), upload_and_run(world, "pneumonia 1")]


def a_case_and_a_deletion(world: World) -> list[Body]:
    done(world, "text 1")
    return [_running(world, world.backfill()), world.forget]


PAIRS: list[Callable[[World], list[Body]]] = [
    two_uploads,
    an_upload_and_a_backfill,
    two_backfills_with_different_patterns,
    a_release_and_a_rerun,
    a_release_and_a_rerun_of_store_that_needs_none,
    a_release_and_an_upload,
    a_review_and_an_upload,
    an_image_and_no_image,
    an_upload_and_its_first_content_again,
    a_case_and_a_deletion,
]
EVERY = 1 if EXAMPLES else 2
"""Every which operation is tried."""


def run_pair(
    pair: Callable[[World], list[Body]],
    *,
    first: int,
    turns: list[int],
    faults: dict[int, Fault] | None = None,
    gives_up: bool = False,
) -> list[int]:
    """Run two programs and check everything; return how many operations each of them has begun.

    Args:
        pair: the programs.
        first: the one that has the first turn, and to which the faults happen.
        turns, faults: see :meth:`World.together`.
        gives_up: see :class:`World`.
    """
    REDACTOR.reads_everything = False
    world = World()
    bodies = pair(world)
    world.gives_up = gives_up
    order = [bodies[first], bodies[1 - first]]
    programs = world.together(order, turns, [faults or {}])
    world.finish()
    world.check()
    return [len(program.log) for program in programs]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("pair", PAIRS)
def test_one_program_runs_between_two_operations_of_the_other(
    pair: Callable[[World], list[Body]], first: int
) -> None:
    operations, _ = run_pair(pair, first=first, turns=[])
    for begun in range(1, operations, EVERY):
        run_pair(pair, first=first, turns=[begun])


@pytest.mark.parametrize("gives_up", [False, True])
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_program_fails_at_an_operation_and_the_other_one_runs(
    pair: Callable[[World], list[Body]], fault: Fault, gives_up: bool
) -> None:
    """It is tried again, or its failure is for good; the other one runs before that, or after."""
    for first in (0, 1):
        operations, _ = run_pair(pair, first=first, turns=[])
        for number in range(first, operations, 2 * EVERY):
            turns = [number + 1] if number % (4 * EVERY) < 2 * EVERY else []
            run_pair(pair, first=first, turns=turns, faults={number: fault}, gives_up=gives_up)
