"""The trigger behind the sensor: notifications in, one DAG run each out.

Its contract: an offset is committed only after every run that its message asks
for exists, or after the message has been delivered to the dead-letter topic.
Whatever dies in between, the message comes again; a run that exists already is
recognised by its id. So a message may be worked on twice, and starts one run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from xray.airflow import config, connections
from xray.airflow.api import RunsClient
from xray.airflow.listener import metrics
from xray.airflow.listener.consumer import DeadLetters, Intake, Taken
from xray.airflow.listener.run_starter import Backoff, RunStarter
from xray.errors import TransientError

log = logging.getLogger(__name__)

REST_AFTER = 1.0
"""Seconds without room for a message after which the consumer pauses its partitions and polls."""
COMMIT_SECONDS = 0.5
"""How often offsets are committed in a burst; otherwise at once."""
LAG_SECONDS = 5.0
"""How often the lag is measured."""
PAUSE_SECONDS = 3.0
"""How often the listener's DAG is asked whether it is paused."""


class NotificationTrigger(BaseTrigger):
    """Starts runs for bucket notifications until it is cancelled; it never fires.

    Args:
        topic: where the notifications are.
        dead_letter_topic: where messages go that no run can be started for.
        dag_id: the DAG to start.
        batch: messages under way at once, at most.
        concurrency: calls of the API under way at once, at most.
    """

    def __init__(
        self,
        topic: str = config.TOPIC,
        dead_letter_topic: str = config.DEAD_LETTER_TOPIC,
        dag_id: str = config.CASE_DAG,
        batch: int = 100,
        concurrency: int = 8,
    ) -> None:
        super().__init__()
        self.topic = topic
        self.dead_letter_topic = dead_letter_topic
        self.dag_id = dag_id
        self.batch = batch
        self.concurrency = concurrency

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class's path and every argument, as Airflow stores them."""
        return (
            "xray.airflow.listener.trigger.NotificationTrigger",
            {
                "topic": self.topic,
                "dead_letter_topic": self.dead_letter_topic,
                "dag_id": self.dag_id,
                "batch": self.batch,
                "concurrency": self.concurrency,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Listen for ever.

        Raises:
            SettingsError: a connection or variable is missing or wrong.
        """
        keyring = await asyncio.to_thread(config.keyring)
        settings = await asyncio.to_thread(config.settings)
        connection = await BaseHook.aget_connection(connections.API_CONNECTION)
        client = RunsClient.from_connection(connection, concurrency=self.concurrency)
        async with client:
            desk = RunStarter(client, dag_id=self.dag_id, keyring=keyring, settings=settings)
            listener = Listener(
                Intake(self.topic), DeadLetters(self.dead_letter_topic), desk, room=self.batch
            )
            if own := self.task_instance:
                listener.watch(client, own.dag_id)
            await listener.listen()
        yield TriggerEvent(None)  # Never reached: it makes this an asynchronous generator.


class Listener:
    """Takes messages as long as there is room for them, and commits what is done.

    Args:
        intake: where they come from.
        dead_letters: where those go that no run can be started for.
        desk: what starts the runs.
        room: messages under way at once, at most.
    """

    def __init__(
        self, intake: Intake, dead_letters: DeadLetters, desk: RunStarter, *, room: int = 100
    ) -> None:
        self._intake = intake
        self._dead_letters = dead_letters
        self._desk = desk
        self._room = room
        self._under_way: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        """What goes on beside the messages."""
        self._defect: BaseException | None = None
        self._paused = False
        self._counts: Counter[str] = Counter()
        self._committed = self._measured = 0.0

    async def listen(self) -> None:
        """Listen until cancelled."""
        try:
            await self._intake.open()
            while True:
                if room := await self._wait_for_room():
                    for taken in await self._intake.take(room):
                        self._begin(taken)
                else:
                    await self._intake.rest()
                await self._settle()
                if self._defect:
                    raise self._defect
        finally:
            for task in self._tasks | self._under_way:
                task.cancel()
            await self._intake.close()
            self._dead_letters.close()

    def watch(self, client: RunsClient, dag_id: str) -> None:
        """Stop the intake while the listener's own DAG is paused: Airflow does not."""
        self._spawn(self._watch(client, dag_id), self._tasks)

    async def _watch(self, client: RunsClient, dag_id: str) -> None:
        trouble, failures = Backoff(), 0
        while True:
            try:
                paused = await client.is_paused(dag_id)
            except TransientError as error:
                failures += 1
                await trouble.wait(error, failures)
                continue
            trouble.over()
            failures = 0
            if paused != self._paused:
                log.info("%s is %s.", dag_id, "paused: nothing is taken" if paused else "unpaused")
                self._paused = paused
            await asyncio.sleep(PAUSE_SECONDS)

    async def _wait_for_room(self) -> int:
        """How many more messages can be taken now; waits a moment for room, if there is none."""
        if self._paused:
            return 0
        if len(self._under_way) >= self._room:
            await asyncio.wait(
                self._under_way, timeout=REST_AFTER, return_when=asyncio.FIRST_COMPLETED
            )
        return self._room - len(self._under_way)

    def _begin(self, taken: Taken) -> None:
        self._counts["received"] += 1
        self._spawn(self._work(taken), self._under_way)

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        """Do ``work`` beside; a defect in it ends the listener rather than go unnoticed."""

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled():
                self._defect = self._defect or task.exception()

        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(ended)

    async def _work(self, taken: Taken) -> None:
        """One message, until its runs exist or it is kept as a dead letter."""
        message = taken.message
        answer = await self._desk.answer(message.value())
        if answer.dead is not None:
            await self._bury(taken, answer.dead)
        self._intake.done(taken.ticket)
        self._counts += answer.counts
        if (sent := message.timestamp()[1]) > 0:
            metrics.to_run(max(0.0, time.time() - sent / 1000))

    async def _bury(self, taken: Taken, reason: str) -> None:
        failures = 0
        while True:
            try:
                await self._dead_letters.keep(taken.message, reason)
            except TransientError as error:
                await self._desk.trouble.wait(error, failures)
                failures += 1
            else:
                self._counts["dead_lettered"] += 1
                return

    async def _settle(self) -> None:
        """Commit, and tell what was done."""
        now = time.monotonic()
        if not self._under_way or now - self._committed >= COMMIT_SECONDS:
            self._committed = now
            await self._intake.commit()
            self._tell()
        if now - self._measured >= LAG_SECONDS:
            self._measured = now
            metrics.lag(await self._intake.behind())
            metrics.stalled(self._desk.trouble.seconds)

    def _tell(self) -> None:
        counts, self._counts = self._counts, Counter()
        if counts:
            log.info(
                "%d messages: %d runs started, %d already there, %d parts skipped, "
                "%d dead letters; %d messages under way",
                *(counts[name] for name in COUNTERS),
                len(self._under_way),
            )
            metrics.count(counts)


COUNTERS = ("received", "started", "duplicate", "skipped", "dead_lettered")
