"""xray.web.case: the page of a case and its pictures, and to whom they are shown"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunType
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.support import KEYRING, ROOT
from tests.support.cases import BUCKET, KEY, carried, let_wait, run_case, run_steps, upload
from tests.support.dicom_files import dicom
from tests.web.test_cases import add, text_of
from xray.airflow import config
from xray.case import Source, Work, ending, forget
from xray.case.forget import Deletion
from xray.case.source import RUN_PREFIX
from xray.errors import ImageError
from xray.settings import Settings
from xray.storage import ObjectStore

LogIn = Callable[[str | None], TestClient]
OURS = {"X-Requested-With": "xray", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def work(s3: Any, store: ObjectStore, demo_images: list[Path], views: Any, api: Any) -> Work:
    """A case on a demo image with pneumonia."""
    sick = next(path for path in demo_images if "Bruno" in path.name)
    return upload(s3, store, sick.read_bytes())


def add_run(database: Engine, work: Work, state: str = "success", note: str | None = None) -> None:
    """Add the run of a case to Airflow's database."""
    with Session(database) as session:
        run = DagRun(
            dag_id=config.CASE_DAG,
            run_id=RUN_PREFIX + work.case_id,
            run_type=DagRunType.MANUAL,
            run_after=datetime.now(UTC),
            queued_at=datetime.now(UTC),
            state=state,
            conf=work.source.to_conf(KEYRING),
        )
        session.add(run)
        session.flush()
        run.note = note
        session.commit()


def finished(database: Engine, work: Work, policy: str = "never", **settings: str) -> str:
    """Run a case, add it to the index, and return the address of its page."""
    work = replace(work, settings=Settings.from_mapping({"anonymize": policy, **settings}))
    outcome = run_case(work)
    add(
        database,
        1,
        case_id=work.case_id,
        label=outcome.label,
        risk=outcome.risk,
        decision=outcome.decision.value,
    )
    add_run(database, work)
    return f"/cases/{work.case_id}"


def test_a_finished_case_shows_its_pictures_and_its_trail(
    logged_in: LogIn, database: Engine, work: Work, views: list[Any]
) -> None:
    page = logged_in("user").get(finished(database, work, "pneumonia"))
    assert page.status_code == 200
    text = text_of(page.text)
    assert "Pneumonia 98 % published and anonymised" in text
    assert KEY in text
    assert "Finished attempt 1" in text
    assert "The annotated and the anonymised image were published." in text
    assert "with text removed; no text was left according to the check." in text
    assert "xray-redaction-certificate/1" in text
    pictures = re.findall(r'<img src="([^"]+)" alt="(\w+)"', page.text)
    kinds = ["original", "annotated", "anonymised"]
    assert pictures == [
        (f"{work.case_id}/pictures/{kind}/preview", kind.capitalize()) for kind in kinds
    ]
    assert views == [], "the page itself shows no image"
    client = logged_in("user")
    for address, _ in pictures:
        answer = client.get(f"/cases/{address}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-store"
        assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
    assert views == [("somebody", work.case_id, kind) for kind in kinds]


def test_without_the_right_there_is_no_name_and_no_picture(
    logged_in: LogIn, database: Engine, work: Work, views: list[Any]
) -> None:
    address = finished(database, work)
    viewer = logged_in("viewer")
    page = viewer.get(address)
    assert page.status_code == 200
    assert "Pneumonia 98 %" in text_of(page.text)
    assert "You may not see the images of this case" in page.text
    for name in ("Ashgrove", "Ada", "1957", "<img src", "xray-data-in-anonymized", "Run again"):
        assert name not in page.text
    for path in (f"{address}/pictures/annotated/full", f"/thumbnails/{BUCKET}/{work.case_id}"):
        assert viewer.get(path).status_code == 403
        assert logged_in(None).get(path).status_code == 401
        viewer = logged_in("viewer")
    assert viewer.post(f"{address}/again", json={}, headers=OURS).status_code == 403
    assert logged_in(None).get(address).status_code == 401
    assert views == []


def test_a_case_shows_what_the_shadow_model_said(
    logged_in: LogIn, database: Engine, work: Work
) -> None:
    address = finished(database, work, shadow_model=str(ROOT / "include" / "model"))
    version = json.loads((ROOT / "include" / "model" / "model.json").read_text())["version"]
    said = text_of(logged_in("user").get(address).text)
    assert f"The shadow model: Pneumonia, 98 % ({version})." in said


def test_the_thumbnail_is_served_and_its_view_recorded(
    logged_in: LogIn, database: Engine, work: Work, views: list[Any]
) -> None:
    finished(database, work)
    answer = logged_in("user").get(f"/thumbnails/{BUCKET}/{work.case_id}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert max(Image.open(io.BytesIO(answer.content)).size) == 96
    assert views == [("somebody", work.case_id, "thumbnail")]
    assert logged_in("user").get(f"/thumbnails/{BUCKET}/{'0' * 32}").status_code == 204


def test_greys_are_stretched_in_another_process(
    logged_in: LogIn, database: Engine, work: Work
) -> None:
    address = finished(database, work)
    answer = logged_in("user").get(f"{address}/pictures/original/stretched")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    stretched = Image.open(io.BytesIO(answer.content))
    plain = Image.open(
        io.BytesIO(logged_in("user").get(f"{address}/pictures/original/full").content)
    )
    assert (stretched.mode, stretched.size) == ("L", plain.size)
    assert stretched.tobytes() != plain.convert("L").tobytes()


def test_a_dicom_image_is_rendered_for_the_browser(
    logged_in: LogIn,
    database: Engine,
    s3: Any,
    store: ObjectStore,
    chest: Image.Image,
    views: Any,
    api: Any,
) -> None:
    work = upload(s3, store, dicom(np.asarray(chest)))
    address = finished(database, work, "always")
    for kind in ("original", "annotated", "anonymised"):
        answer = logged_in("user").get(f"{address}/pictures/{kind}/full")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert Image.open(io.BytesIO(answer.content)).size == chest.size
        preview = logged_in("user").get(f"{address}/pictures/{kind}/preview")
        assert preview.headers["content-type"] == "image/jpeg"


def test_an_original_that_is_no_image_is_refused_in_a_sentence(
    logged_in: LogIn, database: Engine, work: Work, s3: Any
) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"<script>alert(1)</script>")
    source = Source(bucket=BUCKET, key=KEY)
    failed = replace(work, source=source)
    add(database, 1, case_id=failed.case_id, state="failed", decision=None)
    add_run(database, failed, "failed", note="fetch failed: The object is not an image.")
    page = logged_in("user").get(f"/cases/{failed.case_id}")
    assert "fetch failed: The object is not an image." in text_of(page.text)
    answer = logged_in("user").get(f"/cases/{failed.case_id}/pictures/original/full")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("The object is not an image")


def test_a_failure_is_in_the_trail(logged_in: LogIn, database: Engine, work: Work) -> None:
    pinned, *_ = run_steps(work)
    reason = "The image is damaged: export it again."
    ending.abandon(carried(work, pinned), ImageError(reason), pinned)
    add(database, 1, case_id=work.case_id, state="failed", decision=None)
    add_run(database, work, "failed", note=f"classify failed: {reason}")
    text = text_of(logged_in("user").get(f"/cases/{work.case_id}").text)
    assert f"classify failed: {reason}" in text
    assert "Failed attempt 1" in text


def test_a_case_that_has_not_begun_is_in_the_queue(
    logged_in: LogIn, database: Engine, work: Work
) -> None:
    add_run(database, work, "queued")
    page = logged_in("user").get(f"/cases/{work.case_id}")
    assert page.status_code == 200
    assert "in the queue" in text_of(page.text)
    assert "data-live" in page.text
    assert "nothing is on record" in text_of(page.text)


def test_a_case_whose_results_were_deleted_names_nobody(
    logged_in: LogIn, database: Engine, work: Work, s3: Any
) -> None:
    address = finished(database, work)
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    forget.forget_object(work, Deletion(reason="A request for erasure.", by="dr. b"))
    page = logged_in("user").get(address)
    assert "Ashgrove" not in page.text
    assert "A request for erasure. dr. b has asked for it." in text_of(page.text)
    assert "<img src" not in page.text
    assert logged_in("user").get(f"{address}/pictures/original/full").status_code == 404
    assert logged_in("user").get(f"{address}/pictures/original/preview").status_code == 204
    assert logged_in("user").get(f"{address}/pictures/anonymised/preview").status_code == 204


def test_a_case_that_waits_shows_its_form_to_those_who_may_answer(
    logged_in: LogIn, database: Engine, store: ObjectStore, views: Any, api: Any
) -> None:
    waiting = let_wait(store, KEY, 1)
    case_id = waiting.request.case_id
    add(database, 1, case_id=case_id, state="waiting", waits="review", decision=None)
    with Session(database) as session:
        session.add(
            DagRun(
                dag_id=config.CASE_DAG,
                run_id=RUN_PREFIX + case_id,
                run_type=DagRunType.MANUAL,
                run_after=datetime.now(UTC),
                state="success",
                conf=waiting.source.to_conf(KEYRING),
            )
        )
        session.commit()
    page = logged_in("user").get(f"/cases/{case_id}").text
    assert re.findall(r'data-choice="([^"]+)"', page) == ["Normal", "Pneumonia", "Keep Unsure"]
    assert f'data-run="xray__{case_id}__1"' in page
    assert f'<img src="/xray/review/{BUCKET}/{case_id}/1/preview"' in page
    assert "data-choice" not in logged_in("viewer").get(f"/cases/{case_id}").text


def test_a_store_that_is_down_is_said_beside_what_airflow_knows(
    logged_in: LogIn, database: Engine, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = finished(database, work)
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "demo", "password": "demo", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    page = logged_in("user").get(address)
    assert page.status_code == 200
    text = text_of(page.text)
    assert "The store does not show the case. The store did not answer" in text
    assert "Pneumonia 98 %" in text
    assert logged_in("user").get(f"{address}/pictures/original/full").status_code == 503


@pytest.mark.parametrize("role", ["viewer", "user"])
def test_a_case_that_is_not_there(logged_in: LogIn, database: Engine, api: Any, role: str) -> None:
    page = logged_in(role).get(f"/cases/{'0' * 32}")
    assert page.status_code == 404
    assert "There is no such case." in page.text
    assert logged_in(role).get("/cases/not-an-id").status_code == 422


def test_a_run_leads_to_its_case(logged_in: LogIn, database: Engine) -> None:
    case_id = add(database, 1, case_id="a" * 32, run_id="manual__2026-01-01T00:00:00+00:00")
    client = logged_in("viewer")
    for run in (f"xray__{case_id}", f"xray__{case_id}__3", "manual__2026-01-01T00:00:00+00:00"):
        answer = client.get(f"/runs/{run}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (307, f"../cases/{case_id}")
    none = client.get("/runs/scheduled__2026", follow_redirects=False)
    assert none.status_code == 404
    assert "This run is no case." in none.text


def test_a_new_case_with_other_settings_is_prepared_with_a_sealed_key(
    logged_in: LogIn, database: Engine, work: Work
) -> None:
    address = finished(database, work)
    client = logged_in("user")
    answer = client.post(f"{address}/again", json={"anonymize": "always"}, headers=OURS)
    assert answer.status_code == 200
    prepared = answer.json()
    assert "Ashgrove" not in answer.text
    assert prepared["case_id"] != work.case_id
    run = prepared["run"]
    assert run["dag_run_id"] == f"xray__{prepared['case_id']}"
    assert run["conf"]["anonymize"] == "always"
    source = Source.from_conf(run["conf"], KEYRING)
    assert (source.key, source.etag) == (KEY, work.source.etag)
    assert source.case_id(KEYRING) == prepared["case_id"]
    again = client.post(f"{address}/again", json={}, headers=OURS).json()
    assert again["case_id"] != prepared["case_id"], "each is a case of its own"


def test_wrong_settings_and_forged_requests_are_refused(
    logged_in: LogIn, database: Engine, work: Work
) -> None:
    address, client = finished(database, work), logged_in("user")
    cases: list[tuple[dict[str, Any], dict[str, str], int]] = [
        ({"anonymize": "sometimes"}, OURS, 422),
        ({"bucket": "elsewhere"}, OURS, 422),
        ({"follow_deletions": True}, OURS, 422),
        ({}, {}, 403),
        ({}, {"X-Requested-With": "xray", "Sec-Fetch-Site": "cross-site"}, 403),
        ({}, {"X-Requested-With": "xray", "Origin": "https://evil.example"}, 403),
    ]
    for settings, headers, status in cases:
        answer = client.post(f"{address}/again", json=settings, headers=headers)
        assert answer.status_code == status, (settings, headers)


def test_text_from_outside_cannot_become_html(
    logged_in: LogIn, database: Engine, s3: Any, store: ObjectStore, work: Work
) -> None:
    key = "<script>alert(1)</script>.jpeg"
    source = Source(bucket=BUCKET, key=key, etag="1" * 32)
    other = replace(work, source=source)
    add(database, 1, case_id=other.case_id, state="failed", decision=None)
    add_run(database, other, "failed", note="<b onload=x>")
    page = logged_in("user").get(f"/cases/{other.case_id}")
    assert key not in page.text
    assert key in unescape(page.text)
    assert "<b onload" not in page.text
    html = page.text.replace("&lt;b onload=x&gt;", "")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", html)
    assert "unsafe" not in page.headers["content-security-policy"]
