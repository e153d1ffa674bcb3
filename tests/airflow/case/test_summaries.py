"""xray.airflow.case.summaries: one line for each task, with nothing that leads to a person"""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import DownstreamTasksSkipped

from tests.support import KEYRING
from tests.support.cases import KEY, case, upload
from xray.airflow.case import params as case_params
from xray.airflow.case import summaries, tasks
from xray.case import Decision, Outcome, Scored, Source, Staged, steps
from xray.settings import Policy, Settings
from xray.storage import ObjectStore

SICK = Scored(risk=0.98765, label="Pneumonia", model="xray-1.2")
STAGED = Staged(name="n", sha256="0" * 64, size=311_900, content_type="image/png", suffix=".png")
NAMES = ("Ada", "Ashgrove", "1957", "2016", "demo_", "jpeg", "PNEUMONIA/")


def redacted(regions: int, *, quarantined: bool = False) -> Staged:
    """An anonymised image from which so many regions were removed."""
    return dataclasses.replace(STAGED, redaction={"regions": regions, "quarantined": quarantined})


def outcome(decision: Decision) -> Outcome:
    return Outcome(case_id="c", label="Normal", risk=0.1, decision=decision, attempt=2)


def test_a_risk_is_rounded(store: ObjectStore) -> None:
    work = case(store, Source(bucket="xray-data-in", key=KEY, etag="e"))
    line = summaries.classified(work, SICK, waits=False)
    assert line == "Classified: Pneumonia, 99 %, model xray-1.2."
    refused = dataclasses.replace(SICK, label="Unsure", refused="upside down")
    line = summaries.classified(work, refused, waits=True)
    assert line == (
        "Classified: Unsure, refused as upside down, model xray-1.2. "
        "The case waits for a review, and its run ends here."
    )


@pytest.mark.parametrize(
    ("staged", "line"),
    [
        (redacted(0), "no regions of text removed, the check found no text."),
        (redacted(1), "1 region of text removed, the check found no text."),
        (redacted(4), "4 regions of text removed, the check found no text."),
        (redacted(37), "10 or more regions of text removed, the check found no text."),
        (
            redacted(4, quarantined=True),
            "4 regions of text removed, but text may be left: the image is quarantined.",
        ),
    ],
)
def test_many_regions_are_not_counted_exactly(staged: Staged, line: str) -> None:
    assert summaries.anonymized(staged) == f"Anonymised: {line}"


def test_the_end_of_a_case_is_said() -> None:
    assert summaries.stored(outcome(Decision.PUBLISHED)) == "Stored: published, attempt 2."
    line = summaries.stored(outcome(Decision.SUPERSEDED))
    assert line == "Stored nothing: superseded, attempt 2."


def test_a_persons_decision_is_said_without_the_person() -> None:
    by_ben = dataclasses.replace(SICK, review={"by": "ben", "choice": "Pneumonia"})
    assert summaries.reviewed(by_ben) == "Reviewed: Pneumonia, chosen by a person."
    late = dataclasses.replace(SICK, label="Unsure", review={"by": None})
    assert summaries.reviewed(late) == "Reviewed: Unsure, nobody has answered in time."
    line = summaries.decided(Decision.ANONYMIZED, 2)
    assert line == "Decided: published and anonymised, 2 boxes masked."
    line = summaries.decided(Decision.QUARANTINED, 0)
    assert line == "Decided: quarantined, no boxes masked."


def test_each_task_of_a_case_logs_one_line(
    connected: Any,
    store: ObjectStore,
    demo_images: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The lines of a whole case, with an anonymised copy."""
    work = upload(connected, store, demo_images[0].read_bytes())
    monkeypatch.setenv(
        "AIRFLOW_VAR_XRAY_SETTINGS", f'{{"anonymize": "{Policy.ALWAYS}", "pneumonia_above": 0.8}}'
    )
    results: dict[str, Any] = {}
    ti = SimpleNamespace(
        run_id=f"xray__{work.case_id}",
        dag_id="xray_case",
        try_number=1,
        max_tries=6,
        xcom_pull=lambda *, task_ids, key=None: results.get(task_ids),
        xcom_push=lambda *, key, value: None,
    )
    params = {name: param.value for name, param in case_params.CASE_PARAMS.items()}
    params |= work.source.to_conf(KEYRING, work.case_id)
    task, dag_run = SimpleNamespace(outlets=[]), SimpleNamespace()
    context = {"ti": ti, "task": task, "params": params, "dag_run": dag_run}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    lines = {}
    for name, arguments in (
        ("fetch", ()),
        ("classify", ("fetch",)),
        ("annotate", ("fetch", "classify")),
        ("anonymize", ("fetch", "classify")),
        ("store", ("fetch", "classify", "annotate", "anonymize")),
    ):
        caplog.clear()
        ti.task_id = name
        with caplog.at_level(logging.INFO, "xray"):
            step = getattr(tasks, name).function
            results[name] = step(*(results[argument] for argument in arguments))
        said = [r for r in caplog.records if r.name.startswith("xray.")]
        (lines[name],) = [record.getMessage() for record in said if record.levelname == "INFO"]
    expected = {
        "fetch": r"Fetched a JPEG of \d+ x \d+ pixels, \d+ kB\.",
        "classify": r"Classified: (Normal|Unsure|Pneumonia), \d+ %, model [\w.-]+\.",
        "annotate": r"Annotated with the label (Normal|Unsure|Pneumonia), \d+ kB\.",
        "anonymize": r"Anonymised: .+ of text removed, the check found no text\.",
        "store": r"Stored: published and anonymised, attempt 1\.",
    }
    for name, pattern in expected.items():
        assert re.fullmatch(pattern, lines[name]), lines[name]
    text = " ".join(lines.values())
    sha256 = results["fetch"]["sha256"]
    assert not [part for part in (*NAMES, sha256[:8], work.case_id) if part in text]


def test_a_case_that_waits_says_so(
    connected: Any,
    store: ObjectStore,
    demo_images: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(review_unsure=True, normal_below=0.0, pneumonia_above=1.0)
    work = upload(connected, store, demo_images[0].read_bytes())
    pinned = steps.fetch(dataclasses.replace(work, settings=settings))
    ti = SimpleNamespace(
        run_id="xray__1",
        dag_id="xray_case",
        task_id="classify",
        try_number=1,
        max_tries=6,
        xcom_push=lambda *, key, value: None,
    )
    context = {"ti": ti, "params": work.source.to_conf(KEYRING), "dag_run": SimpleNamespace()}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)
    with caplog.at_level(logging.INFO, "xray"), pytest.raises(DownstreamTasksSkipped):
        tasks.classify.function(pinned.to_json())
    assert summaries.WAITS in caplog.text
