"""xray.airflow.addresses"""

from __future__ import annotations

import pytest

from xray.airflow.addresses import (
    QUARANTINE,
    REVIEW,
    case_address,
    case_link,
    picture_address,
    run_address,
    runs_address,
)
from xray.case.pictures import View


@pytest.mark.parametrize(
    ("base_url", "path"), [("", ""), ("http://air.example/", ""), ("https://a.example/air", "/air")]
)
def test_an_address_has_the_path_of_the_server(
    monkeypatch: pytest.MonkeyPatch, base_url: str, path: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    shown = picture_address(REVIEW, "xrays", "c0ffee", 3, View.PREVIEW)
    assert shown == f"{path}/xray/review/xrays/c0ffee/3/preview"
    shown = picture_address(QUARANTINE, "xrays", "c0ffee", 12, View.STRETCHED)
    assert shown == f"{path}/xray/quarantine/xrays/c0ffee/12/stretched"
    assert case_address("c0ffee") == f"{path}/xray/cases/c0ffee"


@pytest.mark.parametrize("base_url", ["", "https://a.example/air/"])
def test_links_to_runs_and_cases_are_whole(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    runs = f"{base_url.rstrip('/')}/dags/xray_case/runs"
    assert runs_address("xray_case") == runs
    assert case_link("c0ffee") == f"{base_url.rstrip('/')}/xray/cases/c0ffee"
    assert case_link("x/../y") == f"{base_url.rstrip('/')}/xray/cases/x%2F..%2Fy"
    assert run_address("xray_case", "manual__1+2 3") == f"{runs}/manual__1%2B2%203"
