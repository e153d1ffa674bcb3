"""python -m xray check: the whole table, its exit status, and what it leaves behind"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.airflow.deployment.conftest import BUCKETS, PASSWORD, announce
from tests.support import ROOT, SECRET
from tests.support.cases import KEY
from tests.support.fake_airflow import FakeAirflow
from xray import command_line
from xray.airflow.deployment import check
from xray.airflow.deployment.account import NEEDED_DAGS, OTHER_DAGS
from xray.command_line import WRONG_CALL

Checked = Callable[..., tuple[int, dict[str, Any]]]


def test_all_is_well(deployed: Any, checked: Checked) -> None:
    status, found = checked()
    assert status == 0, found
    # The embedded broker has no controller, and there is no run yet.
    assert {name for name, row in found.items() if row["result"] == "unknown"} == {
        "topics",
        "secret kept",
    }
    assert {name for name in found if name.startswith("bucket ")} == {
        f"bucket {name}" for name in (BUCKETS.landing, *BUCKETS.outputs())
    }
    assert {name for name in found if name.startswith("DAG ")} == {
        f"DAG {name}" for name in (*NEEDED_DAGS, *OTHER_DAGS)
    }


def test_nothing_is_left_behind(deployed: Any, airflow: FakeAirflow, checked: Checked) -> None:
    for bucket in (BUCKETS.landing, BUCKETS.processed):
        deployed.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    deployed.put_object(Bucket=BUCKETS.audit, Key="a record", Body=b"{}")
    before = deployed.head_object(Bucket=BUCKETS.audit, Key="a record")["LastModified"]
    checked()
    assert airflow.runs == {}
    for bucket in (BUCKETS.landing, *BUCKETS.outputs()):
        listed = deployed.list_object_versions(Bucket=bucket)
        kept = [
            one["Key"] for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))
        ]
        assert kept == (["a record"] if bucket == BUCKETS.audit else []), bucket
    after = deployed.head_object(Bucket=BUCKETS.audit, Key="a record")["LastModified"]
    assert after == before, "an existing object is not touched"


def test_a_table_for_people(deployed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.delete_bucket(Bucket=BUCKETS.staging)
    assert check.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "-staging" in line]
    assert line.startswith("✗ bucket xray-data-in-staging")
    assert "run python -m xray setup" in line
    assert lines[-1].startswith("1 to be done (✗); ")


SECRETS = (PASSWORD, "demo-password", SECRET, "sasl-secret", "token-1")


def test_no_secret_and_no_key_is_printed(
    deployed: Any,
    airflow: FakeAirflow,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever fails: neither a password, nor the secret, nor a token, nor an object's key."""
    deployed.put_object(Bucket=BUCKETS.landing, Key=KEY, Body=b"an image")
    deployed.put_object(Bucket=BUCKETS.manifests, Key=KEY, Body=b"{}")
    kafka = json.loads(os.environ["AIRFLOW_CONN_XRAY_KAFKA"])
    capfd.readouterr()  # The store of the test logs the keys in this process.
    for arguments in ([], ["--json"]):
        check.main(arguments)
    kafka["extra"] |= {"sasl.password": "sasl-secret", "sasl.username": "x", "nonsense": 1}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(kafka))
    airflow.password = "another"
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", SECRET)
    check.main([])
    output = capfd.readouterr()
    for secret in (*SECRETS, "Ada", "Ashgrove"):
        assert secret not in output.out + output.err


def test_in_a_plain_shell_the_table_is_the_whole_output(deployed: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xray", "check", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )
    answers = json.loads(done.stdout)
    assert done.returncode == 0, answers
    assert answers["well"] is True
    assert done.stderr == ""


def test_parts_without_their_connection_are_not_tried(
    deployed: Any, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S3", "KAFKA", "API"):
        monkeypatch.delenv(f"AIRFLOW_CONN_XRAY_{name}")
    status, found = checked()
    assert status == 1
    for name in ("xray_s3", "xray_kafka", "xray_api"):
        row = found[f"connection {name}"]
        assert row["result"] == "problem"
        assert f"AIRFLOW_CONN_{name.upper()}" in row["sentence"]
    for name in ("store", "Kafka", "Airflow"):
        assert found[name]["result"] == "unknown"


def test_removals_have_to_be_announced_if_they_are_followed(
    deployed: Any, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"follow_deletions": true}')
    status, found = checked()
    assert status == 1
    assert "s3:ObjectRemoved:*" in found["announcements"]["sentence"]
    assert "rights on xray_forget" in found
    announce(deployed, "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    assert checked()[0] == 0


@pytest.mark.parametrize("arguments", [["--keep"], ["--image", "x"], ["--send", "--image", "x"]])
def test_a_wrong_call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        check.main(arguments)
    assert error.value.code == 2
    assert "usage: python -m xray check" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["check", "setup"])
def test_an_unknown_option_is_a_wrong_call(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        command_line.run(name, ["--no-such-option"])
    assert error.value.code == WRONG_CALL
    assert f"usage: python -m xray {name}" in capsys.readouterr().err
