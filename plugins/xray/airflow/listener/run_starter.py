"""From a message to its runs: parse the message, and start a run for each object in it.

An object that was created gets a case. One that was removed gets a run of ``xray_forget`` if the
setting ``follow_deletions`` is true.

A failure that may pass is waited for, however long it takes. A failure that
no retry can help makes the message a *dead letter* with a reason, and holds up
no other message. An error of the API that may be either (HTTP 500) is blamed
on the run if the API starts other runs reliably while it keeps failing on this
one for long: see :mod:`xray.airflow.listener.blame`.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from xray.airflow import config
from xray.airflow.api import RunFailedError, RunRefusedError, RunsClient, Started
from xray.airflow.listener.backoff import Backoff
from xray.airflow.listener.blame import Reliability, Suspicion
from xray.case import Source, forget
from xray.errors import BlockedError, TransientError
from xray.notification import (
    Notification,
    ObjectCreated,
    ObjectRemoved,
    UnreadableError,
    parse,
)
from xray.pseudonym import Keyring
from xray.settings import Settings

log = logging.getLogger(__name__)

TRIES = 8
"""How often a run is attempted that the API fails on, by a caller that does not wait."""


class StartResult:
    """The result of one message."""

    __slots__ = ("counts", "dead_letter_reason")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Counters by the names of the metrics: started, duplicate, skipped."""
        self.dead_letter_reason: str | None = None
        """Why some of the message's runs can never be started; None if all of them exist."""


class RunStarter:
    """Starts the runs of messages.

    Args:
        client: starts the runs.
        dag_id: the DAG of the cases.
        keyring: the secrets of the run ids and of the sealed object keys.
        settings: say how object keys are encoded in messages, and whether removals are followed.
        wait: whether to wait while the API fails. Otherwise its error is raised, and a run that
            it fails on is given up after :data:`TRIES`.
        on_blocked: called with the sentence that says what a person has to mend, once for each
            cause until a run starts.
    """

    def __init__(
        self,
        client: RunsClient,
        *,
        dag_id: str,
        keyring: Keyring,
        settings: Settings,
        wait: bool = True,
        on_blocked: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.backoff = Backoff()
        self._client = client
        self._dag_id = dag_id
        self._keyring = keyring
        self._settings = settings
        self._wait = wait
        self._on_blocked = on_blocked
        self._blocked_by = ""
        self._reliability = Reliability()

    async def start_runs(self, message: bytes | None) -> StartResult:
        """Start the runs of ``message``; return once each run exists or can never be started.

        Raises:
            TransientError: the API fails, and ``wait`` is false.
        """
        result = StartResult()
        try:
            notification = self._parse(message, result)
            result.counts["skipped"] = len(notification.skipped)
            starts = [self._start_case(one) for one in notification.records]
            if self._settings.follow_deletions:
                result.counts["skipped"] -= len(notification.removed)
                starts += [self._start_deletion(one) for one in notification.removed]
            for outcome in await asyncio.gather(*starts):
                if isinstance(outcome, Started):
                    result.counts[outcome.value] += 1
                else:
                    result.dead_letter_reason = outcome
        except TransientError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            # The text of the error may quote the message, which holds the object key.
            result.dead_letter_reason = (
                f"Unexpected {type(error).__name__} in {last.name}, line {last.lineno}."
            )
            # A traceback would quote the message, too.
            log.error("%s", result.dead_letter_reason)  # noqa: TRY400
        return result

    def _parse(self, message: bytes | None, result: StartResult) -> Notification:
        """Return the readable part of ``message``; note in ``result`` why some is unreadable."""
        try:
            notification = parse(message, key_decoding=self._settings.key_decoding)
        except UnreadableError as error:
            result.dead_letter_reason = str(error)
            notification = error.rest
        if self._settings.follow_deletions and notification.removal_error:
            result.dead_letter_reason = notification.removal_error
        return notification

    async def _start_case(self, created: ObjectCreated) -> Started | str:
        """Start the case of an object that was created: see :meth:`_start`."""
        source, keyring = Source.from_notification(created), self._keyring
        return await self._start(self._dag_id, source.run_id(keyring), source.to_conf(keyring))

    async def _start_deletion(self, removed: ObjectRemoved) -> Started | str:
        """Start the deletion of what was made of a removed object: see :meth:`_start`."""
        source, keyring = forget.removal_source(removed), self._keyring
        run_id, conf = forget.removal_run_id(source, keyring), forget.removal_conf(source, keyring)
        return await self._start(config.FORGET_DAG, run_id, conf)

    async def _start(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> Started | str:
        """Start one run, or return the reason why it can never be started."""
        failures, suspicion = 0, None
        while True:
            try:
                started = await self._client.start(dag_id, run_id, conf)
            except RunRefusedError as error:
                self._count_attempt(failures, failed=False)
                return str(error)
            except TransientError as error:
                self._count_attempt(failures, failed=True)
                if isinstance(error, RunFailedError):
                    suspicion = suspicion or Suspicion(self._reliability)
                    if suspicion.failed():
                        return f"{error} It starts other runs, so this run is to blame."
                    if not self._wait and failures + 1 >= TRIES:
                        return f"{error} It was tried {TRIES} times."
                elif not self._wait:
                    raise
                elif isinstance(error, BlockedError) and str(error) != self._blocked_by:
                    self._blocked_by = str(error)
                    self._on_blocked(self._blocked_by)
                await self.backoff.wait(error, failures)
                failures += 1
            else:
                self._count_attempt(failures, failed=False)
                self.backoff.succeeded()
                self._blocked_by = ""
                return started

    def _count_attempt(self, failures: int, *, failed: bool) -> None:
        """Count the attempt to start a run if it is the first one, after no ``failures``."""
        if not failures:
            self._reliability.count(failed=failed)
