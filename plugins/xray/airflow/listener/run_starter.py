"""From a message to its runs: parse the message, and start a run for each object in it.

An object that was created gets a case. One that was removed gets a run of ``xray_forget`` if the
setting ``follow_deletions`` is true.

A failure that may pass is waited for, however long it takes. A failure that
no retry can help makes the message a *dead letter* with a reason, and holds up
no other message. An error of the API that may be either (HTTP 500) is blamed
on the run once the API starts other runs while it keeps failing on this one.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from typing import Any

from xray.airflow import config
from xray.airflow.api import RunFailedError, RunRefusedError, RunsClient, Started
from xray.airflow.listener.backoff import Backoff
from xray.case import Source, forget
from xray.errors import TransientError
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

OWN_FAULT_TRIES = 5
"""The run is to blame after the API failed on it so often and started others in between."""


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
        wait: whether to wait while the API fails. Otherwise its error is raised.
    """

    def __init__(
        self,
        client: RunsClient,
        *,
        dag_id: str,
        keyring: Keyring,
        settings: Settings,
        wait: bool = True,
    ) -> None:
        self.backoff = Backoff()
        self._client = client
        self._dag_id = dag_id
        self._keyring = keyring
        self._settings = settings
        self._wait = wait
        self._runs_started = 0
        """Runs that the API has started or known, of all messages."""

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
        failures = own_faults = runs_started = 0
        while True:
            try:
                started = await self._client.start(dag_id, run_id, conf)
            except RunRefusedError as error:
                return str(error)
            except TransientError as error:
                if not self._wait:
                    raise
                if isinstance(error, RunFailedError) and self._runs_started > runs_started:
                    own_faults, runs_started = own_faults + 1, self._runs_started
                    if own_faults >= OWN_FAULT_TRIES:
                        return f"{error} It starts other runs, so this run is to blame."
                await self.backoff.wait(error, failures)
                failures += 1
            else:
                self._runs_started += 1
                self.backoff.succeeded()
                return started
