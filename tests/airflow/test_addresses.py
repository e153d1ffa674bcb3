"""xray.airflow.addresses"""

from __future__ import annotations

import pytest

from xray.airflow.addresses import PREVIEW, QUARANTINE, picture_address


@pytest.mark.parametrize(
    ("base_url", "path"), [("", ""), ("http://air.example/", ""), ("https://a.example/air", "/air")]
)
def test_an_address_has_the_path_of_the_server(
    monkeypatch: pytest.MonkeyPatch, base_url: str, path: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert picture_address(PREVIEW, "xrays", "c0ffee") == f"{path}/xray/preview/xrays/c0ffee"
    assert picture_address(QUARANTINE, "xrays", "c0ffee") == f"{path}/xray/quarantine/xrays/c0ffee"
