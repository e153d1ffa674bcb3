"""Notices to people, through the notifiers of Airflow's providers: mail, a webhook, Slack, …

The Airflow Variable ``xray_notices`` says who is told of which events. A notice says
what has happened, and links to the case and to the run. It names no patient and no
object key.

A notice is sent after what it says is true. It never changes what becomes of a case: a
notifier that fails, or that takes too long, costs a warning and a count.
"""

from __future__ import annotations

import contextvars
import hashlib
import importlib
import inspect
import json
import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import Variable

from xray.airflow import config
from xray.airflow.addresses import case_link, run_address
from xray.airflow.stats import process_stats
from xray.case import RUN_PREFIX
from xray.errors import SettingsError

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

log = logging.getLogger(__name__)

LIMIT = 10.0
"""Seconds within which all notifiers of an event have to be done."""
MOST_UNDER_WAY = 20
"""Notices in progress in one process at most, those included that took too long."""
BLOCKED_PAUSE = timedelta(hours=1)
"""How long the same sentence is not told again as ``blocked``: all cases wait for one cause."""
JITTER = 2.0
"""Seconds that a blocked task waits at most, to see whether another one has told the cause."""
METRIC = "xray.notices."
"""What the names of the counters ``sent`` and ``failed`` start with."""
FIELDS = ("event", "sentence", "case_id", "label", "risk", "page", "link", "dag_id", "run_id")
"""What the templates in the arguments of a notifier can use."""
CASE = """\
{% if case_id %}Case {{ case_id }}{% if label %}: {{ label }}{% if risk %}, risk={{ risk }}\
{% endif %}{% endif %}{% endif %}"""
TEXT = "{{ sentence }}\n" + CASE + "\n{% if page %}{{ page }}\n{% endif %}{{ link }}"
DEFAULTS: dict[str, Any] = {
    "subject": "xray: {{ event }}{% if case_id %}, case {{ case_id }}{% endif %}",
    "html_content": "<p>{{ sentence | e }}</p>\n<p>" + CASE + "</p>\n"
    '<p>{% if page %}<a href="{{ page }}">The case</a> · {% endif %}'
    '<a href="{{ link }}">{{ link }}</a></p>',
    "json": {"text": TEXT, **{name: "{{ " + name + " }}" for name in FIELDS}},
    "text": TEXT,
    "message": TEXT,
}
"""What a notifier says if its arguments do not say it: by the names of its parameters."""
INSTEAD = {"html_content": ("template",), "json": ("data",)}
"""Arguments that take the place of a default."""

_under_way = threading.BoundedSemaphore(MOST_UNDER_WAY)


class Event(StrEnum):
    """What people can be told of. The values are data: the Variable holds them."""

    FAILED = "failed"
    """A case has failed for good."""
    QUARANTINED = "quarantined"
    """An image waits for a decision on its release."""
    REVIEW = "review"
    """A case waits for a review."""
    HIGH_RISK = "high_risk"
    """A result was published whose label is Pneumonia."""
    OVERDUE = "overdue"
    """A case is not through after ``[xray] case_minutes``."""
    BLOCKED = "blocked"
    """Cases or the listener wait until a person has mended the deployment."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """An entry of the Variable: a notifier, its events and its arguments."""

    notifier: type[BaseNotifier]
    events: frozenset[Event]
    arguments: Mapping[str, Any]

    def build(self) -> BaseNotifier:
        """Return the notifier, with the defaults for what its arguments do not say.

        Raises:
            SettingsError: the arguments do not fit the notifier.
        """
        known = inspect.signature(self.notifier).parameters
        defaults = {
            name: text
            for name, text in DEFAULTS.items()
            if name in known and not {name, *INSTEAD.get(name, ())} & set(self.arguments)
        }
        try:
            return self.notifier(**defaults, **self.arguments)
        except Exception as error:
            raise SettingsError(
                f"The arguments in the Airflow Variable {config.NOTICES_VARIABLE} do not fit "
                f"{self.notifier.__name__}: {error}."
            ) from None


def recipients() -> list[Recipient]:
    """Return the entries of the Airflow Variable ``xray_notices``.

    Raises:
        SettingsError: an entry is wrong.
    """
    return [_recipient(entry, place) for place, entry in enumerate(_entries(), 1)]


def tell(event: Event, *, dag_id: str, run_id: str, sentence: str, **facts: Any) -> None:
    """Tell people of an event. A failure is logged and counted, and never raised.

    The call waits :data:`LIMIT` seconds for the notifiers at most. Several calls that tell the same
    cause of ``blocked`` send one notice an hour.

    Args:
        event: what has happened.
        dag_id, run_id: the run to link to.
        sentence: what has happened, in words that name no patient and no object.
        facts: ``case_id`` (by default that of the run), ``label``, ``risk`` (0 to 1; None if it
            means nothing), ``link`` (by default to the run), and other values for the templates.
            ``page`` is added: the page of the case; an empty text if no case is known.
    """
    try:
        chosen = _chosen(event)
        if chosen and not (event is Event.BLOCKED and _told_already(sentence)):
            _send(chosen, event, _values(event, dag_id, run_id, sentence, facts))
    except Exception as error:
        _failed(event, f"unexpected {type(error).__name__}.")


def _chosen(event: Event) -> list[Recipient]:
    """Return who is told of an event. Entries that are wrong are logged and left out."""
    try:
        entries = _entries()
    except SettingsError as error:
        _failed(event, str(error))
        return []
    chosen = []
    for place, entry in enumerate(entries, 1):
        try:
            recipient = _recipient(entry, place)
        except SettingsError as error:
            _failed(event, str(error))
        else:
            chosen += [recipient] if event in recipient.events else []
    return chosen


def _told_already(sentence: str) -> bool:
    """Return whether a cause was told within the last hour; if not, note that it is told now.

    Many tasks fail at the same moment, and each reads and writes the Variable in two steps.
    Therefore each waits for a moment of its own before it looks a second time.
    """
    cause = hashlib.sha256(sentence.encode()).hexdigest()[:16]
    try:
        if cause in _told_causes():
            return True
        time.sleep(random.uniform(0, JITTER))  # noqa: S311 - jitter
        causes = _told_causes()
        if cause in causes:
            return True
        Variable.set(
            config.TOLD_VARIABLE,
            {**causes, cause: datetime.now(UTC).isoformat()},
            description="When a cause for which cases wait was told last",
            serialize_json=True,
        )
    except Exception as error:
        log.warning("It is not known what was told before (%s).", type(error).__name__)
    return False


def _told_causes() -> dict[str, str]:
    """Return when each cause was told, within the last hour."""
    told = Variable.get(config.TOLD_VARIABLE, default={}, deserialize_json=True)
    since = (datetime.now(UTC) - BLOCKED_PAUSE).isoformat()
    return {cause: at for cause, at in told.items() if at > since}


def _send(chosen: list[Recipient], event: Event, values: Mapping[str, Any]) -> None:
    """Call all notifiers at once, each in a thread of its own, and wait for them for a while."""
    end = time.monotonic() + LIMIT
    calls = [_Call(recipient, event, values) for recipient in chosen]
    for call in calls:
        call.wait(end - time.monotonic())


class _Call:
    """A call of a notifier, in a daemon thread: a thread that hangs ends with its process."""

    def __init__(self, recipient: Recipient, event: Event, values: Mapping[str, Any]) -> None:
        self._recipient, self._event, self._values = recipient, event, values
        self._problem: str | None = None
        self._thread: threading.Thread | None = None
        if _under_way.acquire(blocking=False):
            # In the triggerer, the context leads the lines of the log to the task.
            run = contextvars.copy_context().run
            self._thread = threading.Thread(target=run, args=(self._run,), daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the call, and count it."""
        name = self._recipient.notifier.__name__
        if self._thread is None:
            _failed(self._event, f"{name} was not called: {MOST_UNDER_WAY} notices are under way.")
            return
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            _failed(self._event, f"{name} has not answered within {LIMIT:g} s.")
        elif self._problem:
            _failed(self._event, f"{name} failed: {self._problem}")
        else:
            _count("sent", self._event)

    def _run(self) -> None:
        try:
            self._recipient.build()(dict(self._values))
        except SettingsError as error:
            self._problem = str(error)
        except BaseException as error:
            # The notifier has logged the message itself; an address in it may be a secret.
            self._problem = f"{type(error).__name__}."
        finally:
            _under_way.release()


def _entries() -> list[Any]:
    """Return the list in the Variable; an empty one if there is no Variable.

    The text is decoded here, because Airflow takes the default for a text that is no JSON.
    """
    text = Variable.get(config.NOTICES_VARIABLE, default="[]")
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if not isinstance(entries, list):
        raise SettingsError(
            f"The Airflow Variable {config.NOTICES_VARIABLE} must be a JSON list of objects with "
            '"notifier", "on" and "arguments".'
        )
    return entries


def _recipient(entry: Any, place: int) -> Recipient:
    """Return an entry of the Variable.

    Raises:
        SettingsError: the entry is wrong.
    """
    where = f"Entry {place} of the Airflow Variable {config.NOTICES_VARIABLE}"
    if not isinstance(entry, dict) or not {"notifier", "on"} <= set(entry):
        raise SettingsError(f'{where} must be an object with "notifier" and "on".')
    if unknown := set(entry) - {"notifier", "on", "arguments"}:
        raise SettingsError(
            f"{where} has the unknown field {min(unknown)!r}: the fields are notifier, on and "
            "arguments."
        )
    arguments = entry.get("arguments", {})
    if not isinstance(arguments, dict):
        raise SettingsError(f"{where}: the arguments must be a JSON object.")
    return Recipient(_notifier(entry["notifier"], where), _events(entry["on"], where), arguments)


def _events(names: Any, where: str) -> frozenset[Event]:
    known = ", ".join(Event)
    if not isinstance(names, list):
        raise SettingsError(f'{where}: "on" must be a list of events, out of {known}.')
    for name in names:
        if name not in list(Event):
            raise SettingsError(f"{where}: the event {name!r} is unknown. The events are {known}.")
    return frozenset(map(Event, names))


def _notifier(path: Any, where: str) -> type[BaseNotifier]:
    """Return the class with a dotted path."""
    from airflow.sdk import BaseNotifier

    module, _, name = str(path).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise SettingsError(f"{where}: there is no class {path}. {_package(str(path))}") from None
    if not (inspect.isclass(found) and issubclass(found, BaseNotifier)):
        raise SettingsError(f"{where}: {path} is not a notifier, a subclass of BaseNotifier.")
    return found


def _package(path: str) -> str:
    """Return the advice for a class that cannot be imported."""
    start, middle, _ = path.partition(".notifications.")
    if middle and start.startswith("airflow.providers."):
        package = "apache-" + start.replace(".", "-")
        return f"Install its package, {package}, in all components of Airflow."
    return "Check the path, and that its package is installed in all components of Airflow."


def _values(
    event: Event, dag_id: str, run_id: str, sentence: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the templates of a notifier can use. What is not known is an empty text."""
    is_case = run_id.startswith(RUN_PREFIX)
    named = run_id.removeprefix(RUN_PREFIX).split("__")[0] if is_case else ""
    case_id = facts.get("case_id") or named
    risk = facts.get("risk")
    return {
        **facts,
        "event": event.value,
        "sentence": sentence,
        "case_id": case_id,
        "label": facts.get("label") or "",
        "risk": "" if risk is None else f"{risk:.0%}",
        "page": case_link(case_id) if case_id else "",
        "link": facts.get("link") or run_address(dag_id, run_id),
        "dag_id": dag_id,
        "run_id": run_id,
    }


def _failed(event: Event, problem: str) -> None:
    log.warning("A notice of the event %s was not sent: %s", event.value, problem)
    _count("failed", event)


def _count(name: str, event: Event) -> None:
    try:
        process_stats().incr(METRIC + name, tags={"event": event.value})
    except Exception as error:
        log.warning("A notice was not counted (%s).", type(error).__name__)
