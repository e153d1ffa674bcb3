"""What should come of each file, and whether it did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from xray.case import Buckets, Decision, Source
from xray.errors import ImageError
from xray.image import Limits, decode
from xray.risk import RiskModel
from xray.settings import Label, Settings
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
SAME_RISK = 1e-4
"""Largest difference between the pipeline's risk and one scored here."""
ENDED = ("success", "failed")


@dataclass(frozen=True, slots=True)
class Expected:
    """A file, and what should come of it."""

    path: Path
    key: str
    label: Label | None
    risk: float | None
    error: str | None
    """The sentence that it should fail with, if it is no image."""


@dataclass(slots=True)
class Case:
    """A file on its way."""

    expected: Expected
    uploaded: float
    """Seconds since the epoch."""
    state: str = "uploaded"
    step: str = ""
    case_id: str = ""
    finished: float | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    """Of the audit trail, oldest first."""

    @property
    def key(self) -> str:
        """The object key."""
        return self.expected.key

    @property
    def ended(self) -> bool:
        """Whether its run is over."""
        return self.state in ENDED

    @property
    def _last(self) -> dict[str, Any]:
        return self.records[-1] if self.records else {}

    @property
    def label(self) -> str | None:
        """As the audit record tells it."""
        return self._last.get("scored", {}).get("label")

    @property
    def risk(self) -> float | None:
        """0 to 1."""
        return self._last.get("scored", {}).get("risk")

    @property
    def decision(self) -> str | None:
        """What was published."""
        return self._last.get("decision")

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self._last.get("error")

    @property
    def seconds(self) -> float | None:
        """From the upload to the end of its run."""
        return None if self.finished is None else round(self.finished - self.uploaded, 2)

    def take(self, run: dict[str, Any], step: str, prefix: str) -> None:
        """Note what Airflow says of its run."""
        self.state, self.step = run["state"], step
        self.case_id = run["dag_run_id"].removeprefix(prefix)
        if self.ended:
            self.finished = datetime.fromisoformat(run["end_date"]).timestamp()

    def output(self, bucket: str) -> dict[str, Any] | None:
        """The object that it published in ``bucket``."""
        outputs = self._last.get("outputs", ())
        return next((output for output in outputs if output["bucket"] == bucket), None)

    def caption(self) -> str:
        """For the contact sheet."""
        if self.risk is None:
            return self.error or self.state
        return f"{self.label}, risk {self.risk:.2%}: {self.decision}"

    def report(self) -> dict[str, Any]:
        """Its line of the report."""
        return {
            "file": str(self.expected.path.name),
            "key": self.key,
            "case_id": self.case_id,
            "state": self.state,
            "label": self.label,
            "risk": self.risk,
            "decision": self.decision,
            "outputs": list(self._last.get("outputs", ())),
            "attempts": self._last.get("attempt", 0),
            "seconds": self.seconds,
            "error": self.error,
        }


LABELS = "expected.json"


def files(directory: Path) -> list[Path]:
    """What is to be uploaded of ``directory``: all but the file that says the labels."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(path for path in found if path != directory / LABELS)


def expectations(directory: Path, settings: Settings) -> list[Expected]:
    """What should come of each file of ``directory``, scored here without the pipeline.

    A file ``expected.json`` in it may say the labels; it is held against the scores.
    """
    known = directory / LABELS
    labels = json.loads(known.read_text()) if known.is_file() else {}
    model = RiskModel.load()
    found = []
    for path in files(directory):
        key = str(path.relative_to(directory))
        try:
            limits = Limits(settings.max_bytes, settings.max_pixels, settings.max_frames)
            reading = model.read(decode(path.read_bytes(), limits=limits).eight_bit())
        except ImageError as error:
            found.append(Expected(path, key, None, None, str(error)))
            continue
        label = Label.UNSURE if reading.refused else settings.label(reading.risk)
        if key in labels:
            label = Label(labels[key]["label"])
        found.append(Expected(path, key, label, reading.risk, None))
    return found


def judge(case: Case, store: ObjectStore, settings: Settings) -> list[str]:
    """What is wrong with a case; nothing, if it came out right."""
    expected = case.expected
    if expected.error is not None:
        right = case.state == "failed" and case.error == expected.error
        return [] if right else [f"{case.state}: {case.error}; expected: {expected.error}"]
    if case.state != "success" or case.risk is None or expected.risk is None:
        return [f"{case.state} in {case.step or 'no step'}: {case.error}"]
    wrong = []
    if case.label != expected.label:
        wrong.append(f"labelled {case.label}, not {expected.label}")
    if abs(case.risk - expected.risk) > SAME_RISK:
        wrong.append(f"risk {case.risk}, not {expected.risk}")
    wrong += _processed(case, store)
    return wrong + _anonymized(case, store, settings)


def _anonymized(case: Case, store: ObjectStore, settings: Settings) -> list[str]:
    """What is wrong with the anonymised image, or with its being quarantined."""
    buckets = Buckets(BUCKET)
    quarantined = case.decision == Decision.QUARANTINED
    output = case.output(buckets.quarantine if quarantined else buckets.anonymized)
    if quarantined and case.output(buckets.anonymized):
        return ["quarantined, and published all the same"]
    if (output is not None) != settings.wants_anonymized(Label(str(case.label))):
        return ["anonymised" if output else "not anonymised"]
    if output and not _holds(store, output):
        return ["the anonymised image is not the recorded one"]
    return []


def _processed(case: Case, store: ObjectStore) -> list[str]:
    """What is wrong with the annotated image."""
    output = case.output(Buckets(BUCKET).processed)
    wanted = Source(bucket=BUCKET, key=case.key).processed_key()
    if output is None or output["key"] != wanted:
        return ["the annotated image is not where it belongs"]
    return [] if _holds(store, output) else ["the annotated image is not the recorded one"]


def _holds(store: ObjectStore, output: dict[str, Any]) -> bool:
    return store.read(output["bucket"], output["key"]).sha256 == output["sha256"]


def leftovers(cases: Sequence[Case], store: ObjectStore) -> list[str]:
    """Objects that no case should have left, by bucket; keys of patients are not told."""
    buckets = Buckets(BUCKET)
    wrong = []
    for bucket in (buckets.processed, buckets.anonymized, buckets.quarantine, buckets.staging):
        there = {entry.key for entry in store.list(bucket)}
        meant = {output["key"] for case in cases if (output := case.output(bucket))}
        if there - meant:
            wrong.append(f"{bucket} holds {len(there - meant)} objects that no case published")
    return wrong
