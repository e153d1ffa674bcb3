"""The loop of the listener: receive messages, start their runs, commit their offsets.

Its contract: the offset of a message is committed only after all its runs
exist, or after the message was delivered to the dead-letter topic. Whatever
dies before the commit, Kafka delivers the message again, and a run that exists
is recognised by its id. So a message may be processed twice, and still starts
each run once.

While Kafka refuses the listener, it waits with another consumer, which reads the
connection again. It ends only if it is cancelled, or if its configuration would
lose messages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from xray.airflow import config
from xray.airflow.api import RunRefusedError, RunsClient
from xray.airflow.listener.backoff import Backoff
from xray.airflow.listener.consumer import NotificationConsumer, ReceivedMessage
from xray.airflow.listener.dead_letters import DeadLetterProducer
from xray.airflow.listener.partitions import FoundGap
from xray.airflow.listener.report import COUNTERS, LAG_SECONDS, Report
from xray.airflow.listener.run_starter import RunStarter
from xray.errors import BlockedError, TransientError

__all__ = ["COUNTERS", "Listener"]

log = logging.getLogger(__name__)

PAUSE_AFTER = 1.0
"""Seconds without capacity for a message, after which the consumer pauses its partitions."""
COMMIT_SECONDS = 0.5
"""How often offsets are committed while messages are in progress; otherwise at once."""
WATCH_SECONDS = 3.0
"""How often Airflow is asked whether the listener's DAG is paused."""
QUIET_SECONDS = 30.0
"""A consumer that was refused nothing for so long works, even if no message arrives."""
GAP_SECONDS = 600.0
"""How long a run of xray_reconcile for lost messages may be refused while other runs start."""


class Listener:
    """Receives messages while it has capacity, and commits the offsets of those it has finished.

    Args:
        consumer: the source of the messages.
        dead_letters: takes the messages for which no run can be started.
        starter: starts the runs.
        client: starts the runs that look for the objects of lost messages.
        sensor: the name of the sensor in the metrics.
        batch: messages in progress at once, at most.
        on_blocked: called with a sentence when Kafka refuses the listener.
    """

    def __init__(
        self,
        consumer: NotificationConsumer,
        dead_letters: DeadLetterProducer,
        starter: RunStarter,
        client: RunsClient,
        *,
        sensor: str = "sensor",
        batch: int = 100,
        on_blocked: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._consumer = consumer
        self._dead_letters = dead_letters
        self._starter = starter
        self._client = client
        self._batch = batch
        self._on_blocked = on_blocked
        self._blocked = Backoff()
        """How long Kafka has refused the consumer."""
        self._gap_backoff = Backoff()
        self._refused_at = float("-inf")
        self._in_progress: set[asyncio.Task[None]] = set()
        """A task for each message."""
        self._background: set[asyncio.Task[None]] = set()
        """All other tasks."""
        self._defect: BaseException | None = None
        """The first unexpected error of a task."""
        self._paused = False
        self._measures_lag = False
        self._report = Report(sensor)
        self._committed_at = 0.0

    async def listen(self) -> None:
        """Listen until cancelled.

        Raises:
            SettingsError: the configuration of the Kafka connection would lose messages.
        """
        failures = 0
        try:
            while True:
                try:
                    await self._consumer.open()
                    await self._receive_until_refused()
                except TransientError as error:
                    working = time.monotonic() - self._refused_at > QUIET_SECONDS
                    failures = 0 if working else failures + 1
                    await self._wait_while_refused(error, failures)
        finally:
            for task in self._background | self._in_progress:
                task.cancel()
            await self._consumer.close()
            self._consumer.stop()
            await self._dead_letters.close()
            self._report.end()

    async def _receive_until_refused(self) -> None:
        while True:
            messages: list[ReceivedMessage] = []
            if capacity := await self._wait_for_capacity():
                messages = await self._consumer.receive(capacity)
                for received in messages:
                    self._begin(received)
                for found in self._consumer.take_gaps():
                    self._report.lost(found.gap)
                    self._spawn(self._look_for_lost(found), self._background)
            else:
                await self._consumer.pause()
            if messages or time.monotonic() - self._refused_at > QUIET_SECONDS:
                self._blocked.succeeded()
            await self._commit_and_measure()
            if self._defect:
                raise self._defect

    async def _wait_while_refused(self, error: TransientError, failures: int) -> None:
        """Give up the consumer and wait a while. Messages in progress continue."""
        self._refused_at = time.monotonic()
        if not self._blocked.seconds and isinstance(error, BlockedError):
            self._on_blocked(str(error))
        await self._consumer.close()
        waiting = asyncio.create_task(self._blocked.wait(error, failures))
        try:
            while not waiting.done():
                self._report.lag_is_unknown()
                self._measure()
                await asyncio.wait({waiting}, timeout=LAG_SECONDS)
        finally:
            waiting.cancel()

    def watch_pause(self, dag_id: str) -> None:
        """Receive nothing while the DAG ``dag_id`` is paused: Airflow does not stop the trigger."""
        self._paused = True  # Until the API says that it is not.
        self._spawn(self._watch_pause(dag_id), self._background)

    async def _watch_pause(self, dag_id: str) -> None:
        backoff, failures, said, known = Backoff(), 0, False, False
        while True:
            try:
                paused = await self._client.is_paused(dag_id)
            except TransientError as error:
                # An account that may not read the DAG does not stop the listener.
                self._paused = self._paused and known
                failures += 1
                await backoff.wait(error, failures)
                continue
            backoff.succeeded()
            if paused != said:
                state = "paused: no message is received" if paused else "unpaused"
                log.info("%s is %s.", dag_id, state)
            self._paused = said = paused
            failures, known = 0, True
            await asyncio.sleep(WATCH_SECONDS)

    async def _wait_for_capacity(self) -> int:
        """Return how many more messages may be received now; if none, wait a moment first."""
        if self._paused:
            return 0
        if len(self._in_progress) >= self._batch:
            await asyncio.wait(
                self._in_progress, timeout=PAUSE_AFTER, return_when=asyncio.FIRST_COMPLETED
            )
        return max(0, self._batch - len(self._in_progress))

    def _begin(self, received: ReceivedMessage) -> None:
        self._report.counts["received"] += 1
        self._spawn(self._process(received), self._in_progress)

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        """Run ``work`` as one of ``tasks``; an unexpected error in it ends the listener."""

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled():
                self._defect = self._defect or task.exception()

        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(ended)

    async def _process(self, received: ReceivedMessage) -> None:
        """Process one message until its runs exist or it is a dead letter."""
        message = received.message
        result = await self._starter.start_runs(message.value())
        if result.dead_letter_reason is not None:
            await self._send_dead_letter(received, result.dead_letter_reason)
        self._consumer.finish(received.pending)
        self._report.finished(result.counts, message.timestamp()[1])

    async def _send_dead_letter(self, received: ReceivedMessage, reason: str) -> None:
        failures = 0
        while True:
            try:
                await self._dead_letters.send(received.message, reason)
            except TransientError as error:
                await self._starter.backoff.wait(error, failures)
                failures += 1
            else:
                self._report.counts["dead_lettered"] += 1
                return

    async def _look_for_lost(self, found: FoundGap) -> None:
        """Start the run that looks for the objects of lost messages; then they are finished."""
        gap, failures, began = found.gap, 0, time.monotonic()
        while True:
            try:
                await self._client.start(config.RECONCILE_DAG, gap.run_id, gap.conf)
                break
            except (TransientError, RunRefusedError) as error:
                stalled = self._starter.backoff.seconds > 0
                if isinstance(error, RunRefusedError) or (
                    not stalled and time.monotonic() - began > GAP_SECONDS
                ):
                    # The offsets of the partition cannot wait for it: Kafka would lose more.
                    log.error(  # noqa: TRY400 - the sentence says all
                        "%s cannot be started for lost messages; start it yourself with %s. %s",
                        config.RECONCILE_DAG,
                        gap.conf,
                        error,
                    )
                    break
                await self._gap_backoff.wait(error, failures)
                failures += 1
        self._gap_backoff.succeeded()
        self._consumer.finish(*found.pending)

    async def _commit_and_measure(self) -> None:
        """Commit offsets, and update the counters and gauges."""
        now = time.monotonic()
        if not self._in_progress or now - self._committed_at >= COMMIT_SECONDS:
            self._committed_at = now
            await self._consumer.commit()
            self._report.send_counts(len(self._in_progress))
        if self._report.measure_is_due(self._consumer.partitions):
            if not self._measures_lag:
                self._spawn(self._measure_lag(), self._background)
            self._measure()

    async def _measure_lag(self) -> None:
        self._measures_lag = True
        try:
            self._report.lag(await self._consumer.lag())
        finally:
            self._measures_lag = False

    def _measure(self) -> None:
        self._report.state(
            stalled=self._starter.backoff.seconds,
            blocked=self._blocked.seconds,
            paused=self._paused,
        )
