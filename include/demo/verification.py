"""What each image should become, and the check that it did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from xray.case import Buckets, Decision, Source
from xray.case.manifest import PREFIX, ManifestFile
from xray.errors import ImageError
from xray.image import Limits, decode
from xray.risk import RiskModel
from xray.settings import Label, Settings
from xray.storage import ObjectStore
from xray.suffixes import CERTIFICATE_KEY

BUCKET = "xray-data-in"
"""The input bucket of the demo and of the local stack."""
RISK_TOLERANCE = 1e-4
"""Largest difference between the pipeline's risk and the one computed here."""
END_STATES = ("success", "failed")
LABELS_FILE = "expected.json"
"""The file in a folder of images that may give their labels."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An image file and the expected result of its case."""

    path: Path
    key: str
    label: Label | None
    risk: float | None
    error: str | None
    """The error message of the case, for a file that is not a valid image."""


@dataclass(slots=True)
class Case:
    """An uploaded file, the state of its run and its audit records."""

    expected: Expected
    uploaded: float
    """Seconds since the epoch."""
    state: str = "uploaded"
    step: str = ""
    case_id: str = ""
    finished: float | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    """The audit records, oldest first."""

    @property
    def key(self) -> str:
        """The object key."""
        return self.expected.key

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state in END_STATES

    @property
    def _last_record(self) -> dict[str, Any]:
        return self.records[-1] if self.records else {}

    @property
    def label(self) -> str | None:
        """The label in the audit record."""
        return self._last_record.get("scored", {}).get("label")

    @property
    def risk(self) -> float | None:
        """The risk in the audit record, 0 to 1."""
        return self._last_record.get("scored", {}).get("risk")

    @property
    def decision(self) -> str | None:
        """The decision on what is published."""
        return self._last_record.get("decision")

    @property
    def error(self) -> str | None:
        """The reason of a failure."""
        return self._last_record.get("error")

    @property
    def seconds(self) -> float | None:
        """Seconds from the upload to the end of the run."""
        return None if self.finished is None else round(self.finished - self.uploaded, 2)

    def update(self, run: dict[str, Any], step: str, prefix: str) -> None:
        """Take over the state of the run from Airflow.

        Args:
            run: the DAG run, as the REST API returns it.
            step: the id of the running task, or nothing.
            prefix: the prefix of the run ids of cases.
        """
        self.state, self.step = run["state"], step
        self.case_id = run["dag_run_id"].removeprefix(prefix)
        if self.ended:
            self.finished = datetime.fromisoformat(run["end_date"]).timestamp()

    def output(self, bucket: str) -> dict[str, Any] | None:
        """Return the image that the case published in ``bucket``."""
        return next(iter(self.outputs(bucket)), None)

    def outputs(self, bucket: str) -> list[dict[str, Any]]:
        """Return the objects that the case published in ``bucket``, the image first."""
        outputs = self._last_record.get("outputs", ())
        return [output for output in outputs if output["bucket"] == bucket]

    @property
    def format(self) -> str | None:
        """The format of the image."""
        return self._last_record.get("pinned", {}).get("format")

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The DICOM instances that were sent to the PACS."""
        return list(self._last_record.get("sent", ()))

    def caption(self) -> str:
        """Return the caption for the contact sheet."""
        if self.risk is None:
            return self.error or self.state
        return f"{self.label}, risk {self.risk:.2%}: {self.decision}"

    def report(self) -> dict[str, Any]:
        """Return the entry of the case in the report."""
        return {
            "file": str(self.expected.path.name),
            "key": self.key,
            "case_id": self.case_id,
            "state": self.state,
            "label": self.label,
            "risk": self.risk,
            "decision": self.decision,
            "outputs": list(self._last_record.get("outputs", ())),
            "attempts": self._last_record.get("attempt", 0),
            "seconds": self.seconds,
            "error": self.error,
        }


def files_to_upload(directory: Path) -> list[Path]:
    """Return all files of ``directory`` except :data:`LABELS_FILE`, sorted."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sorted(path for path in files if path != directory / LABELS_FILE)


def expected_results(directory: Path, settings: Settings) -> list[Expected]:
    """Return the expected result of each file of ``directory``, scored without the pipeline.

    If the folder has the file ``expected.json``, its labels override those of the scores.
    """
    labels_file = directory / LABELS_FILE
    labels = json.loads(labels_file.read_text()) if labels_file.is_file() else {}
    model = RiskModel.load()
    limits = Limits.from_settings(settings)
    results = []
    for path in files_to_upload(directory):
        key = str(path.relative_to(directory))
        try:
            picture = decode(path.read_bytes(), limits=limits)
        except ImageError as error:
            results.append(Expected(path, key, None, None, str(error)))
            continue
        prediction = model.predict(picture.eight_bit())
        is_refused = picture.unfit or prediction.refused
        label = Label.UNSURE if is_refused else settings.label(prediction.risk)
        if key in labels:
            label = Label(labels[key]["label"])
        results.append(Expected(path, key, label, prediction.risk, None))
    return results


def verify_case(case: Case, store: ObjectStore, settings: Settings) -> list[str]:
    """Return the differences between a case and its expected result; none if it is right."""
    expected = case.expected
    if expected.error is not None:
        right = case.state == "failed" and case.error == expected.error
        return [] if right else [f"{case.state}: {case.error}; expected: {expected.error}"]
    if case.state != "success" or case.risk is None or expected.risk is None:
        return [f"{case.state} in {case.step or 'no step'}: {case.error}"]
    problems = []
    if case.label != expected.label:
        problems.append(f"labelled {case.label}, not {expected.label}")
    if abs(case.risk - expected.risk) > RISK_TOLERANCE:
        problems.append(f"risk {case.risk}, not {expected.risk}")
    problems += _verify_annotated(case, store)
    return problems + _verify_anonymized(case, store, settings)


def _verify_anonymized(case: Case, store: ObjectStore, settings: Settings) -> list[str]:
    """Return what is wrong with the anonymised image, or with its quarantine."""
    buckets = Buckets(BUCKET)
    quarantined = case.decision == Decision.QUARANTINED
    outputs = case.outputs(buckets.quarantine if quarantined else buckets.anonymized)
    if quarantined and case.output(buckets.anonymized):
        return ["both quarantined and published"]
    if bool(outputs) != settings.wants_anonymized(Label(str(case.label))):
        return ["anonymised" if outputs else "not anonymised"]
    if outputs and not quarantined and not _has_certificate(outputs):
        return ["the anonymised image has no certificate"]
    if not all(_is_recorded(store, output) for output in outputs):
        return ["the anonymised image is not the recorded one"]
    return []


def _has_certificate(outputs: Sequence[dict[str, Any]]) -> bool:
    """Return whether the objects are exactly an image and its certificate."""
    key = outputs[0]["key"]
    return [output["key"] for output in outputs] == [key, key + CERTIFICATE_KEY]


def _verify_annotated(case: Case, store: ObjectStore) -> list[str]:
    """Return what is wrong with the annotated image."""
    output = case.output(Buckets(BUCKET).processed)
    key = Source(bucket=BUCKET, key=case.key).processed_key()
    if output is None or output["key"] != key:
        return ["there is no annotated image under the expected key"]
    return [] if _is_recorded(store, output) else ["the annotated image is not the recorded one"]


def _is_recorded(store: ObjectStore, output: dict[str, Any]) -> bool:
    """Return whether an object still has the content that the audit record describes."""
    return store.get(output["bucket"], output["key"]).sha256 == output["sha256"]


def unexpected_objects(cases: Sequence[Case], store: ObjectStore) -> list[str]:
    """Return the number of objects that no case published, for each bucket that has any.

    The keys are left out: they name patients.
    """
    buckets = Buckets(BUCKET)
    problems = []
    for bucket in (buckets.processed, buckets.anonymized, buckets.quarantine, buckets.staging):
        present = {entry.key for entry in store.list(bucket)}
        published = {output["key"] for case in cases for output in case.outputs(bucket)}
        if extra := present - published:
            problems.append(f"{bucket} holds {len(extra)} objects that no case published")
    manifests = [entry.key for entry in store.list(buckets.manifests, PREFIX)]
    if wrong := sum(not _is_at_rest(store, name.removeprefix(PREFIX)) for name in manifests):
        problems.append(f"{wrong} manifests do not say what is there")
    return problems


def _is_at_rest(store: ObjectStore, key: str) -> bool:
    """Return whether no attempt of an object is under way, and all its live outputs are there."""
    manifest, _ = ManifestFile(store, Buckets(BUCKET).manifests, key).read()
    heads = [(output, store.head(output.bucket, output.key)) for output in manifest.outputs]
    return not (manifest.claims or manifest.leftovers or manifest.withdrawn) and all(
        head is not None and head.etag == output.etag for output, head in heads
    )
