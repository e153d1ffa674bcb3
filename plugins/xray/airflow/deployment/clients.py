"""The clients of a check and of a setup, made from the connections by the providers' hooks."""

from __future__ import annotations

import json
import logging
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from xray.airflow import connections

if TYPE_CHECKING:
    from airflow.sdk import Connection

PROCESS_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"
"""The environment variable by which Airflow's own commands, such as ``airflow connections test``,
let hooks read the metadata database. It is private; Airflow has no public way outside of a task."""
SECONDS = 15.0
"""How long a request to Kafka may take."""
_SECRET = re.compile(r"pass|secret|token|key|jaas|login|oauth", re.IGNORECASE)
_KEYS = re.compile(r"key[._](?:id|location|type|serializer)|\.location$", re.IGNORECASE)


@contextmanager
def plain_shell(stream: TextIO) -> Iterator[TextIO]:
    """Read connections and Variables as a server of Airflow does, and print the table alone.

    A connection is looked up in the secrets backend, in the environment and in the metadata
    database. Without this, hooks outside of a task do not see the database.

    Args:
        stream: standard output, or a stream in its place.

    Yields:
        The stream for the table.
    """
    before = os.environ.get(PROCESS_CONTEXT)
    os.environ[PROCESS_CONTEXT] = "server"
    try:
        with _alone(stream) as table:
            yield table
    finally:
        if before is None:
            del os.environ[PROCESS_CONTEXT]
        else:
            os.environ[PROCESS_CONTEXT] = before


@contextmanager
def _alone(stream: TextIO) -> Iterator[TextIO]:
    """Drop what Airflow, the hooks and the libraries print: it may quote a request or a secret.

    Yields:
        A stream to where ``stream`` leads.
    """
    stream.flush()
    with ExitStack() as stack:
        nothing = stack.enter_context(Path(os.devnull).open("w"))
        try:
            copy = os.dup(stream.fileno())
        except (OSError, ValueError):
            table = stream  # Not a file, so no library prints to it.
        else:
            table = stack.enter_context(os.fdopen(copy, "w", encoding=stream.encoding))
            # Libraries in C print to the descriptors themselves.
            for number in (1, 2):
                kept = os.dup(number)
                os.dup2(nothing.fileno(), number)
                stack.callback(_put_back, kept, number)
        stack.enter_context(redirect_stdout(nothing))
        stack.enter_context(redirect_stderr(nothing))
        # The handlers of logging may have streams of their own.
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        yield table


def _put_back(kept: int, number: int) -> None:
    """Let a file descriptor lead to where it led before."""
    os.dup2(kept, number)
    os.close(kept)


def secrets_of(connection: Connection) -> set[str]:
    """Return what must not be printed of a connection: its password and the secrets in its extra.

    Args:
        connection: of any type.
    """
    found = {connection.password} if connection.password else set()
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        return {*found, str(connection.extra)}
    return found | set(_secrets_in(extra))


def _secrets_in(extra: Any) -> Iterator[str]:
    """Yield the texts under names that sound like a secret, at any depth."""
    if not isinstance(extra, Mapping):
        return
    for name, value in extra.items():
        if isinstance(value, str) and _SECRET.search(name) and not _KEYS.search(name):
            yield value
        yield from _secrets_in(value)


def s3_hook(attempts: int = 3) -> Any:
    """Return the hook of the connection ``xray_s3``.

    Args:
        attempts: how often its client sends a request that fails.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(aws_conn_id=connections.S3_CONNECTION, config=_aws_config(attempts))


def topics_of_the_store() -> Any:
    """Return a client of the store's own topics, an API of Ceph that resembles AWS's SNS."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    # For requests with a body, this API of Ceph accepts only the older signature.
    hook: Any = AwsGenericHook(
        aws_conn_id=connections.S3_CONNECTION,
        client_type="sns",
        config=_aws_config(3, signature_version="s3"),
    )
    return hook.get_conn()


def _aws_config(attempts: int, **options: Any) -> Any:
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": attempts}
    return Config(connect_timeout=5, read_timeout=30, retries=retries, **options)


def health(connection: Connection) -> tuple[str, dict[str, Any]]:
    """Return the address of Airflow's API, and what it says of the health of Airflow's parts.

    It answers without a login, so that an account that is refused does not hide the health.

    Args:
        connection: the connection ``xray_api``.
    """
    import httpx

    from xray.airflow.session import ApiSession

    url = ApiSession.from_connection(connection).base_url.rstrip("/")
    verify = connection.extra_dejson.get("verify", True)
    context = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
    try:
        answer = httpx.get(f"{url}/api/v2/monitor/health", timeout=SECONDS, verify=context)
        return url, answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return url, {}


class Kafka:
    """Kafka's administration, by the account of the connection ``xray_kafka``."""

    def __init__(self) -> None:
        self.errors: list[Any] = []
        """What the client said about its connections, oldest first."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """The extra of the connection."""
        from airflow.sdk import BaseHook

        extra: dict[str, Any] = BaseHook.get_connection(connections.KAFKA_CONNECTION).extra_dejson
        return extra

    @property
    def brokers(self) -> str:
        """The addresses of the brokers, as configured."""
        return str(self.config.get("bootstrap.servers", ""))

    @property
    def group(self) -> str:
        """The consumer group of the listener."""
        return str(self.config.get("group.id", ""))

    @cached_property
    def admin(self) -> Any:
        """The admin client."""
        from airflow.providers.apache.kafka.hooks.client import KafkaAdminClientHook
        from confluent_kafka.admin import AdminClient

        errors = self.errors

        class Hook(KafkaAdminClientHook):
            """The provider's hook, whose client says why it has no connection."""

            def _get_client(self, config: dict[str, Any]) -> Any:
                return AdminClient(
                    {**config, "error_cb": errors.append}, logger=logging.getLogger(__name__)
                )

        return Hook(kafka_config_id=connections.KAFKA_CONNECTION).get_conn

    def failure(self, error: Any) -> str:
        """Return what is wrong with the brokers, and what to do.

        Args:
            error: the KafkaException of a request.
        """
        from confluent_kafka import KafkaError

        self.admin.poll(0.5)  # Lets the client tell its errors.
        codes = [one.code() for one in self.errors]
        name, where = connections.KAFKA_CONNECTION, f"at {self.brokers}"
        if KafkaError._AUTHENTICATION in codes:
            return f"Kafka refuses the login of the connection {name}: check its sasl properties."
        if KafkaError._SSL in codes:
            return (
                f"The TLS connection to Kafka {where} fails: check security.protocol and the ssl "
                f"properties of the connection {name}."
            )
        if KafkaError._RESOLVE in codes:
            return f"The name of a broker is unknown ({self.brokers}): check bootstrap.servers."
        return (
            f"Kafka does not answer {where} ({error.args[0].name()}): check bootstrap.servers and "
            f"security.protocol of the connection {name}, and that a broker runs."
        )
