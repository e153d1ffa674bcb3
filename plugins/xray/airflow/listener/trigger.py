"""The trigger behind the sensor: it listens for notifications until it is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from xray.airflow import config, connections, store_check
from xray.airflow.api import RunsClient
from xray.airflow.listener.consumer import NotificationConsumer
from xray.airflow.listener.dead_letters import DeadLetterProducer
from xray.airflow.listener.listener import Listener
from xray.airflow.listener.run_starter import RunStarter
from xray.airflow.unexpected import without_messages

log = logging.getLogger(__name__)


class NotificationTrigger(BaseTrigger):
    """Starts runs for bucket notifications until it is cancelled; it never fires.

    Args:
        topic: the topic of the notifications.
        dead_letter_topic: the topic for messages for which no run can be started.
        dag_id: the DAG to run.
        batch: messages in progress at once, at most.
        concurrency: API requests in progress at once, at most.
        unknown: arguments in the database that another version has written; they are ignored,
            so that an upgrade with a waiting listener needs no second start of it.
    """

    def __init__(
        self,
        topic: str = config.TOPIC,
        dead_letter_topic: str = config.DEAD_LETTER_TOPIC,
        dag_id: str = config.CASE_DAG,
        batch: int = 100,
        concurrency: int = 8,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            log.warning("Arguments of another version are ignored: %s", ", ".join(sorted(unknown)))
        self.topic = topic
        self.dead_letter_topic = dead_letter_topic
        self.dag_id = dag_id
        self.batch = batch
        self.concurrency = concurrency

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class and every argument, as Airflow stores them."""
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
        """Listen until cancelled.

        Raises:
            SettingsError: a connection or variable is missing or wrong.
        """
        with without_messages():
            await self._listen()
        yield TriggerEvent(None)  # Never reached: it makes this an asynchronous generator.

    async def _listen(self) -> None:
        keyring = await asyncio.to_thread(config.keyring)
        settings = await asyncio.to_thread(config.settings)
        store_check.start(config.bucket())
        connection = await BaseHook.aget_connection(connections.API_CONNECTION)
        client = RunsClient.from_connection(connection, concurrency=self.concurrency)
        async with client:
            listener = Listener(
                NotificationConsumer(self.topic),
                DeadLetterProducer(self.dead_letter_topic),
                RunStarter(client, dag_id=self.dag_id, keyring=keyring, settings=settings),
                batch=self.batch,
            )
            if own := self.task_instance:
                listener.watch_pause(client, own.dag_id)
            await listener.listen()
