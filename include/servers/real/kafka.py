"""Apache Kafka itself: one node in KRaft mode, on a free port.

The jars come from Maven Central, in the versions of ``pom.xml``; Java 17 and Maven must be
installed.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from include.servers.base import ProcessServer
from include.servers.processes import StartError, free_port, run_program, wait_until
from include.servers.real import CACHE, certificate, maven

POM = Path(__file__).with_name("pom.xml")
SECONDS = 60.0
"""Seconds that a request or a change of a topic may take."""
USER = "xray"
_LOGGING = """
status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = ${sys:kafka.log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""


@dataclass
class Kafka(ProcessServer):
    """A broker."""

    name: ClassVar[str] = "kafka"

    home: Path
    partitions: int = 3
    """The number of partitions of a topic that is created without one."""
    secure: bool = False
    """Whether clients must use TLS and log in."""
    env: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the broker."""
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def brokers(self) -> str:
        """The address that clients connect to."""
        return f"localhost:{self.port}"

    @property
    def client(self) -> dict[str, Any]:
        """The configuration that a client needs to reach the broker."""
        config: dict[str, Any] = {"bootstrap.servers": self.brokers}
        if self.secure:
            config |= {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "PLAIN",
                "sasl.username": USER,
                "sasl.password": self.password,
                "ssl.ca.location": str(self.home / "ca.pem"),
            }
        return config

    @property
    def log(self) -> Path:
        """The output of the process; Kafka's own log is ``kafka.log`` beside it."""
        return self.home / "kafka.out"

    def command(self) -> list[str]:
        """Return the command that runs the broker."""
        return [*self._java(), "kafka.Kafka", str(self._config_file)]

    def prepare(self) -> None:
        """Write the configuration and format the storage.

        Raises:
            StartError: Java, Maven or the jars are missing, or the storage cannot be formatted.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "log4j2.properties").write_text(_LOGGING)
        lines = (f"{name}={value}\n" for name, value in self._config().items())
        self._config_file.write_text("".join(lines))
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", "eHJheS10ZXN0cy0xMjM0NQ"]
        run_program(
            [*self._java(), *tool, "--config", str(self._config_file), "--standalone"],
            "Kafka's storage cannot be formatted",
            env=dict(self.environment()),
        )

    def answers(self) -> bool:
        """Return whether the broker answers, and the coordinator of the groups too."""
        try:
            self._admin.list_topics(timeout=2)
            with self._consumer("start") as consumer:
                consumer.committed([TopicPartition("start", 0)], timeout=2)
        except KafkaException:
            return False
        return True

    @property
    def _config_file(self) -> Path:
        return self.home / "kafka.properties"

    def _java(self) -> list[str]:
        """Return the command that runs a class of Kafka, without the class."""
        command = ["java", "-Xmx512m", "-XX:+UseSerialGC", f"-Dkafka.log={self.home / 'kafka.log'}"]
        command += [f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"]
        return [*command, "-cp", class_path()]

    def _config(self) -> dict[str, Any]:
        inside, control = free_port(), free_port()
        outside = "SASL_SSL" if self.secure else "PLAINTEXT"
        config = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": f"localhost:{control}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"CLIENT://localhost:{self.port},INSIDE://localhost:{inside},"
            f"CONTROLLER://localhost:{control}",
            "advertised.listeners": f"CLIENT://localhost:{self.port},INSIDE://localhost:{inside}",
            "listener.security.protocol.map": f"CLIENT:{outside},INSIDE:PLAINTEXT,"
            "CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INSIDE",
            "log.dirs": self.home / "data",
            "num.partitions": self.partitions,
            "auto.create.topics.enable": "true",
            "offsets.topic.replication.factor": 1,
            # One partition, so that a start can wait for the coordinator of all groups.
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "group.initial.rebalance.delay.ms": 0,
        }
        if self.secure:
            certificate.write_certificate(self.home / "ca.pem", self.home / "server.pem")
            login = "org.apache.kafka.common.security.plain.PlainLoginModule"
            config |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": self.home / "server.pem",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.client.plain.sasl.jaas.config": f"{login} required "
                f'user_{USER}="{self.password}";',
            }
        return {**config, **self.settings}

    def create_topic(self, name: str, partitions: int | None = None, **config: str) -> None:
        """Create a topic, and return once the broker lists it."""
        topic = NewTopic(name, partitions or self.partitions, 1, config=config)
        # For a moment after its deletion, a topic cannot be created again.
        wait_until(lambda: self._created(topic), f"the creation of topic {name}", seconds=SECONDS)
        wait_until(lambda: name in self._topics(), f"topic {name}", seconds=SECONDS)

    def _created(self, topic: NewTopic) -> bool:
        (future,) = self._admin.create_topics([topic]).values()
        try:
            future.result(SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def delete_topic(self, name: str) -> None:
        """Delete a topic, and return once the broker no longer lists it."""
        (future,) = self._admin.delete_topics([name]).values()
        future.result(SECONDS)
        wait_until(
            lambda: name not in self._topics(), f"the deletion of topic {name}", seconds=SECONDS
        )

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return the offset after the last message of each partition."""
        with self._consumer("ends") as consumer:
            return {
                part.partition: consumer.get_watermark_offsets(part, SECONDS)[1]
                for part in _partitions(consumer, topic)
            }

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the offset that a group has committed for each partition; 0 without one."""
        with self._consumer(group) as consumer:
            committed = consumer.committed(_partitions(consumer, topic), timeout=SECONDS)
            return {part.partition: max(0, part.offset) for part in committed}

    def _consumer(self, group: str) -> Consumer:
        return Consumer({**self.client, "group.id": group, "enable.auto.commit": False})

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({**self.client, "log_level": 2})

    def _topics(self) -> set[str]:
        return set(self._admin.list_topics(timeout=SECONDS).topics)


def _partitions(consumer: Consumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions
    return [TopicPartition(topic, number) for number in numbers]


def class_path() -> str:
    """Return Kafka's jars as a Java class path, downloaded on first use.

    Raises:
        StartError: Java or Maven is missing, or the jars cannot be downloaded.
    """
    if not shutil.which("java"):
        raise StartError("Apache Kafka needs Java 17 or later: install it, so that java runs.")
    file = CACHE / f"kafka-{sha256(POM.read_bytes()).hexdigest()[:16]}.classpath"
    if not file.exists() or not all(Path(jar).exists() for jar in file.read_text().split(":")):
        maven.write_class_path(POM, file, "Apache Kafka")
    return file.read_text().strip()
