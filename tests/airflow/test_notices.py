"""xray.airflow.notices: what people are told, by mail and by a webhook, and what goes wrong"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import BaseNotifier, Variable

from tests.support.people import MailServer, WebHook
from xray.airflow import notices
from xray.airflow.notices import Event
from xray.errors import SettingsError

HTTP = "airflow.providers.http.notifications.http.HttpNotifier"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
CASE_ID = "0123456789abcdef0123456789abcdef"
RUN = {"dag_id": "xray_case", "run_id": f"xray__{CASE_ID}"}
PAGE = f"https://airflow.example/xray-ward/xray/cases/{CASE_ID}"
LINK = f"https://airflow.example/xray-ward/dags/xray_case/runs/xray__{CASE_ID}"
SENTENCE = "fetch failed: The object is not an image."


class Hanging(BaseNotifier):
    """A notifier that does not come back before the test ends."""

    end = threading.Event()

    def notify(self, context: Any) -> None:
        """Wait for the end of the test."""
        self.end.wait(60)


class Broken(BaseNotifier):
    """A notifier that fails."""

    def notify(self, context: Any) -> None:
        """Fail."""
        raise ConnectionError("https://hooks.example/secret")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """The counters that were sent: their names, with their events."""
    counters: Counter[tuple[str, str]] = Counter()

    class Stats:
        @staticmethod
        def incr(name: str, *, tags: dict[str, str]) -> None:
            counters[name, tags["event"]] += 1

    monkeypatch.setattr(notices, "process_stats", lambda: Stats)
    return counters


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebHook]:
    hook = WebHook()
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps({"conn_type": "http", "host": hook.url}))
    yield hook
    hook.close()


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    server = MailServer()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "xray@ward.example"}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/xray-ward/")


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets the Variable to these entries."""

    def to(*entries: Any) -> None:
        monkeypatch.setenv("AIRFLOW_VAR_XRAY_NOTICES", json.dumps(list(entries)))

    return to


@pytest.fixture
def told_causes(monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any]) -> dict[str, Any]:
    """The Variables that were written; no task waits before it looks a second time."""
    monkeypatch.setattr(notices, "JITTER", 0.0)
    return variables


def entry(notifier: str, *events: str, **arguments: Any) -> dict[str, Any]:
    return {"notifier": notifier, "on": list(events), "arguments": arguments}


def test_a_webhook_is_told_what_happened(
    hook: WebHook, configure: Callable[..., None], counted: Counter[tuple[str, str]]
) -> None:
    configure(entry(HTTP, "failed", "high_risk", http_conn_id="hook"))
    notices.tell(Event.HIGH_RISK, **RUN, sentence="Published.", label="Pneumonia", risk=0.93)
    (notice,) = hook.notices
    text = notice.pop("text")
    assert notice == {
        "event": "high_risk",
        "sentence": "Published.",
        "case_id": CASE_ID,
        "label": "Pneumonia",
        "risk": "93%",
        "page": PAGE,
        "link": LINK,
        **RUN,
    }
    assert text.splitlines() == ["Published.", f"Case {CASE_ID}: Pneumonia, risk=93%", PAGE, LINK]
    assert counted == {("xray.notices.sent", "high_risk"): 1}


def test_a_mail_says_what_happened(
    mail: MailServer, configure: Callable[..., None], counted: Counter[tuple[str, str]]
) -> None:
    configure(entry(SMTP, "failed", smtp_conn_id="mail", to="a@ward.example,b@ward.example"))
    notices.tell(Event.FAILED, **RUN, sentence="fetch failed: 3 < 4.")
    (sent,) = mail.mails
    assert mail.recipients == ["a@ward.example", "b@ward.example"]
    assert sent["from"] == "xray@ward.example"
    assert sent["subject"] == f"xray: failed, case {CASE_ID}"
    body = sent.get_body()
    assert body is not None
    html = body.get_content()
    assert "fetch failed: 3 &lt; 4." in html
    assert f"<p>Case {CASE_ID}</p>" in html
    assert f'<a href="{PAGE}">The case</a> · <a href="{LINK}">' in html
    assert counted == {("xray.notices.sent", "failed"): 1}


def test_the_arguments_are_templates(
    hook: WebHook, mail: MailServer, configure: Callable[..., None]
) -> None:
    template = (
        "{{ event }}|{{ sentence }}|{{ case_id }}|{{ label }}|{{ risk }}|{{ page }}|{{ link }}"
    )
    template += "|{{ dag_id }}|{{ run_id }}|{{ further }}|{{ unknown }}"
    configure(
        entry(HTTP, "review", http_conn_id="hook", data=json.dumps({"said": template})),
        entry(SMTP, "review", smtp_conn_id="mail", to="{{ event }}@ward.example", subject=template),
    )
    notices.tell(Event.REVIEW, dag_id="d", run_id="manual", sentence="Waits.", further=1)
    said = "review|Waits.|||||https://airflow.example/xray-ward/dags/d/runs/manual|d|manual|1|"
    assert hook.notices == [{"said": said}]
    assert [sent["subject"] for sent in mail.mails] == [said]
    assert mail.recipients == ["review@ward.example"]


def test_only_those_are_told_who_asked(
    hook: WebHook, configure: Callable[..., None], counted: Counter[tuple[str, str]]
) -> None:
    configure(entry(HTTP, "quarantined", "overdue", http_conn_id="hook"))
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
    assert (hook.notices, counted) == ([], {})
    notices.tell(Event.QUARANTINED, **RUN, sentence=SENTENCE)
    assert len(hook.notices) == 1


def test_nobody_is_told_without_the_variable(counted: Counter[tuple[str, str]]) -> None:
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
    assert notices.recipients() == []
    assert counted == {}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{", "must be a JSON list"),
        ('{"notifier": 1}', "must be a JSON list"),
        ('["x"]', 'Entry 1 .* must be an object with "notifier" and "on"'),
        (f'[{{"notifier": "{HTTP}"}}]', 'must be an object with "notifier" and "on"'),
        (f'[{{"notifier": "{HTTP}", "on": "failed"}}]', '"on" must be a list of events, out of'),
        (f'[{{"notifier": "{HTTP}", "on": ["died"]}}]', "event 'died' is unknown. .*overdue"),
        (f'[{{"notifier": "{HTTP}", "on": [["failed"]]}}]', "is unknown"),
        (f'[{{"notifier": "{HTTP}", "on": [], "arguments": []}}]', "arguments must be"),
        (f'[{{"notifier": "{HTTP}", "on": [], "argument": {{}}}}]', "unknown field 'argument'"),
        ('[{"notifier": "json.JSONDecoder", "on": []}]', "is not a notifier"),
        ('[{"notifier": "json.dumps", "on": []}]', "is not a notifier"),
        ('[{"notifier": "Slack", "on": []}]', "no class Slack. Check the path"),
        ('[{"notifier": 7, "on": []}]', "no class 7"),
        ('[{"notifier": "xray.airflow.notices.Nobody", "on": []}]', "no class xray.airflow"),
        (
            '[{"notifier": "airflow.providers.slack.notifications.slack.SlackNotifier", "on": []}]',
            "Install its package, apache-airflow-providers-slack,",
        ),
    ],
)
def test_a_wrong_variable_is_refused_with_a_sentence(
    value: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    counted: Counter[tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_NOTICES", value)
    with pytest.raises(SettingsError, match=sentence):
        notices.recipients()
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
    assert "event failed was not sent" in caplog.text
    assert counted == {("xray.notices.failed", "failed"): 1}


def test_arguments_that_do_not_fit_are_refused(configure: Callable[..., None]) -> None:
    configure(entry(HTTP, "failed", url="https://hooks.example"))
    (recipient,) = notices.recipients()
    with pytest.raises(SettingsError, match=r"do not fit HttpNotifier: .*'url'"):
        recipient.build()


def test_a_wrong_entry_and_a_broken_notifier_do_not_silence_the_others(
    hook: WebHook,
    configure: Callable[..., None],
    counted: Counter[tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(
        entry("no.such.Notifier", "failed"),
        entry(f"{__name__}.Broken", "failed"),
        entry(HTTP, "failed", http_conn_id="hook", url="x"),
        entry(HTTP, "failed", http_conn_id="hook"),
    )
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
    assert len(hook.notices) == 1
    assert counted == {("xray.notices.failed", "failed"): 3, ("xray.notices.sent", "failed"): 1}
    assert "no class no.such.Notifier" in caplog.text
    ours = [line.getMessage() for line in caplog.records if line.name == notices.__name__]
    assert any("Broken failed: ConnectionError" in line for line in ours)
    assert not any("hooks.example" in line for line in ours), "an address may be a secret"


def test_an_endpoint_that_refuses_is_a_failure(
    hook: WebHook, configure: Callable[..., None], counted: Counter[tuple[str, str]]
) -> None:
    hook.status = 500
    configure(entry(HTTP, "failed", http_conn_id="hook"))
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
    assert counted == {("xray.notices.failed", "failed"): 1}


def test_slow_notifiers_hold_nothing_up(
    hook: WebHook,
    configure: Callable[..., None],
    counted: Counter[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(notices, "LIMIT", 1.0)
    monkeypatch.setattr(Hanging, "end", threading.Event())
    slow = entry(f"{__name__}.Hanging", "failed")
    configure(slow, slow, entry(HTTP, "failed", http_conn_id="hook"))
    started = time.monotonic()
    try:
        notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
        assert 1.0 <= time.monotonic() - started < 1.9, "all share one limit"
    finally:
        Hanging.end.set()
    assert len(hook.notices) == 1, "the fast one is not behind the slow ones"
    assert counted == {("xray.notices.failed", "failed"): 2, ("xray.notices.sent", "failed"): 1}
    assert "Hanging has not answered within 1 s" in caplog.text


def test_notices_that_hang_do_not_pile_up(
    configure: Callable[..., None],
    counted: Counter[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(notices, "LIMIT", 0.1)
    monkeypatch.setattr(Hanging, "end", threading.Event())
    configure(*[entry(f"{__name__}.Hanging", "failed")] * (notices.MOST_UNDER_WAY + 1))
    before = threading.active_count()
    try:
        notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
        assert threading.active_count() - before == notices.MOST_UNDER_WAY
    finally:
        Hanging.end.set()
    assert "Hanging was not called: 20 notices are under way" in caplog.text
    assert counted["xray.notices.failed", "failed"] == notices.MOST_UNDER_WAY + 1


def test_a_cause_that_blocks_many_cases_is_told_once_an_hour(
    hook: WebHook,
    configure: Callable[..., None],
    told_causes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(entry(HTTP, "blocked", "failed", http_conn_id="hook"))
    for number in range(5):
        run = {"dag_id": "xray_case", "run_id": f"xray__{number}"}
        notices.tell(Event.BLOCKED, **run, sentence="The keys were rotated.")
        notices.tell(Event.FAILED, **run, sentence="The keys were rotated.")
    notices.tell(Event.BLOCKED, **RUN, sentence="The clock is wrong.")
    told = [notice["sentence"] for notice in hook.notices if notice["event"] == "blocked"]
    assert told == ["The keys were rotated.", "The clock is wrong."]
    assert len(hook.notices) == 7, "of other events, each is told"
    monkeypatch.setattr(notices, "BLOCKED_PAUSE", notices.BLOCKED_PAUSE * 0)
    notices.tell(Event.BLOCKED, **RUN, sentence="The clock is wrong.")
    assert len(hook.notices) == 8


def test_a_cause_is_told_though_it_cannot_be_noted(
    hook: WebHook,
    configure: Callable[..., None],
    told_causes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(Variable, "set", refuse)
    configure(entry(HTTP, "blocked", http_conn_id="hook"))
    notices.tell(Event.BLOCKED, **RUN, sentence="The clock is wrong.")
    told_causes["xray_notices_told"] = ["damaged"]
    notices.tell(Event.BLOCKED, **RUN, sentence="The clock is wrong.")
    assert len(hook.notices) == 2


def test_nothing_that_goes_wrong_reaches_the_caller(
    monkeypatch: pytest.MonkeyPatch, counted: Counter[tuple[str, str]]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(Variable, "get", refuse)
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
    assert counted == {("xray.notices.failed", "failed"): 1}
    monkeypatch.setattr(notices, "process_stats", refuse)
    notices.tell(Event.FAILED, **RUN, sentence=SENTENCE)
