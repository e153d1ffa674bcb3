"""xray.case.handover, on an S3 server"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.support import SECRET
from tests.support.cases import run_steps
from xray.case import Scored, Staged, Work, hand_over, take_over
from xray.errors import PermanentError
from xray.pseudonym import Keyring
from xray.settings import Settings

SCORED = Scored(
    risk=0.93123456, label="Pneumonia", model="m", refused=None, evidence=[[0.517, -1.25]]
)


def test_what_airflow_keeps_leads_to_no_anonymised_image(work: Work) -> None:
    _, scored, annotated, anonymized = run_steps(work)
    assert anonymized is not None
    kept = [hand_over(work, one) for one in (scored, annotated, anonymized)]
    text = json.dumps(kept)
    assert kept[0]["risk"] == round(scored.risk, 2)
    assert {name for one in kept for name in one} == {
        "schema",
        *("label", "model", "refused", "review", "risk"),
        *("name", "content_type", "suffix", "sealed"),
    }
    assert str(scored.risk)[:6] not in text
    assert scored.evidence is not None
    assert json.dumps(scored.evidence[0]) not in text
    for private in (anonymized.sha256, annotated.sha256, str(anonymized.size), "verified"):
        assert private not in text
    assert [
        take_over(work, kind, json.loads(json.dumps(one)))
        for kind, one in zip((Scored, Staged, Staged), kept, strict=True)
    ] == [scored, annotated, anonymized]


@pytest.mark.parametrize(("risk", "shown"), [(0.8012, 0.81), (0.7988, 0.80), (0.5988, 0.59)])
def test_a_rounded_risk_keeps_its_side_of_a_threshold(
    work: Work, risk: float, shown: float
) -> None:
    assert hand_over(work, dataclasses.replace(SCORED, risk=risk))["risk"] == shown


def test_a_result_is_opened_after_a_new_secret_was_added(work: Work) -> None:
    kept = hand_over(work, SCORED)
    rotated = dataclasses.replace(work, keyring=Keyring(("a newer secret, long enough", SECRET)))
    assert take_over(rotated, Scored, kept) == SCORED
    assert take_over(rotated, Scored, hand_over(rotated, SCORED)) == SCORED


@pytest.mark.parametrize("change", ["case", "kind", "secret", "text"])
def test_a_result_that_does_not_belong_there_is_refused(work: Work, change: str) -> None:
    kept: dict[str, Any] = hand_over(work, SCORED)
    kind: Any = Scored
    if change == "case":
        work = dataclasses.replace(work, source=dataclasses.replace(work.source, etag="other"))
    if change == "kind":
        kind = Staged
    if change == "secret":
        work = dataclasses.replace(work, keyring=Keyring(("another secret, long enough",)))
    if change == "text":
        kept["sealed"] = kept["sealed"][:-8]
    with pytest.raises(PermanentError, match=r"Clear the case's run from fetch on\.$"):
        take_over(work, kind, kept)


def test_a_result_of_an_earlier_version_is_read(work: Work) -> None:
    assert take_over(work, Scored, SCORED.to_json()) == SCORED


def test_the_settings_of_the_case_decide_how_a_risk_is_rounded(work: Work) -> None:
    low = dataclasses.replace(work, settings=Settings(normal_below=0.1, pneumonia_above=0.931))
    assert hand_over(low, SCORED)["risk"] == 0.94
