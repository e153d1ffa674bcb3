"""Apache Kafka itself: one node in KRaft mode, on a free port, gone when it is stopped.

Its jars come from Maven Central, the versions from ``pom.xml``; Java 17 and
Maven must be installed. Started again it is the same broker with the same data.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from include.servers.processes import Child, StartError, free_port, wait_until
from include.servers.real import CACHE, certificate

POM = Path(__file__).with_name("pom.xml")
SECONDS = 60.0
"""How long a start, or a change of a topic, may take."""
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
class Kafka:
    """A broker; a context manager."""

    home: Path
    partitions: int = 3
    """Of a topic that is made without saying how many."""
    secure: bool = False
    """Whether clients must use TLS and log in."""
    env: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """More of the broker's own settings."""
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _child: Child | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def brokers(self) -> str:
        """Its address."""
        return f"localhost:{self.port}"

    @property
    def client(self) -> dict[str, Any]:
        """What a client's configuration needs to reach it."""
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

    def start(self) -> None:
        """Start it, or start it again; returns when it answers."""
        command = ["java", "-Xmx512m", "-XX:+UseSerialGC", f"-Dkafka.log={self.home / 'kafka.log'}"]
        command += [f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"]
        command += ["-cp", class_path()]
        config = self.home / "kafka.properties"
        if not config.exists():
            self._prepare(config, command)
        self._child = Child(
            "kafka",
            [*command, "kafka.Kafka", str(config)],
            env=self._environment(),
            log=self.home / "kafka.out",
        )
        wait_until(self._answers, "Apache Kafka", seconds=SECONDS, children=[self._child])

    def _prepare(self, config: Path, command: list[str]) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "log4j2.properties").write_text(_LOGGING)
        config.write_text("".join(f"{name}={value}\n" for name, value in self._config().items()))
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", "eHJheS10ZXN0cy0xMjM0NQ"]
        done = subprocess.run(
            [*command, *tool, "--config", str(config), "--standalone"],
            env=self._environment(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise StartError(f"Kafka's storage could not be made: {done.stderr.decode()[-400:]}")

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
            # One, so that a start can wait for the coordinator of all groups.
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "group.initial.rebalance.delay.ms": 0,
        }
        if self.secure:
            certificate.make(self.home / "ca.pem", self.home / "server.pem")
            login = "org.apache.kafka.common.security.plain.PlainLoginModule"
            config |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": self.home / "server.pem",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.client.plain.sasl.jaas.config": f"{login} required "
                f'user_{USER}="{self.password}";',
            }
        return {**config, **self.settings}

    def stop(self) -> None:
        """End it orderly; it can be started again."""
        if self._child:
            self._child.ask_to_stop()
            self._child.process.wait(SECONDS)

    def kill(self) -> None:
        """End it at once; it can be started again."""
        if self._child and self._child.process.poll() is None:
            self._child.kill()

    def create_topic(self, name: str, partitions: int | None = None, **config: str) -> None:
        """Make a topic; returns once it is there."""
        topic = NewTopic(name, partitions or self.partitions, 1, config=config)
        # A topic deleted just now is refused for a moment.
        wait_until(lambda: self._created(topic), f"The topic {name}", seconds=SECONDS)
        wait_until(lambda: name in self._topics(), f"The topic {name}", seconds=SECONDS)

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
        """Delete a topic; returns once it is gone."""
        (future,) = self._admin.delete_topics([name]).values()
        future.result(SECONDS)
        wait_until(lambda: name not in self._topics(), f"{name}'s end", seconds=SECONDS)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset after the last message, of each partition."""
        with self._consumer("ends") as consumer:
            parts = consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions
            places = [TopicPartition(topic, part) for part in parts]
            return {p.partition: consumer.get_watermark_offsets(p, SECONDS)[1] for p in places}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The offset that a group has committed of each partition; 0 where none."""
        with self._consumer(group) as consumer:
            parts = consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions
            places = [TopicPartition(topic, part) for part in parts]
            found = consumer.committed(places, timeout=SECONDS)
            return {place.partition: max(0, place.offset) for place in found}

    def _consumer(self, group: str) -> Consumer:
        return Consumer({**self.client, "group.id": group, "enable.auto.commit": False})

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({**self.client, "log_level": 2})

    def _topics(self) -> set[str]:
        return set(self._admin.list_topics(timeout=SECONDS).topics)

    def _answers(self) -> bool:
        try:
            self._admin.list_topics(timeout=2)
            with self._consumer("start") as consumer:
                consumer.committed([TopicPartition("start", 0)], timeout=2)
        except KafkaException:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        return dict(self.env or os.environ)


def class_path() -> str:
    """Kafka's jars, as Java wants them; fetched once.

    Raises:
        StartError: Java or Maven is missing, or the jars cannot be had.
    """
    for program, package in (("java", "Java 17 or later"), ("mvn", "Apache Maven")):
        if not shutil.which(program):
            raise StartError(f"Apache Kafka needs {package}: install it, so that {program} runs.")
    known = CACHE / f"kafka-{sha256(POM.read_bytes()).hexdigest()[:16]}.classpath"
    if not known.exists() or not all(Path(jar).exists() for jar in known.read_text().split(":")):
        CACHE.mkdir(parents=True, exist_ok=True)
        goal = ["dependency:build-classpath", f"-Dmdep.outputFile={known}"]
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), *goal], capture_output=True, check=False
        )
        if done.returncode:
            raise StartError(f"Maven could not fetch Kafka: {done.stdout.decode()[-400:]}")
    return known.read_text().strip()
