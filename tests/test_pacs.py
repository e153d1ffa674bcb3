"""Sending to a PACS by DICOMweb: the request, and what the answers of a PACS mean."""

from __future__ import annotations

import email.parser
import email.policy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.support.dicom_files import dicom
from xray import pacs
from xray.errors import BlockedError, ObjectError, TransientError

INSTANCE = "1.2.3.4"
DATA = dicom(np.zeros((8, 8), np.uint8), SOPInstanceUID=INSTANCE)
NAMED = json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"Value": [INSTANCE]}}]}})


def answering(status: int, body: str | bytes = b"") -> pacs.Request:
    """A PACS that gives the same answer to everything."""
    content = body.encode() if isinstance(body, str) else body
    return lambda *_: pacs.Answer(status, content)


def failed(reason: int | None) -> dict[str, Any]:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [INSTANCE]}}
    if reason is not None:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


def test_the_request_is_one_of_stow_rs() -> None:
    seen: list[Any] = []

    def request(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> pacs.Answer:
        seen.append((method, path, headers["Accept"]))
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        message = parser.parsebytes(head + body)
        assert message.get_content_type() == "multipart/related"
        assert message.get_param("type") == "application/dicom"
        (part,) = message.iter_parts()
        assert part.get_content_type() == "application/dicom"
        assert body.count(DATA) == 1
        return pacs.Answer(200, NAMED.encode())

    sent = pacs.send(request, DATA)
    assert seen == [("POST", "studies", "application/dicom+json")]
    assert (sent.instance, sent.size) == (INSTANCE, len(DATA))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, NAMED),
        (202, NAMED),
        (409, json.dumps(failed(0x0111))),
        (409, json.dumps([failed(0xB00E)])),
        (200, "<NativeDicomModel><Value>1.2.3.4</Value></NativeDicomModel>"),
    ],
)
def test_an_instance_is_sent_if_the_pacs_has_it(status: int, body: str) -> None:
    assert pacs.send(answering(status, body), DATA).instance == INSTANCE


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (401, "", BlockedError, "login"),
        (403, "", BlockedError, "login"),
        (302, "", BlockedError, "no DICOMweb service"),
        (404, "", BlockedError, "no DICOMweb service"),
        (405, "", BlockedError, "no DICOMweb service"),
        (413, "", BlockedError, "too large"),
        (507, "", BlockedError, "too large"),
        (429, "", TransientError, "not available now"),
        (500, "", TransientError, "not available now"),
        (503, "<html>busy</html>", TransientError, "not available now"),
        (400, "", ObjectError, "refuses a result"),
        (409, "", ObjectError, "refuses a result"),
        (409, json.dumps(failed(None)), ObjectError, "reason 0000"),
        (409, json.dumps(failed(0xC000)), ObjectError, "reason C000"),
        (200, json.dumps(failed(0xA700)), BlockedError, "no room"),
        (202, json.dumps(failed(0x0110)), TransientError, "cannot store"),
        (409, json.dumps(failed(0x0124)), BlockedError, "forbids"),
        (200, "<html>Please log in</html>", BlockedError, "does not name the result"),
        (200, "", BlockedError, "does not name the result"),
    ],
)
def test_every_other_answer_is_an_error_of_its_kind(
    status: int, body: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        pacs.send(answering(status, body), DATA)
    assert type(raised.value) is error
    assert INSTANCE not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "found"), [(200, True), (204, True), (404, False), (501, False)]
)
def test_a_search_shows_whether_the_pacs_answers(status: int, found: bool) -> None:
    assert pacs.check(answering(status)) is found


def test_a_search_without_the_right_login_is_an_error() -> None:
    with pytest.raises(BlockedError, match="login"):
        pacs.check(answering(401))


def test_without_a_connection_nothing_is_sent() -> None:
    with pytest.raises(BlockedError, match="xray_pacs is not defined"):
        pacs.send(pacs.no_pacs, DATA)
