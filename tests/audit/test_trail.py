"""xray.audit, on an S3 server and on folders"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import RUN
from xray import audit
from xray.audit.trail import _digest
from xray.storage import ObjectStore

BUCKET = "xray-data-in-audit"
CASE = "0123456789abcdef" * 2


def failure(token: str, error: str = "It is no image.") -> dict[str, Any]:
    """What a step records of a case that failed."""
    source = {"bucket": "b", "key": "Ada.jpeg", "version_id": None, "etag": "e", "size": 1}
    source |= {"sequencer": None, "event_time": None, "origin": "manual"}
    return {
        "outcome": "failed",
        "token": token,
        "run": RUN.to_json(),
        "source": source,
        "settings": None,
        "error": error,
        "kind": "permanent",
    }


@pytest.fixture
def trail(s3: Any, store: ObjectStore, tmp_path: Path) -> Path:
    """Five records of one case and one of another, copied to a folder."""
    for number in range(5):
        audit.append(store, BUCKET, CASE, failure(f"fetch:{number}"))
    audit.append(store, BUCKET, CASE[::-1], failure("fetch:0"))
    for entry in store.list(BUCKET):
        path = tmp_path / entry.key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(store.get(BUCKET, entry.key).data)
    return tmp_path


def problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the command says of a folder."""
    status = audit.main(["verify", str(folder)])
    *found, summary = capsys.readouterr().out.splitlines()
    assert status == (1 if found else 0)
    assert ("all verify" in summary) is not bool(found)
    return found


def test_what_is_left_alone_verifies(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(["verify", str(trail)]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_change_is_found(trail: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = trail / CASE / f"{number:05d}.json"
    path.write_text(path.read_text().replace("no image", "an image"))
    assert problems(trail, capsys)[0].startswith(f"{CASE}/{number:05d}.json was changed")


def test_a_change_with_its_digest_made_anew_breaks_the_chain(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trail / CASE / "00002.json"
    record = json.loads(path.read_text()) | {"error": "Nothing."}
    path.write_text(json.dumps({**record, "digest": _digest(record)}))
    (said,) = problems(trail, capsys)
    assert said.startswith(f"{CASE}/00003.json does not follow")


@pytest.mark.parametrize("gone", [[1], [3], [2, 3]])
def test_a_missing_record_is_found(
    trail: Path, gone: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in gone:
        (trail / CASE / f"{number:05d}.json").unlink()
    assert problems(trail, capsys) == [f"{CASE}/{number:05d}.json is missing" for number in gone]


def test_a_record_in_another_ones_place_is_found(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trail / CASE
    (folder / "00004.json").write_bytes((folder / "00002.json").read_bytes())
    assert problems(trail, capsys)[0] == f"{CASE}/00004.json does not belong there"


def test_what_is_no_record_is_found(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trail / CASE / "00006.json").write_text("{")
    (trail / CASE / "00007.json").write_text("{}")
    said = problems(trail, capsys)
    assert said[0].endswith("00006.json is not JSON")
    assert "00007.json has not the form of a record" in said[1]


def test_a_bucket_is_checked_with_aws_own_environment(
    trail: Path,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_endpoint),
        ("AWS_ACCESS_KEY_ID", "demo"),
        ("AWS_SECRET_ACCESS_KEY", "demo"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    assert audit.main(["verify", f"s3://{BUCKET}"]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"
    assert audit.main(["verify", "s3://nowhere-at-all"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_wrong_call_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        audit.main(["verify", "/no/such/folder"])
    assert caught.value.code == 2


def test_records_are_numbered_and_chained(store: ObjectStore, s3: Any) -> None:
    first = audit.append(store, BUCKET, CASE, failure("fetch:6"))
    second = audit.append(store, BUCKET, CASE, failure("fetch:7"))
    assert [(r["number"], r["attempt"]) for r in (first, second)] == [(1, 1), (2, 2)]
    assert first["previous"] is None
    assert second["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256
    assert audit.records(store, BUCKET, CASE) == [first, second]


def test_what_a_task_has_recorded_it_records_once(store: ObjectStore, s3: Any) -> None:
    first = audit.append(store, BUCKET, CASE, failure("fetch:6"))
    assert audit.append(store, BUCKET, CASE, failure("fetch:6", "Said again.")) == first
    assert audit.records(store, BUCKET, CASE) == [first]


class Racing(ObjectStore):
    """A store in which somebody else is always a moment faster, once."""

    raced = False

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> None:
        if not self.raced:
            self.raced = True
            audit.append(ObjectStore(self._client), bucket, CASE, failure("another"))
        super().put(bucket, key, data, **options)


def test_two_writers_get_two_numbers_in_one_chain(s3: Any, store: ObjectStore) -> None:
    ours = audit.append(Racing(s3), BUCKET, CASE, failure("fetch:6"))
    assert ours["number"] == 2
    theirs, _ = audit.records(store, BUCKET, CASE)
    assert theirs["token"] == "another"
    assert ours["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256
