"""The Airflow connections that a deployment provides, and the clients made from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from xray import pacs
from xray.errors import BlockedError, SettingsError, TransientError

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from boto3.session import Session
    from botocore.loaders import Loader
    from botocore.session import Session as CoreSession

    from xray.storage import ObjectStore

S3_CONNECTION = "xray_s3"
"""Type aws: the object store. Its extra has an ``endpoint_url`` unless the store is AWS."""
KAFKA_CONNECTION = "xray_kafka"
"""Type kafka: the brokers and the consumer group."""
API_CONNECTION = "xray_api"
"""Type http: the REST API of this Airflow, with the login of a service account."""
PACS_CONNECTION = pacs.CONNECTION
"""Type http: the address of a PACS that speaks DICOMweb, for the setting ``outputs``."""
PACS_SECONDS = (5.0, 60.0)
"""The timeouts of a request to the PACS, to connect and to answer, in seconds. The ``timeout`` in
the connection's extra takes precedence."""
KAFKA_SECONDS = 10.0
"""The timeout of a single request to a Kafka broker, in seconds."""


def object_store() -> ObjectStore:
    """Return the object store of the connection ``xray_s3``."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    from xray.storage import ObjectStore

    hook = S3Hook(aws_conn_id=S3_CONNECTION)
    # Short timeouts: when the store is down, the task fails within seconds and is retried later,
    # so that it does not block a worker. The connection's own configuration takes precedence.
    timeouts = Config(
        connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}
    )
    session = _session(hook)
    _share_models(session)
    # Not the hook's own client: to name its caller in the user agent, the hook reads the source of
    # every function on the stack, which takes longer than all else here.
    client = session.client(
        "s3",
        endpoint_url=hook.conn_config.get_service_endpoint_url("s3"),
        config=timeouts.merge(hook.config),
        verify=hook.verify,
    )
    return ObjectStore(client)


_spare: list[CoreSession] = []
"""A session of botocore that was made before the fork, for the first client of each fork."""


def _session(hook: S3Hook) -> Session:
    """Return the session of a hook, with the spare session of botocore if it fits.

    To make one takes as long as to make a client. The hook does not take a session from outside, so
    the session is made here as the hook makes it for a connection that assumes no role.
    """
    from airflow.configuration import conf
    from boto3.session import Session

    connection = hook.conn_config
    own_factory = conf.get("aws", "session_factory", fallback=None)
    if not _spare or connection.role_arn or own_factory:
        return hook.get_session()
    return Session(botocore_session=_spare.pop(), **connection.session_kwargs)


def warm_up() -> None:
    """Read what botocore has to know of S3, for all clients of this process and of its forks."""
    import botocore.session
    from boto3.session import Session

    session = Session(aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
    _share_models(session)
    session.client("s3", region_name="us-east-1").get_paginator("list_objects_v2")
    # It reads no configuration before it is used, so that each task has the present one.
    _spare[:] = [botocore.session.get_session()]


def _share_models(session: Session) -> None:
    """Let a session use what others have read: the endpoints, and the model of S3.

    Each session would read them anew, which takes most of the time of making a client. boto3 has no
    public way to its botocore session.
    """
    core = session._session
    core.register_component("data_loader", _models(core.get_config_variable("data_path")))


@cache
def _models(data_path: str | None) -> Loader:
    from botocore.loaders import create_loader

    return create_loader(data_path)


def request_to_pacs(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> pacs.Answer:
    """Send a request to the PACS of the connection ``xray_pacs``: see :data:`xray.pacs.Request`.

    Raises:
        BlockedError: the connection is missing or wrong, or the certificate is not trusted.
        TransientError: there is no answer.
    """
    from airflow.providers.http.hooks.http import HttpHook
    from airflow.sdk.exceptions import AirflowNotFoundException
    from requests.exceptions import InvalidURL, RequestException, SSLError

    hook = HttpHook(method=method, http_conn_id=PACS_CONNECTION)
    try:
        extra = hook.get_connection(PACS_CONNECTION).extra_dejson
        options = {
            "timeout": extra.get("timeout", PACS_SECONDS),
            "check_response": False,
            "allow_redirects": False,  # A request that stores would become one that reads.
        }
        response = hook.run(path, body or None, dict(headers), options)
    except AirflowNotFoundException:
        raise BlockedError(pacs.NOT_DEFINED) from None
    except SSLError:
        raise BlockedError(
            "The certificate of the PACS is not trusted, or the PACS does not trust ours: correct "
            f"verify and cert in the extra of {PACS_CONNECTION}."
        ) from None
    except (InvalidURL, ValueError):
        raise BlockedError(
            f"The address of {PACS_CONNECTION} is wrong: correct its host, with http:// or https://."
        ) from None
    except RequestException as error:
        raise TransientError(f"The PACS does not answer ({type(error).__name__}).") from None
    return pacs.Answer(response.status_code, response.content)


def check_kafka_connection(config: Mapping[str, Any]) -> None:
    """Refuse a Kafka configuration with which the listener would lose messages.

    Args:
        config: the extra of the connection ``xray_kafka``.

    Raises:
        SettingsError: a property is missing or wrong. The message names the property, its value,
            and the value it must have.
    """
    problem = None
    if not config.get("bootstrap.servers"):
        problem = '"bootstrap.servers" is not set'
    elif str(config.get("enable.auto.commit", "true")).lower() != "false":
        problem = (
            f'"enable.auto.commit" must be false, not {config.get("enable.auto.commit", "unset")}: '
            "otherwise offsets are committed before their runs exist"
        )
    elif not config.get("group.id"):
        problem = '"group.id" is not set'
    elif config.get("auto.offset.reset") not in ("earliest", "smallest", "beginning"):
        problem = (
            '"auto.offset.reset" must be "earliest": otherwise a new consumer group skips the '
            "messages that are waiting"
        )
    if problem:
        raise SettingsError(f"The Airflow connection {KAFKA_CONNECTION}: {problem}.")
