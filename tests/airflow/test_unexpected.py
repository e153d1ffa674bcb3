"""xray.airflow.unexpected"""

from __future__ import annotations

import traceback

import pytest
from airflow.sdk.exceptions import AirflowSkipException

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
