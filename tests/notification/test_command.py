"""xray.notification.command"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.messages import DIALECTS, KEY, item, message
from xray.notification.command import main


def test_the_command_prints_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message"
    file.write_bytes(DIALECTS["aws"])
    assert main([str(file)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] is None
    assert answer["skipped"] == []
    assert answer["records"] == [
        {
            "bucket": "xray-data-in",
            "key": KEY,
            "version_id": None,
            "etag": "e5ebd4c02cefbe7955977c67ada242b7",
            "size": 8,
            "event": "ObjectCreated:Put",
            "sequencer": "C8FF046B6C5AB135",
            "event_time": "2026-11-24T03:08:56.897902Z",
            "dialect": "aws",
        }
    ]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"nonsense")
    assert main([str(file)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["records"] == []
    assert "JSON" in answer["error"]


def test_the_readable_parts_come_with_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "message"
    file.write_bytes(message(item("a"), "no record"))
    assert main([str(file)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [record["key"] for record in answer["records"]] == ["a"]
    assert "record is a str" in answer["error"]


@pytest.mark.parametrize("arguments", [["--help"], ["no-such-file"], [], ["one", "two"]])
def test_a_wrong_call_says_how_to_call_the_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    output = capsys.readouterr()
    assert caught.value.code == (0 if arguments == ["--help"] else 2)
    assert "usage: python -m xray.notification" in output.out + output.err
    if arguments == ["no-such-file"]:
        assert "no-such-file cannot be read: No such file or directory" in output.err


def test_a_removal_is_a_skipped_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message"
    file.write_bytes(message(item("a", event="ObjectRemoved:Delete")))
    assert main([str(file)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "records": [],
        "skipped": [{"reason": "not an object's creation", "event": "ObjectRemoved:Delete"}],
        "error": None,
    }


@pytest.mark.parametrize(
    ("content", "reason", "event"),
    [
        (
            message(item("a", event="ObjectCreated:PutTagging")),
            "a change of an object's properties, such as its tags, and not of its content",
            "ObjectCreated:PutTagging",
        ),
        (b'{"Records": []}', "the message has no records", None),
    ],
)
def test_a_message_that_asks_for_no_case_says_why(
    content: bytes,
    reason: str,
    event: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "message"
    file.write_bytes(content)
    assert main([str(file)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "records": [],
        "skipped": [{"reason": reason, "event": event}],
        "error": None,
    }
