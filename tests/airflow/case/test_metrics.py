"""xray.airflow.case.metrics: what is counted at the end of a case, once, and without a name"""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.context import set_current_context
from PIL import Image

from tests.support import KEYRING, ROOT
from tests.support.cases import carried, run_steps, upload
from tests.support.fake_api import FakeApi
from xray.airflow.case import metrics, tasks
from xray.airflow.case import params as case_params
from xray.airflow.stats import process_stats
from xray.case import Decision, Outcome, Pinned, Scored, Source, hand_over
from xray.errors import (
    ImageError,
    ImageFault,
    ObjectError,
    SettingsError,
    StaleError,
    TransientError,
)
from xray.image import Limits, decode
from xray.image.dicom import view
from xray.settings import Settings
from xray.storage import ObjectStore

NOW = datetime.now(UTC)
SOURCE = Source(
    bucket="xray-data-in",
    key="demo_Ada Ashgrove_1234.png",
    etag="e",
    origin="ceph",
    event_time=(NOW - timedelta(hours=1)).isoformat(),
)
PINNED = Pinned(
    case_id=SOURCE.case_id(KEYRING),
    version_id=None,
    etag="e",
    sha256="0" * 64,
    size=1,
    modified=(NOW - timedelta(hours=2)).isoformat(),
    format="PNG",
    width=640,
    height=480,
    settings=Settings().to_mapping(),
)
SCORED = Scored(risk=0.93, label="Pneumonia", model="xray-resnet-1e68806b")
REDACTION = {"regions": 3, "quarantined": False}


class Sent:
    """What was sent, in place of a server."""

    def __init__(self) -> None:
        self.counts: list[tuple[str, int, dict[str, str]]] = []
        self.times: list[tuple[str, float, dict[str, str]]] = []

    def incr(self, name: str, number: int, *, tags: dict[str, str]) -> None:
        self.counts.append((name.removeprefix(metrics.PREFIX), number, tags))

    def timing(self, name: str, passed: timedelta, *, tags: dict[str, str]) -> None:
        self.times.append((name.removeprefix(metrics.PREFIX), passed.total_seconds(), tags))

    def of(self, name: str) -> list[tuple[int, dict[str, str]]]:
        return [(number, tags) for counted, number, tags in self.counts if counted == name]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(metrics, "process_stats", lambda: sent)
    return sent


def outcome(decision: Decision, attempt: int = 1) -> Outcome:
    return Outcome(
        case_id=PINNED.case_id, label=SCORED.label, risk=0.93, decision=decision, attempt=attempt
    )


def ti(task_id: str = "fetch", try_number: int = 1) -> Any:
    """A task instance with XComs of its own."""
    kept: dict[tuple[str, str], Any] = {}
    return SimpleNamespace(
        dag_id="xray_case",
        run_id="xray__1",
        task_id=task_id,
        try_number=try_number,
        max_tries=6,
        xcom_push=lambda *, key, value: kept.__setitem__((task_id, key), value),
        xcom_pull=lambda *, task_ids, key="return_value": kept.get((task_ids, key)),
    )


def test_a_published_case_is_counted(sent: Sent) -> None:
    metrics.finished(SOURCE, PINNED, SCORED, outcome(Decision.ANONYMIZED), REDACTION)
    ended = {
        "label": "Pneumonia",
        "decision": "anonymized",
        "model": SCORED.model,
        "origin": "ceph",
    }
    assert sent.counts == [
        ("finished", 1, ended),
        ("risk", 1, {"bin": "0.9", "model": SCORED.model}),
        ("regions", 3, {}),
        ("anonymized", 1, {}),
    ]
    ((name, seconds, tags),) = sent.times
    assert (name, tags) == ("to_result", {"waited_for": "nobody"})
    assert 3600 <= seconds < 4800, "from the time of the notification"


@pytest.mark.parametrize(
    ("decision", "redaction", "counted"),
    [
        (Decision.PUBLISHED, None, ["finished", "risk"]),
        (Decision.QUARANTINED, REDACTION, ["finished", "risk", "regions", "quarantined"]),
        (Decision.ANONYMIZED, {"regions": 0}, ["finished", "risk", "anonymized"]),
        (Decision.SUPERSEDED, REDACTION, ["finished"]),
        (Decision.DELETED, None, ["finished"]),
    ],
)
def test_each_decision_counts_what_was_done(
    sent: Sent, decision: Decision, redaction: dict[str, Any] | None, counted: list[str]
) -> None:
    metrics.finished(SOURCE, PINNED, SCORED, outcome(decision), redaction)
    assert [name for name, *_ in sent.counts] == counted
    assert sent.counts[0][2]["decision"] == decision.name.lower()
    assert bool(sent.times) is ("risk" in counted)


def test_a_risk_that_means_nothing_is_no_part_of_the_distribution(sent: Sent) -> None:
    refused = dataclasses.replace(SCORED, label="Unsure", refused="upside down")
    metrics.finished(SOURCE, PINNED, refused, outcome(Decision.PUBLISHED), None)
    assert sent.of("risk") == []
    assert sent.of("refused") == [(1, {"source": "gate", "reason": "upside_down"})]


@pytest.mark.parametrize(
    ("shadow", "counted", "risks"),
    [
        (
            {"model": "new-2", "risk": 0.91, "label": "Pneumonia", "refused": None},
            {"result": "same_label", "model": "new-2"},
            [(1, {"bin": "0.9", "model": "new-2"})],
        ),
        (
            {"model": "new-2", "risk": 0.1, "label": "Unsure", "refused": "inverted"},
            {"result": "other_label", "model": "new-2"},
            [],
        ),
        ({"problem": "model.json is missing."}, {"result": "failed", "model": "other"}, []),
    ],
)
@pytest.mark.parametrize("is_reviewed", [False, True])
def test_what_the_shadow_model_said_is_counted(
    sent: Sent, shadow: dict[str, Any], counted: dict[str, str], risks: Any, is_reviewed: bool
) -> None:
    scored = dataclasses.replace(SCORED, shadow=shadow)
    if is_reviewed:
        review = {"label_before": SCORED.label, "choice": "Normal", "by": "ada", "at": "now"}
        scored = dataclasses.replace(scored, label="Normal", review=review)
    metrics.finished(SOURCE, PINNED, scored, outcome(Decision.PUBLISHED), None)
    assert sent.of("shadow") == [(1, counted)]
    assert sent.of("shadow_risk") == risks
    assert sent.of("risk") == [(1, {"bin": "0.9", "model": SCORED.model})]


@pytest.mark.parametrize(
    ("changes", "attempt"),
    [
        ({"origin": "backfill"}, 1),
        ({"origin": "manual"}, 1),
        ({}, 2),
        ({"event_time": None, "modified": "yesterday"}, 1),
    ],
)
def test_old_images_and_reruns_are_not_timed(
    sent: Sent, changes: dict[str, Any], attempt: int
) -> None:
    pinned = dataclasses.replace(PINNED, modified=changes.pop("modified", PINNED.modified))
    source = dataclasses.replace(SOURCE, **changes)
    metrics.finished(source, pinned, SCORED, outcome(Decision.PUBLISHED, attempt), None)
    assert sent.times == []
    assert sent.of("finished")


def test_an_upload_is_timed_from_the_stores_time_if_the_event_has_none(sent: Sent) -> None:
    source = dataclasses.replace(SOURCE, event_time=None, origin="reconcile")
    reviewed = dataclasses.replace(SCORED, review={"by": "ben"})
    metrics.finished(source, PINNED, reviewed, outcome(Decision.PUBLISHED), None)
    ((_, seconds, tags),) = sent.times
    assert 7200 <= seconds < 8400
    assert tags == {"waited_for": "review"}


def test_a_clock_that_is_ahead_gives_no_negative_time(sent: Sent) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    source = dataclasses.replace(SOURCE, event_time=ahead)
    metrics.finished(source, PINNED, SCORED, outcome(Decision.PUBLISHED), None)
    assert [seconds for _, seconds, _ in sent.times] == [0.0]


def test_a_release_is_counted(sent: Sent) -> None:
    metrics.decided(SOURCE, PINNED, SCORED, Decision.ANONYMIZED, masked=2)
    assert [(name, number) for name, number, _ in sent.counts] == [
        ("finished", 1),
        ("regions", 2),
        ("anonymized", 1),
    ]
    assert sent.counts[0][2]["decision"] == "released"
    assert [tags for *_, tags in sent.times] == [{"waited_for": "release"}]


def test_an_image_that_is_kept_in_quarantine_is_counted(sent: Sent) -> None:
    metrics.decided(SOURCE, PINNED, SCORED, Decision.QUARANTINED, masked=0)
    ((name, _, tags),) = sent.counts
    assert (name, tags["decision"]) == ("finished", "kept")
    assert sent.times == []


@pytest.mark.parametrize(
    ("error", "task_id", "refused"),
    [
        (ImageError("small", fault=ImageFault.TOO_SMALL), "fetch", ("reader", "too_small")),
        (ImageError("damaged"), "annotate", ("reader", "damaged")),
        (ObjectError("gone"), "fetch", ("store", "object")),
        (ObjectError("gone"), "store", None),
        (SettingsError("wrong"), "fetch", None),
        (TransientError("down"), "fetch", None),
        (ZeroDivisionError(), "classify", None),
    ],
)
def test_a_failure_is_counted_once(
    sent: Sent, error: Exception, task_id: str, refused: tuple[str, str] | None
) -> None:
    failed = ti(task_id)
    metrics.failed(failed, error)
    metrics.failed(failed, None)  # The failure callback of the DAG.
    assert sent.of("failed") == [(1, {"task_id": task_id, "error": type(error).__name__})]
    expected = [(1, {"source": refused[0], "reason": refused[1]})] if refused else []
    assert sent.of("refused") == expected


def test_a_worker_that_died_is_counted_by_the_callback(sent: Sent) -> None:
    failed = ti("classify")
    metrics.failed(failed, None)
    assert sent.of("failed") == [(1, {"task_id": "classify", "error": "WorkerDied"})]


def test_the_failure_of_an_earlier_try_does_not_hide_a_later_one(sent: Sent) -> None:
    failed = ti("classify")
    metrics.failed(failed, ImageError("damaged"))
    failed.try_number = 2  # The task was cleared, and its worker died.
    metrics.failed(failed, None)
    assert [tags["error"] for _, tags in sent.of("failed")] == ["ImageError", "WorkerDied"]


def test_an_answer_that_came_too_late_is_no_failure_of_a_case(sent: Sent) -> None:
    late = ti("review")
    metrics.failed(late, StaleError("late"))
    metrics.failed(late, None)
    assert sent.counts == []


def test_a_metric_that_cannot_be_sent_fails_no_case(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise OSError("no route to Ada Ashgrove")

    monkeypatch.setattr(metrics, "process_stats", broken)
    with caplog.at_level(logging.WARNING):
        metrics.finished(SOURCE, PINNED, SCORED, outcome(Decision.PUBLISHED), None)
        metrics.decided(SOURCE, PINNED, SCORED, Decision.ANONYMIZED, masked=0)
        metrics.failed(SimpleNamespace(), None)
    assert len(caplog.records) == 3
    assert "Ada" not in caplog.text


@pytest.mark.parametrize(
    ("risk", "name"), [(0.0, "0.0"), (0.0999, "0.0"), (0.1, "0.1"), (0.9, "0.9"), (1.0, "0.9")]
)
def test_bins_have_the_names_of_their_lower_bounds(risk: float, name: str) -> None:
    assert metrics.risk_bin(risk) == name


def test_what_a_person_may_type_becomes_no_tag(sent: Sent) -> None:
    source = dataclasses.replace(SOURCE, origin="Ada Ashgrove")
    typed = dataclasses.replace(SCORED, label="Ada", model="Ada Ashgrove", refused="Ada")
    metrics.finished(source, PINNED, typed, outcome(Decision.PUBLISHED), None)
    assert "Ada" not in str(sent.counts)
    assert {sent.counts[0][2][tag] for tag in ("label", "model", "origin")} == {"other"}


def test_the_lists_of_tags_are_complete() -> None:
    card = json.loads((ROOT / "include" / "model" / "model.json").read_text())
    assert {check["reason"] for check in card["gate"]} == set(metrics.GATE_REASONS)
    assert {view.SIDE_VIEW, view.OTHER_PART} == set(metrics.HEADER_REASONS)
    code = (ROOT / "plugins" / "xray" / "notification" / "dialects.py").read_text()
    dialects = re.search(r'dialect: str\n\s+"""(.*)"""', code)
    assert dialects
    jobs = {"reconcile", "backfill", "manual"}
    assert {*re.findall(r"\w+", dialects[1])} - {"or"} | jobs == set(metrics.ORIGINS)


def png(chest: Image.Image, as_bytes: Callable[..., bytes]) -> bytes:
    return as_bytes(chest, "PNG")


@pytest.mark.parametrize(
    ("data", "limits", "fault"),
    [
        (b"", Limits(), ImageFault.EMPTY),
        (b"no image", Limits(), ImageFault.NOT_AN_IMAGE),
        (png, Limits(max_bytes=100), ImageFault.TOO_LARGE),
        (png, Limits(max_pixels=100), ImageFault.TOO_LARGE),
        (png, Limits(min_side=1000), ImageFault.TOO_SMALL),
        (lambda *image: png(*image)[:2000], Limits(), ImageFault.DAMAGED),
    ],
)
def test_the_reader_says_what_is_wrong_with_an_image(
    chest: Image.Image, as_bytes: Callable[..., bytes], data: Any, limits: Limits, fault: ImageFault
) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data(chest, as_bytes) if callable(data) else data, limits=limits)
    assert caught.value.fault is fault
    assert pickle.loads(pickle.dumps(caught.value)).fault is fault


def test_a_task_sends_with_its_own_client_of_metrics() -> None:
    from airflow.observability.stats import Stats as CoreStats
    from airflow.sdk.observability.stats import Stats as TaskStats

    assert CoreStats is not TaskStats
    assert process_stats() is CoreStats
    with set_current_context({}):  # type: ignore[typeddict-item]
        assert process_stats() is TaskStats


def test_the_task_store_counts_a_case(
    connected: Any,
    store: ObjectStore,
    api: FakeApi,
    demo_images: list[Path],
    sent: Sent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sick = next(path for path in demo_images if "Bruno" in path.name)
    work = upload(connected, store, sick.read_bytes())
    work = dataclasses.replace(
        work, source=dataclasses.replace(work.source, origin="ceph", event_time=NOW.isoformat())
    )
    pinned, scored, annotated, anonymized = run_steps(work)
    assert anonymized
    assert anonymized.redaction
    work = carried(work, pinned)
    params = {**work.source.to_conf(KEYRING, work.case_id), "pinned": pinned.to_json()}
    task, dag_run = SimpleNamespace(outlets=[]), SimpleNamespace()
    context = {"ti": ti("store"), "task": task, "params": params, "dag_run": dag_run}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    results = [hand_over(work, one) for one in (annotated, anonymized)]
    tasks.store.function(pinned.to_json(), hand_over(work, scored), *results)
    assert [tags["decision"] for _, tags in sent.of("finished")] == ["anonymized"]
    assert sum(number for number, _ in sent.of("regions")) == anonymized.redaction["regions"]
    assert [tags["bin"] for _, tags in sent.of("risk")] == ["0.9"]
    assert len(sent.times) == 1


def test_a_step_that_fails_counts_its_case(
    connected: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task counts the failure, and the callback of the DAG does not count it again."""
    params = {name: param.value for name, param in case_params.CASE_PARAMS.items()}
    params |= SOURCE.to_conf(KEYRING)
    context = {"ti": ti(), "params": params, "dag_run": SimpleNamespace()}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)

    @tasks.records_failure()
    def step() -> None:
        raise ImageError("It is no image.", fault=ImageFault.NOT_AN_IMAGE)

    with pytest.raises(ImageError):
        step()
    tasks.record_failed_case(context)
    assert sent.of("failed") == [(1, {"task_id": "fetch", "error": "ImageError"})]
    assert sent.of("refused") == [(1, {"source": "reader", "reason": "not_an_image"})]
