"""From a message to its runs: read it, and start a run for each object it announces.

What may pass is waited for, however long; what can never work is a *dead
letter*, with a reason, and stops nothing. Which of the two a failure is shows
in the end by whether other runs start.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from collections import Counter

from xray.airflow.api import RunFailedError, RunRefusedError, RunsClient, Started
from xray.case import Source
from xray.errors import TransientError
from xray.notification import Notification, UnreadableError, parse
from xray.pseudonym import Keyring
from xray.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds between two tries of a call that keeps failing: they double, with jitter."""
COMPLAINT_SECONDS = 15.0
"""How often the same trouble is logged; hundreds of runs may wait for its end."""
OWN_FAULT_TRIES = 5
"""Failures of the API on one run, while it starts others, after which the run is to blame."""


class Answer:
    """What came of one message."""

    __slots__ = ("counts", "dead")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.dead: str | None = None
        """Why not all of its runs could be started, if so."""


class Backoff:
    """What keeps failing now: paces the tries, and logs it without flooding the log."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = ""
        self._said_at = float("-inf")

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._since if self._since is not None else 0.0

    def over(self) -> None:
        """Something worked."""
        if self._since is not None:
            log.info("Working again after %.0f s.", self.seconds)
            self._since, self._said = None, ""

    async def wait(self, error: TransientError, failures: int) -> None:
        """Tell it, and wait before the next try: the ``failures``-th has just gone wrong."""
        now = time.monotonic()
        self._since = self._since or now
        if str(error) != self._said or now - self._said_at >= COMPLAINT_SECONDS:
            log.warning("Trying again, nothing is lost: %s", error)
            self._said, self._said_at = str(error), now
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter


class RunStarter:
    """Answers messages.

    Args:
        client: starts the runs.
        dag_id: of what.
        keyring: what run ids are keyed with.
        settings: how messages are read.
        patient: whether to wait while the API is in trouble; if not, that is raised.
    """

    def __init__(
        self,
        client: RunsClient,
        *,
        dag_id: str,
        keyring: Keyring,
        settings: Settings,
        patient: bool = True,
    ) -> None:
        self.trouble = Backoff()
        self._client = client
        self._dag_id = dag_id
        self._keyring = keyring
        self._settings = settings
        self._patient = patient
        self._answered = 0
        """Runs that the API has taken."""

    async def answer(self, message: bytes | None) -> Answer:
        """Start the runs that a ``message`` asks for; returns once they exist or never can.

        Raises:
            TransientError: the API is in trouble, and this desk is not patient.
        """
        answer = Answer()
        try:
            notification = self._read(message, answer)
            answer.counts["skipped"] = len(notification.skipped)
            sources = map(Source.from_notification, notification.records)
            for outcome in await asyncio.gather(*map(self._start, sources)):
                if isinstance(outcome, Started):
                    answer.counts[outcome.value] += 1
                else:
                    answer.dead = outcome
        except TransientError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            # Its own words may quote the message, which holds the object key.
            answer.dead = f"Unexpected {type(error).__name__} in {last.name}, line {last.lineno}."
            log.error("%s", answer.dead)  # noqa: TRY400 - a traceback would quote it as well
        return answer

    def _read(self, message: bytes | None, answer: Answer) -> Notification:
        try:
            return parse(message, key_decoding=self._settings.key_decoding)
        except UnreadableError as error:
            answer.dead = str(error)
            return error.rest

    async def _start(self, source: Source) -> Started | str:
        """Start one run; or why that can never be."""
        run_id, conf = source.run_id(self._keyring), source.to_json()
        failures = own_fault = answered = 0
        while True:
            try:
                started = await self._client.start(self._dag_id, run_id, conf)
            except RunRefusedError as error:
                return str(error)
            except TransientError as error:
                if not self._patient:
                    raise
                if isinstance(error, RunFailedError) and self._answered > answered:
                    own_fault, answered = own_fault + 1, self._answered
                    if own_fault >= OWN_FAULT_TRIES:
                        return f"{error} It starts others, so this run is to blame."
                await self.trouble.wait(error, failures)
                failures += 1
            else:
                self._answered += 1
                self.trouble.over()
                return started
