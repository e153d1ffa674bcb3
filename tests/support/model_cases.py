"""Cases on the model of the store: images that are short texts, and as much of Airflow as matters.

A :class:`World` has one object. Its cases run the real steps of :mod:`xray.case`; only what
concerns pixels is replaced by :func:`light_pixels`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import pytest

from tests.support import KEYRING, SECRET
from tests.support.model_store import Fault, Killed, ModelStore, Program, interleave, own_program
from xray import audit, image, redaction, risk
from xray.case import (
    Buckets,
    Pinned,
    Run,
    Scored,
    Source,
    Work,
    ending,
    forget,
    manifest,
    pictures,
    publish,
    quarantine,
    review,
    steps,
)
from xray.case.manifest import Manifest, Request
from xray.case.requests import read_marker, remove_marker, waits
from xray.errors import ImageError, StaleError, TransientError, XrayError
from xray.settings import Policy, Settings

BUCKET = "xray-data-in"
KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.png"
RETRIES = 6
TASKS = ("fetch", "classify", "review", "annotate", "anonymize", "store", "release")
"""The tasks of a case and of its forms. A review is the first task of its form's run."""
NOBODY = "nobody"
"""The choice if nobody reviews a case in time."""
AT = "2026-01-01T00:00:00+00:00"
OUTPUTS = ("processed", "anonymized", "quarantine")
_T = TypeVar("_T")

RISKS = {"pneumonia": 0.95, "text": 0.9, "unsure": 0.7, "normal": 0.1}
"""The risk of an image that starts with a word. An image with another word is none."""


# Images


@dataclass(frozen=True)
class Pixels:
    """An image: a text."""

    text: str
    width: int = 64
    height: int = 64


@dataclass(frozen=True)
class Picture:
    """A decoded image, in place of :class:`xray.image.Picture`."""

    pixels: Pixels
    format: image.Format = image.Format.PNG
    depth: int = 8
    unfit: str | None = None

    def eight_bit(self) -> Pixels:
        return self.pixels


@dataclass(frozen=True)
class Redaction:
    """The result of a redaction, in place of :class:`xray.redaction.Redaction`."""

    image: Pixels
    quarantined: bool

    def summary(self) -> dict[str, Any]:
        check = {"engine": "e", "rounds": 1, "read": 0, "regions": 0}
        return {
            **{"engine": "e", "scale": 1.0, "regions": 1, "check": check},
            **{"verified": not self.quarantined, "quarantined": self.quarantined},
        }


class Model:
    """A model whose risk is the image's first word."""

    version = "m"

    def predict(self, pixels: Pixels) -> risk.Prediction:
        return risk.Prediction(RISKS[pixels.text.split()[0]], None, None)


def decode(data: bytes, *, limits: Any = None) -> Picture:
    text = data.decode()
    if text.split()[0] not in (*RISKS, "grey"):
        raise ImageError("The object is not an image.")
    return Picture(Pixels(text))


def certify(data: bytes, summary: Any, *_: Any, masked: int | None = None, **__: Any) -> bytes:
    digest = hashlib.sha256(data).hexdigest()
    return json.dumps({"image": {"sha256": digest}, "masked": masked}).encode()


@dataclass
class Redactor:
    """A redaction that quarantines images that start with ``text``."""

    reads_everything: bool = False
    """Whether it is a better one, which quarantines nothing."""

    def redact(self, pixels: Pixels, **_: Any) -> Redaction:
        left = "text" in pixels.text.split() and not self.reads_everything
        return Redaction(pixels, left)


REDACTOR = Redactor()


def light_pixels() -> Iterator[None]:
    """Replace all that costs time by light stand-ins; a generator for a fixture."""

    def drawn(pixels: Pixels, text: str, *_: Any) -> Pixels:
        return Pixels(f"{pixels.text} | {text}")

    def rendered(picture: Picture, **_: Any) -> Iterator[tuple[pictures.View, bytes]]:
        for view in pictures.View:
            yield view, f"{view} of {picture.pixels.text}".encode()

    with pytest.MonkeyPatch.context() as patch:
        for module, names in {
            image: {
                "decode": decode,
                "encode": lambda picture: picture.pixels.text.encode(),
                "anonymous": lambda one: Picture(Pixels(f"grey {one.pixels.text}")),
                "print_caption": drawn,
                "draw_evidence": lambda pixels, *_: Pixels(f"{pixels.text} | evidence"),
                "Picture": Picture,
            },
            redaction: {
                "redact": lambda *args, **options: REDACTOR.redact(*args, **options),
                "masked": lambda pixels, boxes: Pixels(f"{pixels.text} | {len(boxes)} masked"),
                "certify": certify,
            },
            risk: {"shared_model": Model},
            pictures: {"render": rendered},
            publish: {"render": rendered},
            steps: {"thumbnail": lambda picture: f"small {picture.pixels.text}".encode()},
        }.items():
            for name, stand_in in names.items():
                patch.setattr(module, name, stand_in)
        yield


# Airflow


class FailedRunError(Exception):
    """The run of a case has failed; its failure is on record."""


@dataclass
class Form:
    """A form that a person may answer."""

    source: Source
    request: Request
    pinned: Pinned
    scored: Scored
    cleared: int = 0
    """How often its task was cleared."""
    closed: bool = False


@dataclass
class CaseRun:
    """A run of ``xray_case``, or of a form."""

    source: Source
    run_id: str
    case_id: str | None
    """In the run's conf; None for a manual run."""
    settings: Settings | None = None
    """Of its own."""
    claim: int = 0
    """Of the request, in the run of a form."""
    max_tries: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TASKS, RETRIES))
    values: dict[str, Any] = field(default_factory=dict)
    """The results of its tasks."""
    ended: bool = False
    failed: str | None = None
    """The task that has failed."""
    endings: list[tuple[str, str, str]] = field(default_factory=list)
    """The case id, the token and the outcome of each attempt that has ended."""


new_store: Callable[[], ModelStore] = ModelStore
"""Makes the store of a world."""


@dataclass
class World:
    """One object, its cases and its forms."""

    store: ModelStore = field(default_factory=lambda: new_store())
    settings: Settings = field(default_factory=Settings)
    gives_up: bool = False
    """Whether a task that was killed or that the store has failed is not tried again."""
    runs: list[CaseRun] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)
    announced: list[Source] = field(default_factory=list)
    """Notifications that have not been delivered."""
    uploads: int = 0
    deletions: int = 0

    # The store and its notifications

    def upload(self, content: str) -> Source:
        """Upload an image, and return the source of its case, whose notification is to come."""
        self.uploads += 1
        while True:
            try:
                etag = self.store.put(BUCKET, KEY, content.encode(), content_type="image/png")
            except (Killed, TransientError):
                self._restart()
            else:
                break
        version = self.store.peek(BUCKET)[KEY].version_id
        source = Source(
            bucket=BUCKET,
            key=KEY,
            etag=etag,
            version_id=version,
            sequencer=f"{self.uploads:016X}",
            event_time=f"2026-01-01T00:00:{self.uploads:02}Z",
            origin="aws",
        )
        self.announced.append(source)
        return source

    def new_run(self, source: Source, settings: Settings | None = None) -> CaseRun:
        """Return a run for a source, as a notification or a backfill starts it."""
        case_id = source.case_id(KEYRING)
        run = CaseRun(source, f"xray__{case_id}", case_id, settings)
        self.runs.append(run)
        return run

    def deliver(self) -> CaseRun:
        """Return a run for the oldest notification."""
        return self.new_run(self.announced.pop(0))

    def backfill(self) -> CaseRun:
        """Return a run for the present object, as a backfill with *rerun* starts it."""
        present = self.store.peek(BUCKET)[KEY]
        source = Source(
            bucket=BUCKET,
            key=KEY,
            etag=present.etag,
            version_id=present.version_id,
            event_time=present.modified.isoformat(),
            sequencer=f"backfill {len(self.runs)}",
            origin="backfill",
        )
        return self.new_run(source)

    def by_hand(self) -> CaseRun:
        """Return a run that a person has started, who has typed the key."""
        run = CaseRun(Source(bucket=BUCKET, key=KEY), f"manual__{len(self.runs)}", None)
        self.runs.append(run)
        return run

    def forget(self) -> None:
        """Delete the original, and then what was made of it. Nothing happens to the program."""
        if program := own_program():
            program.faults = {}
        self._surely(lambda: self.store.delete(BUCKET, KEY))
        self.deletions += 1
        name = f"forget__{self.deletions}"
        run = Run(run_id=name, task="forget", try_number=1, triggered_by=None, reran_by=None)
        work = Work(
            store=self.store,
            source=Source(bucket=BUCKET, key=KEY),
            settings=self.settings,
            keyring=KEYRING,
            run=run,
            token=f"{name}:forget:6",
            close_form=self._close,
        )
        deletion = forget.Deletion(reason="Asked for.", by="dr")
        self._surely(lambda: forget.forget_object(work, deletion))

    # Tasks

    def work(self, run: CaseRun, task: str) -> Work:
        """Return the case as a task sees it."""
        pinned: Pinned | None = run.values.get("fetch")
        settings = run.settings or self.settings
        return Work(
            store=self.store,
            source=run.source,
            settings=Settings.from_mapping(pinned.settings) if pinned else settings,
            keyring=KEYRING,
            run=Run(run_id=run.run_id, task=task, try_number=1, triggered_by=None, reran_by=None),
            token=f"{run.run_id}:{task}:{run.max_tries[task]}",
            carried_id=pinned.case_id if pinned else run.case_id,
            claim=run.claim or (pinned.claim if pinned else 0),
            close_form=self._close,
        )

    def attempt(self, run: CaseRun, task: str, step: Callable[[Work], _T]) -> _T:
        """Do a task's step: try again after a passing failure, and record a failure for good."""
        work = self.work(run, task)
        failure: BaseException | None
        while True:
            try:
                return step(work)
            except (Killed, TransientError) as error:
                self._restart()
                failure = None if isinstance(error, Killed) else error
                if self.gives_up or work.run.try_number > 2:
                    break
            except XrayError as error:
                failure = error
                break
            work = replace(work, run=replace(work.run, try_number=work.run.try_number + 1))
        self._fail(run, work, failure)
        raise FailedRunError from failure

    def _fail(self, run: CaseRun, work: Work, error: BaseException | None) -> None:
        """Record the failure of a task, as the task and then the run's callback do it."""
        run.failed = work.run.task
        if work.run.task == "release":
            # Its case has ended before.
            self._surely(lambda: ending.end_claim(work))
            return
        pinned = run.values.get("fetch")
        for failure in (error, None):
            if not isinstance(failure, StaleError):
                self._surely(partial(ending.abandon, work, failure, pinned))
        token = f"{work.run.run_id}:{work.run.task}:try {work.run.try_number}"
        run.endings.append((work.case_id, token, audit.FAILED))

    def _surely(self, body: Callable[[], Any]) -> None:
        """Do something again until it is done."""
        while True:
            try:
                body()
            except (Killed, TransientError):
                self._restart()
            else:
                return

    def _restart(self) -> None:
        if program := own_program():
            program.restart()

    def _close(self, request: Request) -> None:
        for form in self.forms:
            if form.request.marker == request.marker:
                form.closed = True

    # Runs

    def go_on(self, run: CaseRun, first: str = "fetch") -> None:
        """Run the tasks of a case from one of them on, to its end or until it waits."""
        with suppress(FailedRunError):
            self._tasks(run, TASKS.index(first))
        run.ended = True

    def _tasks(self, run: CaseRun, first: int) -> None:
        values = run.values

        def task(name: str, step: Callable[[Work], Any]) -> None:
            if TASKS.index(name) >= first:
                values[name] = self.attempt(run, name, step)

        task("fetch", steps.fetch)
        task("classify", lambda work: steps.classify(work, values["fetch"]))
        pinned, scored = values["fetch"], values["classify"]
        chosen = Settings.from_mapping(pinned.settings)
        lacks_review = values.get("review") is None and chosen.wants_review(scored.label)
        if lacks_review and first <= TASKS.index("annotate"):
            asks = "classify" if first <= TASKS.index("classify") else "annotate"
            if self._wait_for_review(run, asks, pinned, scored):
                return
        scored = values.get("review") or scored
        task("annotate", lambda work: steps.annotate(work, pinned, scored))
        values["anonymize"] = None
        if chosen.wants_anonymized(scored.label):
            first = min(first, TASKS.index("anonymize"))
            task("anonymize", lambda work: steps.anonymize(work, pinned, scored))
        task(
            "store",
            lambda work: publish.store(
                work, pinned, scored, values["annotate"], values["anonymize"]
            ),
        )
        run.endings.append((pinned.case_id, self.work(run, "store").token, audit.SUCCEEDED))
        if values["store"].decision == "quarantined":
            claimed = replace(pinned, claim=values["store"].claim)
            self._ask(run, claimed, scored)

    def _wait_for_review(self, run: CaseRun, task: str, pinned: Pinned, scored: Scored) -> bool:
        """Ask for a review in a task; return whether the case waits."""

        def ask(work: Work) -> Request | None:
            with suppress(StaleError):
                return review.ask_for_review(work, pinned, scored)
            return None

        request = self.attempt(run, task, ask)
        if request:
            self.forms.append(Form(run.source, request, pinned, scored))
        return request is not None

    def _ask(self, run: CaseRun, pinned: Pinned, scored: Scored) -> None:
        """Ask for a decision on a quarantined image, if the case still waits with it."""
        work = replace(self.work(run, "store"), claim=pinned.claim)

        def ask() -> None:
            with suppress(StaleError):
                request = quarantine.open_request(work, pinned, scored)
                self.forms.append(Form(run.source, request, pinned, scored))

        self._surely(ask)

    def clear(self, run: CaseRun, first: str) -> str:
        """Clear a run's tasks from one of them on, and return that one."""
        done = [name for name in TASKS if run.values.get(name) is not None]
        earlier = [name for name in ("fetch", "classify", "annotate") if name not in done]
        if run.failed:
            earlier.append(run.failed)
        first = min([first, *earlier], key=TASKS.index)
        for name in TASKS[TASKS.index(first) :]:
            run.max_tries[name] += RETRIES + 1
            run.values.pop(name, None)
        run.ended, run.failed = False, None
        return first

    # Forms

    def answer(self, form: Form, choice: str) -> None:
        """Answer a form: its run carries the answer out, and goes on with a reviewed case."""
        self.forms.remove(form)
        request = form.request
        run = CaseRun(
            form.source,
            f"xray__{request.case_id}__{request.claim}",
            request.case_id,
            claim=request.claim,
            values={"fetch": form.pinned, "classify": form.scored},
        )
        run.max_tries = dict.fromkeys(TASKS, RETRIES + form.cleared * (RETRIES + 1))
        self.runs.append(run)
        with suppress(FailedRunError):
            if request.kind == manifest.REVIEW:
                self._review(run, form, choice)
            else:
                self._release(run, form, choice)

    def _review(self, run: CaseRun, form: Form, choice: str) -> None:
        nobody = choice == NOBODY

        def decide(work: Work) -> Scored:
            return review.record_review(
                work,
                form.scored,
                form.request,
                choice=review.KEEP if nobody else choice,
                by=None if nobody else "dr",
                at=AT,
            )

        run.values["review"] = self.attempt(run, "review", decide)
        outcome = audit.EXPIRED if nobody else audit.REVIEWED
        run.endings.append((form.pinned.case_id, self.work(run, "review").token, outcome))
        self._tasks(run, TASKS.index("annotate"))

    def _release(self, run: CaseRun, form: Form, choice: str) -> None:
        boxes = [(1, 1, 9, 9)] if choice == quarantine.MASK else []

        def decide(work: Work) -> Any:
            return quarantine.release(
                work,
                form.pinned,
                form.scored,
                form.request,
                choice=choice,
                boxes=boxes,
                by="dr",
                at=AT,
            )

        self.attempt(run, "release", decide)
        run.endings.append((form.pinned.case_id, self.work(run, "release").token, audit.RELEASED))

    # Schedules

    def together(
        self,
        bodies: Sequence[Callable[[], None]],
        turns: Sequence[int] = (),
        faults: Sequence[Mapping[int, Fault]] = (),
    ) -> list[Program]:
        """Do several things at the same time."""
        programs = [
            Program(body, faults[number] if number < len(faults) else {})
            for number, body in enumerate(bodies)
        ]
        interleave(self.store, programs, turns)
        return programs

    def finish(self) -> None:
        """End all that is under way: deliver the notifications, and let the reviews expire."""
        while self.announced:
            self.go_on(self.deliver())
        for form in list(self.forms):
            if form.request.kind == manifest.REVIEW and not form.closed:
                self.answer(form, NOBODY)
        self.remove_stale_markers()

    def remove_stale_markers(self) -> None:
        """Remove the markers that are out of date, as ``xray_reconcile`` does."""
        buckets = Buckets(BUCKET)
        for entry in list(self.store.list(buckets.manifests, manifest.WAITING_PREFIX)):
            waiting = read_marker(self.store, buckets, entry.key)
            if not waits(self.store, buckets, waiting):
                remove_marker(self.store, buckets, waiting.request)

    # What must hold

    @property
    def manifest(self) -> Manifest:
        """The manifest of the object."""
        stored = self.store.peek(f"{BUCKET}-manifests").get(manifest.PREFIX + KEY)
        return Manifest.from_json(json.loads(stored.data)) if stored else Manifest()

    def check(self) -> None:
        """Check what must hold once no attempt is under way."""
        self.check_outputs()
        current = self.manifest
        assert current.claims == (), "each attempt has ended"
        assert current.leftovers == ()
        assert current.withdrawn == (), "each withdrawal is on record"
        present = self.store.peek(BUCKET).get(KEY)
        if present and current.outputs:
            assert current.content == present.sha256, "nothing of a superseded upload is visible"
        assert self.store.peek(f"{BUCKET}-staging") == {}
        markers = [
            key
            for key in self.store.peek(f"{BUCKET}-manifests")
            if key.startswith(manifest.WAITING_PREFIX)
        ]
        assert markers == ([current.waiting.marker] if current.waiting else [])
        self.check_trail()

    def check_outputs(self) -> None:
        """Check that what is visible is what the manifest says, and that it is certified."""
        found = {
            (f"{BUCKET}-{name}", key): (one.sha256, one.etag)
            for name in (*OUTPUTS, "manifests")
            for key, one in self.store.peek(f"{BUCKET}-{name}").items()
            if name != "manifests" or key.startswith(pictures.THUMBNAILS)
        }
        current = self.manifest
        live = {output.place: (output.sha256, output.etag) for output in current.outputs}
        under_way = set(current.leftovers)
        under_way = under_way.union(*(claim.place_set() for claim in current.claims))
        for place in found.keys() - live.keys():
            assert place in under_way, f"{place} is there, and not in the manifest"
        for place, content in live.items():
            assert found.get(place) == content, f"{place} is not what the manifest says"
        published = self.store.peek(f"{BUCKET}-anonymized")
        for key, one in published.items():
            if not key.endswith(".json") and (f"{BUCKET}-anonymized", key) in live:
                certificate = json.loads(published[f"{key}.json"].data)
                assert certificate["image"]["sha256"] == one.sha256

    def check_trail(self) -> None:
        """Check the audit trail, and that each ending has one record."""
        stored = self.store.peek(f"{BUCKET}-audit")
        named = [(key, one.data) for key, one in stored.items()]
        assert audit.verify(named, [SECRET]).problems == ()
        records = [json.loads(data) for _, data in named]
        endings = {(one["case_id"], one["token"], one["outcome"]) for one in records}
        assert len(endings) == len(records), "one record for each ending"
        erased = {one["case_id"] for one in records if one["outcome"] == audit.DELETED}
        for run in self.runs:
            for ended in run.endings:
                assert ended in endings or ended[0] in erased, f"{ended} is not on record"


POLICIES = {policy.value: policy for policy in Policy}


def settings(policy: str = "pneumonia", **others: Any) -> Settings:
    """Return settings with a policy."""
    return dataclasses.replace(Settings(), anonymize=POLICIES[policy], **others)
