"""xray.airflow.unexpected"""

from __future__ import annotations

import ast
import traceback

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from tests.support import ROOT
from xray.airflow.unexpected import UnexpectedError, without_messages
from xray.errors import ImageError

NAME = "Ada Ashgrove"


@without_messages()
def step(key: str) -> int:
    try:
        return {}[key]
    except KeyError as error:
        raise ValueError(f"There is no {key}.") from error


def test_an_unexpected_error_has_its_traceback_and_not_its_message() -> None:
    with pytest.raises(UnexpectedError, match="Unexpected ValueError") as caught:
        step(NAME)
    told = "".join(traceback.format_exception(caught.value))
    assert "in step" in told
    assert NAME not in told


@pytest.mark.parametrize("error", [ImageError("It is no image."), AirflowSkipException("Why.")])
def test_errors_that_name_no_patient_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, without_messages():
        raise error
    assert caught.value is error


def test_every_task_and_operator_leaves_messages_out() -> None:
    """A task is a function with the decorator ``task``, or the ``execute…`` of an operator."""
    found = []
    for folder in ("case", "jobs"):
        for path in sorted((ROOT / "plugins" / "xray" / "airflow" / folder).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    decorators = {ast.unparse(one).split("(")[0] for one in node.decorator_list}
                    if "task" in decorators or node.name.startswith("execute"):
                        found.append(node.name)
                        assert decorators & {"without_messages", "records_failure"}, node.name
    assert {"fetch", "start_cases", "replay_letters", "execute", "execute_complete"} <= set(found)
