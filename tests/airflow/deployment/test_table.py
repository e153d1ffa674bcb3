"""xray.airflow.deployment.table: one line for each answer, and no secret in it"""

from __future__ import annotations

import io
import json

import pytest

from xray.airflow.deployment.table import Table, guarded, limit, problem, unknown, well
from xray.errors import ObjectError


def test_a_line_for_each_answer() -> None:
    stream = io.StringIO()
    table = Table(stream)
    for answer in (well("one", "Fine."), limit("two", "Half."), unknown("three", "No\n idea.")):
        table.add(answer)
    assert table.is_well
    table.finish()
    lines = stream.getvalue().splitlines()
    assert [line[0] for line in lines[:3]] == ["+", "!", "?"]
    assert lines[2].split() == ["?", "three", "No", "idea."]
    assert lines[-1] == "All is well; 1 with a limit (!); 1 not tried (?), which is no failure."


def test_a_problem_is_counted() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    table = Table(stream)
    table.add(problem("one", "Create it."))
    table.finish()
    assert not table.is_well
    stream.seek(0)
    assert stream.read().splitlines() == [f"✗ {'one':34} Create it.", "", "1 to be done (✗)."]


def test_json() -> None:
    stream = io.StringIO()
    table = Table(stream, as_json=True)
    table.add(problem("one", "Create it."))
    table.finish()
    row = {"check": "one", "result": "problem", "sentence": "Create it."}
    assert json.loads(stream.getvalue()) == {"well": False, "checks": [row]}


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_are_hidden_as_a_last_resort(as_json: bool) -> None:
    stream = io.StringIO()
    table = Table(stream, as_json=as_json)
    table.hide(["geheim", "geheim-2", "a"])
    table.add(well("one", "It is geheim-2, and geheim."))
    table.finish()
    assert "geheim" not in stream.getvalue()
    assert "It is ***, and ***." in stream.getvalue()


def test_an_error_of_the_package_is_its_sentence() -> None:
    def answers() -> list[object]:
        raise ObjectError("The bucket b does not exist: create it.")

    (answer,) = guarded("store", answers)
    assert answer == problem("store", "The bucket b does not exist: create it.")


def test_the_message_of_another_error_is_left_out() -> None:
    def answers() -> list[object]:
        raise ValueError("PNEUMONIA/Ada Ashgrove.jpeg")

    (answer,) = guarded("store", answers)
    assert "ValueError" in answer.sentence
    assert "Ada" not in answer.sentence
