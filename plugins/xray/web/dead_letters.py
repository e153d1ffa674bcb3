"""The page *Dead letters*: the newest letters, why they are there, and buttons for a replay.

The script of the page starts the run of ``xray_replay`` through Airflow's REST API, as the user, so
that Airflow decides who may do it, and its audit log has the name.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.responses import HTMLResponse

from xray.airflow import config, letters
from xray.airflow.letters import Letter, Newest
from xray.errors import TransientError, XrayError
from xray.web.pages import in_words, page, status_of

AT_ONCE = 4
"""How many requests may read the topic at once: each takes a thread of the server."""
DAY = timedelta(days=1)
FRESH_SECONDS = 60.0
"""How long a count is shown before the letters are counted again."""
STALE_SECONDS = 300.0
"""How long a count is shown at most."""

_readers = threading.BoundedSemaphore(AT_ONCE)


def show(reason: str | None, *, may_replay: bool) -> HTMLResponse:
    """Return the page. It blocks while the topic is read, a few seconds at most.

    Args:
        reason: only letters with this reason; None for all.
        may_replay: whether the user may start a replay.
    """
    try:
        found = _newest()
    except XrayError as error:
        return page("dead_letters.html", status_of(error), problem=str(error))
    now = datetime.now(UTC)
    return page(
        "dead_letters.html",
        200,
        problem="",
        topic=config.DEAD_LETTER_TOPIC,
        dag=config.REPLAY_DAG,
        reason=reason,
        may_replay=may_replay,
        on_topic=found.on_topic,
        complete=found.complete,
        exists=found.exists,
        count=len(found.letters),
        oldest=found.letters[-1].written if found.letters else now,
        reasons=_reasons(found.letters, now),
        letters=[
            {"letter": letter, "age": in_words(now - letter.written)}
            for letter in found.letters
            if reason is None or letter.reason == reason
        ],
    )


def _newest() -> Newest:
    if not _readers.acquire(blocking=False):
        raise TransientError("Others are reading them now: try again in a few seconds.")
    try:
        return letters.newest(config.DEAD_LETTER_TOPIC)
    finally:
        _readers.release()


def _reasons(found: list[Letter], now: datetime) -> list[dict[str, Any]]:
    """Return the reasons, the most frequent first, with the number and the age of the letters."""
    newest: dict[str, Letter] = {}
    for letter in found:
        newest.setdefault(letter.reason, letter)
    counts = Counter(letter.reason for letter in found)
    return [
        {
            "text": reason,
            "count": count,
            "newest": newest[reason],
            "age": in_words(now - newest[reason].written),
        }
        for reason, count in counts.most_common()
    ]


class DayCount:
    """How many letters were written within a day, for a page that does not wait for Kafka.

    A thread counts them when somebody asks, once a minute at most. A count is not known before
    that, and if the topic cannot be read.

    Args:
        read: reads the newest letters.
    """

    def __init__(self, read: Callable[[], Newest]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._begun = self._counted = float("-inf")
        self._text = ""

    def text(self) -> str:
        """Return the count, such as ``3`` or ``100+``; empty while it is not known."""
        now = time.monotonic()
        with self._lock:
            if now - self._begun >= FRESH_SECONDS:
                self._begun = now
                threading.Thread(target=self.count, daemon=True, name="xray-dead-letters").start()
            return self._text if now - self._counted < STALE_SECONDS else ""

    def count(self) -> None:
        """Count the letters."""
        try:
            text = in_a_day(self._read(), datetime.now(UTC))
        except Exception:  # The page of the letters says what is wrong.
            text = ""
        with self._lock:
            self._text, self._counted = text, time.monotonic()


def in_a_day(found: Newest, now: datetime) -> str:
    """Return how many letters were written within a day, with ``+`` if there may be more."""
    recent = sum(now - letter.written < DAY for letter in found.letters)
    cut_off = recent == len(found.letters) < found.on_topic
    return f"{recent:,}{'+' if cut_off or not found.complete else ''}"


day_count = DayCount(lambda: letters.newest(config.DEAD_LETTER_TOPIC))
"""The count of this process."""
