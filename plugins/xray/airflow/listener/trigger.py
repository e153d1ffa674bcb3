"""The trigger behind the sensor: it listens for notifications until it is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from xray.airflow import config, connections, notices, store_check
from xray.airflow.api import RunsClient
from xray.airflow.listener import metrics
from xray.airflow.listener.backoff import Backoff
from xray.airflow.listener.consumer import NotificationConsumer
from xray.airflow.listener.dead_letters import DeadLetterProducer
from xray.airflow.listener.listener import Listener
from xray.airflow.listener.run_starter import RunStarter
from xray.airflow.unexpected import without_messages
from xray.errors import SettingsError, XrayError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from xray.pseudonym import Keyring
    from xray.settings import Settings

log = logging.getLogger(__name__)

FAIL_SECONDS = 300.0
"""How long the configuration may be incomplete until the trigger fails."""
RECHECK_SECONDS = 5.0
"""How often an incomplete configuration is read again."""


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
            SettingsError: a connection or Variable has been missing or wrong for
                :data:`FAIL_SECONDS`.
        """
        with without_messages():
            await self._listen()
        yield TriggerEvent(None)  # Never reached: it makes this an asynchronous generator.

    async def _listen(self) -> None:
        configuration = await self._wait_for_configuration()
        store_check.start(configuration.bucket)
        client = RunsClient.from_connection(configuration.api, concurrency=self.concurrency)
        async with client:
            starter = RunStarter(
                client,
                dag_id=self.dag_id,
                keyring=configuration.keyring,
                settings=configuration.settings,
                on_blocked=self._tell,
            )
            listener = Listener(
                NotificationConsumer(self.topic),
                DeadLetterProducer(self.dead_letter_topic),
                starter,
                client,
                sensor=self.sensor,
                batch=self.batch,
                on_blocked=self._tell,
            )
            if own := self.task_instance:
                listener.watch_pause(own.dag_id)
            await listener.listen()

    @property
    def sensor(self) -> str:
        """The name of the sensor in the metrics."""
        return str(self.task_instance.task_id) if self.task_instance else "sensor"

    async def _wait_for_configuration(self) -> Configuration:
        """Return the configuration, once it is complete.

        A trigger that fails is tried again within seconds, and a continuous DAG starts a run after
        each that has failed. So the trigger waits before it fails, and continues as soon as
        somebody has corrected the configuration.

        Raises:
            SettingsError: it has been incomplete for :data:`FAIL_SECONDS`.
        """
        backoff, told = Backoff(), False
        while True:
            try:
                configuration = await Configuration.read()
            except Exception as error:
                wrong, failure = _without_patient(error), error
            else:
                backoff.succeeded()
                metrics.blocked(self.sensor, 0)
                return configuration
            if backoff.seconds > FAIL_SECONDS:
                raise failure
            backoff.failed(wrong)
            metrics.blocked(self.sensor, backoff.seconds)
            metrics.heartbeat()
            if not told:
                told = True
                self._tell(str(wrong))
            await asyncio.sleep(RECHECK_SECONDS)

    def _tell(self, sentence: str) -> None:
        """Tell people that the listener waits for them, without waiting for that."""
        if own := self.task_instance:
            tell = functools.partial(
                notices.tell,
                notices.Event.BLOCKED,
                dag_id=own.dag_id,
                run_id=own.run_id,
                sentence=sentence,
            )
            run = contextvars.copy_context().run
            asyncio.get_running_loop().run_in_executor(None, run, tell)


class Configuration(NamedTuple):
    """What the listener needs besides the connection to Kafka, which it reads again and again."""

    keyring: Keyring
    settings: Settings
    api: Connection
    bucket: str

    @classmethod
    async def read(cls) -> Self:
        """Read the Variables, the connections and the name of the bucket.

        Raises:
            SettingsError: one is missing or wrong.
        """
        keyring = await asyncio.to_thread(config.keyring)
        settings = await asyncio.to_thread(config.settings)
        kafka = await BaseHook.aget_connection(connections.KAFKA_CONNECTION)
        connections.check_kafka_connection(kafka.extra_dejson)
        api = await BaseHook.aget_connection(connections.API_CONNECTION)
        return cls(keyring, settings, api, config.bucket())


def _without_patient(error: Exception) -> XrayError:
    """Return an error that may be logged: see :mod:`xray.airflow.unexpected`."""
    try:
        with without_messages():
            raise error
    except XrayError as known:
        return known
    except Exception as of_airflow:
        return SettingsError(str(of_airflow))
