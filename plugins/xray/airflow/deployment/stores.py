"""The object store: the buckets, the rights on them, conditions, versions, announcements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from xray import conditions
from xray.airflow import config, connections
from xray.airflow.deployment import wanted
from xray.airflow.deployment.table import Answer, Mark, limit, problem, unknown, well
from xray.case import Buckets
from xray.errors import BlockedError, NotFoundError, TransientError, XrayError
from xray.storage import ObjectStore

PROBE = "probe/"
"""The prefix of the objects that try a bucket. Their keys name nothing."""
SETUP = "run python -m xray setup"
NOT_HERE = {"NotImplemented", "MethodNotAllowed", "XNotImplemented", "501", "405"}
"""The codes with which a store says that it has no such API."""


def answers(s3: Any) -> Iterator[Answer]:
    """Yield what the pipeline needs of the store, and what the store can do.

    Nothing is written to the landing bucket, because the store would announce it.

    Args:
        s3: a boto3 client of the connection ``xray_s3``.
    """
    store, buckets = ObjectStore(s3), Buckets(config.bucket())
    kept: dict[str, bool | None] = {}
    deletable = set()
    for bucket in wanted.buckets():
        try:
            next(iter(store.list(bucket, PROBE)), None)
        except BlockedError as error:
            yield problem(f"bucket {bucket}", _why_not_listed(error))
            continue
        except TransientError as error:
            check = f"Check endpoint_url of {connections.S3_CONNECTION}, and that the store runs."
            yield problem("store", f"{error} {check}")
            return
        except XrayError as error:
            yield problem(f"bucket {bucket}", _why_not_listed(error))
            continue
        kept[bucket] = keeps_versions(s3, bucket)
        if bucket == buckets.landing:
            yield _landing_answer(store, bucket)
        else:
            answer = rights_answer(s3, bucket, may_keep=bucket == buckets.audit)
            if answer.mark is Mark.WELL:
                deletable.add(bucket)
            yield answer
    if buckets.manifests in kept:
        yield from _condition_answers(s3, buckets.manifests, kept[buckets.manifests])
    if buckets.audit in kept:
        tried = buckets.audit in deletable and kept[buckets.audit] is False
        yield once_answer(store, buckets.audit, tried=tried)
    if buckets.landing in kept:
        yield announcement_answer(s3, buckets.landing)


def _why_not_listed(error: XrayError) -> str:
    """Return why a bucket cannot be listed, and what to do."""
    missing = "does not exist" in str(error)
    return f"The bucket does not exist: {SETUP}, or create it." if missing else str(error)


def _landing_answer(store: ObjectStore, bucket: str) -> Answer:
    """Return whether the images can be read, asked of an object that is not there."""
    try:
        store.get(bucket, _probe_key())
    except NotFoundError:
        pass
    except XrayError as error:
        return problem(f"bucket {bucket}", str(error))
    return well(f"bucket {bucket}", "It can be listed and read. Nothing was written to it.")


def rights_answer(s3: Any, bucket: str, *, may_keep: bool) -> Answer:
    """Return whether objects can be written, read and deleted, tried with one of its own.

    The deletion is tried first, so that no object is left where it is forbidden.

    Args:
        s3: a boto3 client.
        bucket: a bucket that the pipeline writes to.
        may_keep: whether the bucket may forbid deletions, as a bucket of audit records may.
    """
    name, store, key = f"bucket {bucket}", ObjectStore(s3), _probe_key()
    if _is_locked(s3, bucket):
        said = "Object lock keeps what is written, so writing was not tried."
        return unknown(name, f"It can be listed. {said} Send an image to try it: --send.")
    try:
        remove(s3, bucket, key)
    except XrayError as error:
        if may_keep:
            return limit(
                name,
                "It can be listed. It forbids deletions, so writing was not tried, and xray_forget "
                "cannot replace records: see docs/deletion.md.",
            )
        return problem(name, str(error))
    try:
        store.put(bucket, key, b"probe", content_type="text/plain")
        store.get(bucket, key)
    except XrayError as error:
        return problem(name, str(error))
    finally:
        left = not remove(s3, bucket, key)
    if left:
        return limit(
            name,
            "It can be listed, read, written and deleted from. It keeps versions, and the account "
            "may not delete those: empty ones of probe/ are left.",
        )
    return well(name, "It can be listed, read, written and deleted from.")


def remove(s3: Any, bucket: str, key: str) -> bool:
    """Delete an object of a check with all its versions; return whether none of them is left.

    Raises:
        ObjectError, TransientError: the store refuses the deletion, or cannot answer now.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    ObjectStore(s3).delete(bucket, key)
    try:
        listed = s3.list_object_versions(Bucket=bucket, Prefix=key)
        for version in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
            if version["Key"] == key and version.get("VersionId"):
                s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
    except ClientError as error:
        return _code(error) in NOT_HERE or not keeps_versions(s3, bucket)
    except BotoCoreError:
        return False
    return True


def keeps_versions(s3: Any, bucket: str) -> bool | None:
    """Return whether a bucket keeps versions; None if the store does not say."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return bool(s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled")
    except ClientError as error:
        return False if _code(error) in NOT_HERE else None
    except BotoCoreError:
        return None


def _is_locked(s3: Any, bucket: str) -> bool:
    """Return whether new objects of a bucket are locked."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = s3.get_object_lock_configuration(Bucket=bucket)
    except (BotoCoreError, ClientError):
        return False  # The store has no lock, or does not say: the deletion is tried first anyway.
    return bool(answer.get("ObjectLockConfiguration", {}).get("Rule"))


def _condition_answers(s3: Any, bucket: str, versions: bool | None) -> Iterator[Answer]:
    """Yield which conditional writes the bucket of manifests honours, and its versions."""
    if versions:
        yield problem(
            "versions of manifests",
            f"{bucket} keeps versions, and each would hold an object key: switch versions off "
            "(see docs/object-stores.md).",
        )
    elif versions is None:
        yield unknown("versions of manifests", f"The account may not ask whether {bucket} has any.")
    else:
        yield well("versions of manifests", f"{bucket} keeps none.")
    name = "conditional writes"
    if versions:
        yield unknown(name, "Not tried, because the store would keep versions of what tries them.")
        return
    try:
        found = conditions.probe(ObjectStore(s3), bucket)
    except XrayError as error:
        yield unknown(name, f"They could not be tried. {error}")
        return
    sentences = conditions.sentences(found, bucket)
    # Without a conditional delete, cases come out right but for a rare race.
    fails = not (found.create_once and found.compare_and_set and found.deleted_is_absent)
    for sentence in sentences:
        yield (problem if fails else limit)(name, sentence)
    if not sentences:
        yield well(name, "The store honours all conditions that cases rely on.")


def configured_events(s3: Any, bucket: str) -> list[tuple[str, list[str]]] | None:
    """Return where a bucket announces which events; None if the store has no API for it.

    Each is the ARN of a topic, a queue or a function, and the events.

    Raises:
        ClientError: the store refuses.
    """
    from botocore.exceptions import ClientError

    try:
        found = s3.get_bucket_notification_configuration(Bucket=bucket)
    except ClientError as error:
        if _code(error) in NOT_HERE:
            return None
        raise
    targets = [
        (str(one[arn]), list(one["Events"]))
        for kind, arn in KINDS.items()
        for one in found.get(kind, ())
    ]
    if "EventBridgeConfiguration" in found:
        targets.append(("EventBridge", [wanted.CREATIONS, wanted.REMOVALS]))
    return targets


def once_answer(store: ObjectStore, bucket: str, *, tried: bool) -> Answer:
    """Return whether the store refuses to write over an audit record.

    Args:
        store: the object store.
        bucket: the bucket of audit records.
        tried: whether what tries it can be removed without a trace.
    """
    name = "records are written once"
    if not tried:
        return unknown(
            name,
            f"Not tried, because what tries it would stay in {bucket}. The listener tries it with "
            "a record, and its log says what it found.",
        )
    sentences = conditions.audit_sentences(conditions.probe(store, bucket).create_once, bucket)
    if sentences:
        return limit(name, sentences[0])
    return well(name, "The store refuses to write over an object, as it must.")


KINDS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
"""The parts of a notification configuration, and the name of the ARN in each."""


def announces(targets: list[tuple[str, list[str]]], event: str) -> bool:
    """Return whether a target gets all events of a kind, such as ``s3:ObjectCreated:*``."""
    plain = event.removeprefix("s3:")
    return any(
        plain in (one.removeprefix("s3:") for one in events) or "s3:*" in events
        for _, events in targets
    )


def announcement_answer(s3: Any, bucket: str) -> Answer:
    """Return whether the landing bucket announces its uploads, and where."""
    from botocore.exceptions import BotoCoreError, ClientError

    name, seen = "announcements", "python -m xray check --send shows whether they arrive"
    try:
        targets = configured_events(s3, bucket)
    except (BotoCoreError, ClientError) as error:
        reason = _code(error) if isinstance(error, ClientError) else type(error).__name__
        return unknown(name, f"What {bucket} announces cannot be read ({reason}); {seen}.")
    if targets is None:
        return unknown(
            name,
            "This store has no API for them. versitygw and some others announce all buckets by "
            f"options of the server; {seen}.",
        )
    missing = [event for event in wanted.events() if not announces(targets, event)]
    if missing:
        return problem(
            name,
            f"{bucket} does not announce {' and '.join(missing)}: {SETUP}. If this store announces "
            f"by options of its server, as versitygw does, {seen}.",
        )
    arns = [arn for arn, events in targets if announces([(arn, events)], wanted.CREATIONS)]
    if any(arn.rpartition(":")[2] == config.TOPIC for arn in arns):
        return well(name, f"{bucket} announces uploads to the topic {config.TOPIC}.")
    return unknown(
        name,
        f"{bucket} announces uploads to {arns[0]}. Whether that leads to the Kafka topic "
        f"{config.TOPIC} is in the store's own settings; {seen}.",
    )


def _probe_key() -> str:
    return f"{PROBE}{uuid4().hex}"


def _code(error: Any) -> str:
    """Return the code of a ClientError; the HTTP status if it has none."""
    response: Mapping[str, Any] = error.response
    code = str(response.get("Error", {}).get("Code") or "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return "501" if status == 501 else code or str(status)
