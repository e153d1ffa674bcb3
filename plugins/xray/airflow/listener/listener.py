"""The loop of the listener: receive messages, start their runs, commit their offsets.

Its contract: the offset of a message is committed only after all its runs
exist, or after the message was delivered to the dead-letter topic. Whatever
dies before the commit, Kafka delivers the message again, and a run that exists
is recognised by its id. So a message may be processed twice, and still starts
each run once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from xray.airflow.api import RunsClient
from xray.airflow.listener import metrics
from xray.airflow.listener.backoff import Backoff
from xray.airflow.listener.consumer import NotificationConsumer, ReceivedMessage
from xray.airflow.listener.dead_letters import DeadLetterProducer
from xray.airflow.listener.run_starter import RunStarter
from xray.errors import TransientError

log = logging.getLogger(__name__)

PAUSE_AFTER = 1.0
"""Seconds without capacity for a message, after which the consumer pauses its partitions."""
COMMIT_SECONDS = 0.5
"""How often offsets are committed while messages are in progress; otherwise at once."""
LAG_SECONDS = 5.0
"""How often the lag is measured."""
WATCH_SECONDS = 3.0
"""How often Airflow is asked whether the listener's DAG is paused."""
COUNTERS = ("received", "started", "duplicate", "skipped", "dead_lettered")
"""The counters in the order of the log line."""


class Listener:
    """Receives messages while it has capacity, and commits the offsets of those it has finished.

    Args:
        consumer: the source of the messages.
        dead_letters: takes the messages for which no run can be started.
        starter: starts the runs.
        batch: messages in progress at once, at most.
    """

    def __init__(
        self,
        consumer: NotificationConsumer,
        dead_letters: DeadLetterProducer,
        starter: RunStarter,
        *,
        batch: int = 100,
    ) -> None:
        self._consumer = consumer
        self._dead_letters = dead_letters
        self._starter = starter
        self._batch = batch
        self._in_progress: set[asyncio.Task[None]] = set()
        """A task for each message."""
        self._background: set[asyncio.Task[None]] = set()
        """All other tasks."""
        self._defect: BaseException | None = None
        """The first unexpected error of a task."""
        self._paused = False
        self._counts: Counter[str] = Counter()
        self._committed_at = self._lag_measured_at = 0.0

    async def listen(self) -> None:
        """Listen until cancelled.

        Raises:
            SettingsError: Kafka refuses the connection, or its configuration would lose messages.
        """
        try:
            await self._consumer.open()
            while True:
                if capacity := await self._wait_for_capacity():
                    for received in await self._consumer.receive(capacity):
                        self._begin(received)
                else:
                    await self._consumer.pause()
                await self._commit_and_measure()
                if self._defect:
                    raise self._defect
        finally:
            for task in self._background | self._in_progress:
                task.cancel()
            await self._consumer.close()
            self._dead_letters.close()

    def watch_pause(self, client: RunsClient, dag_id: str) -> None:
        """Receive nothing while the DAG ``dag_id`` is paused: Airflow does not stop the trigger."""
        self._spawn(self._watch_pause(client, dag_id), self._background)

    async def _watch_pause(self, client: RunsClient, dag_id: str) -> None:
        backoff, failures = Backoff(), 0
        while True:
            try:
                paused = await client.is_paused(dag_id)
            except TransientError as error:
                failures += 1
                await backoff.wait(error, failures)
                continue
            backoff.succeeded()
            failures = 0
            if paused != self._paused:
                state = "paused: no message is received" if paused else "unpaused"
                log.info("%s is %s.", dag_id, state)
                self._paused = paused
            await asyncio.sleep(WATCH_SECONDS)

    async def _wait_for_capacity(self) -> int:
        """Return how many more messages may be received now; if none, wait a moment first."""
        if self._paused:
            return 0
        if len(self._in_progress) >= self._batch:
            await asyncio.wait(
                self._in_progress, timeout=PAUSE_AFTER, return_when=asyncio.FIRST_COMPLETED
            )
        return self._batch - len(self._in_progress)

    def _begin(self, received: ReceivedMessage) -> None:
        self._counts["received"] += 1
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
        self._counts += result.counts
        if (sent := message.timestamp()[1]) > 0:
            metrics.to_run(max(0.0, time.time() - sent / 1000))

    async def _send_dead_letter(self, received: ReceivedMessage, reason: str) -> None:
        failures = 0
        while True:
            try:
                await self._dead_letters.send(received.message, reason)
            except TransientError as error:
                await self._starter.backoff.wait(error, failures)
                failures += 1
            else:
                self._counts["dead_lettered"] += 1
                return

    async def _commit_and_measure(self) -> None:
        """Commit offsets, and update the counters and gauges."""
        now = time.monotonic()
        if not self._in_progress or now - self._committed_at >= COMMIT_SECONDS:
            self._committed_at = now
            await self._consumer.commit()
            self._report()
        if now - self._lag_measured_at >= LAG_SECONDS:
            self._lag_measured_at = now
            metrics.lag(await self._consumer.lag())
            metrics.stalled(self._starter.backoff.seconds)

    def _report(self) -> None:
        """Log what was done since the last report, and add it to the metrics."""
        counts, self._counts = self._counts, Counter()
        if counts:
            log.info(
                "%d messages: %d runs started, %d duplicates, %d parts skipped, "
                "%d dead letters; %d messages in progress",
                *(counts[name] for name in COUNTERS),
                len(self._in_progress),
            )
            metrics.count(counts)
