"""xray.storage, on an S3 server"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.stub import Stubber

from xray.errors import (
    BlockedError,
    ConflictError,
    ForbiddenError,
    ImageError,
    NotFoundError,
    ObjectError,
    TransientError,
    XrayError,
)
from xray.storage import ObjectStore

BUCKET = "xray-data-in"


def test_a_missing_bucket_is_named(s3: Any, store: ObjectStore) -> None:
    with pytest.raises(BlockedError, match="nowhere does not exist"):
        store.get("nowhere", "k")


def test_a_store_that_is_away_is_a_passing_failure() -> None:
    import boto3
    from botocore.config import Config

    away = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"max_attempts": 1}),
    )
    with pytest.raises(TransientError, match="EndpointConnectionError"):
        ObjectStore(away).get("b", "k")


@pytest.mark.parametrize("given", [{}, {"access_key": "a"}])
def test_without_credentials_a_person_has_to_mend_it(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.session

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["access_key"])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")

    class Client:
        def get_object(self, **_: str) -> None:
            session = botocore.session.Session()
            session.create_client(
                "s3", region_name="us-east-1", endpoint_url="http://127.0.0.1:9"
            ).get_object(Bucket="b", Key="k")

    with pytest.raises(BlockedError, match="There are no S3 credentials: set them in the Airflow"):
        ObjectStore(Client()).get("b", "k")


def test_an_object_written_once_is_never_overwritten(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"one", content_type="text/plain", once=True)
    with pytest.raises(ConflictError):
        store.put(BUCKET, "k", b"two", content_type="text/plain", once=True)
    assert store.get(BUCKET, "k").data == b"one"


def test_an_object_is_written_only_over_the_one_that_was_looked_at(
    s3: Any, store: ObjectStore
) -> None:
    one = store.put(BUCKET, "k", b"one", content_type="text/plain")
    two = store.put(BUCKET, "k", b"two", content_type="text/plain", over=one)
    with pytest.raises(ConflictError, match="not what it was when it was looked at"):
        store.put(BUCKET, "k", b"three", content_type="text/plain", over=one)
    assert store.get(BUCKET, "k").data == b"two"
    store.delete(BUCKET, "k")
    with pytest.raises(ConflictError):
        store.put(BUCKET, "k", b"three", content_type="text/plain", over=two)
    assert store.head(BUCKET, "k") is None


def test_an_object_is_deleted_only_if_it_is_the_one_that_was_looked_at(
    s3: Any, store: ObjectStore
) -> None:
    one = store.put(BUCKET, "k", b"one", content_type="text/plain")
    two = store.put(BUCKET, "k", b"two", content_type="text/plain")
    with pytest.raises(ConflictError):
        store.delete(BUCKET, "k", etag=one)
    assert store.get(BUCKET, "k").data == b"two"
    for _ in range(2):
        store.delete(BUCKET, "k", etag=two)
    assert store.head(BUCKET, "k") is None


UNCLEAR = [
    ("UnknownError", 500, TransientError),  # Ceph, if another write wins
    ("ConditionalRequestConflict", 409, TransientError),  # AWS, if a delete wins
    ("AccessDenied", 403, ForbiddenError),  # versitygw, if the object is locked
]


@pytest.mark.parametrize(("code", "status", "kind"), UNCLEAR)
def test_an_unclear_answer_is_a_conflict_if_the_object_has_changed(
    s3: Any, store: ObjectStore, code: str, status: int, kind: type[XrayError]
) -> None:
    other = {"ETag": '"b"', "Metadata": {}, "LastModified": datetime.now(UTC), "ContentLength": 1}
    for condition in ({"over": "a"}, {"once": True}):
        with Stubber(s3) as answers:
            answers.add_client_error("put_object", code, http_status_code=status)
            answers.add_response("head_object", other)
            with pytest.raises(ConflictError):
                store.put(BUCKET, "k", b"", content_type="text/plain", **condition)  # type: ignore[arg-type]
            answers.assert_no_pending_responses()


@pytest.mark.parametrize(("code", "status", "kind"), UNCLEAR)
def test_an_unclear_answer_is_no_conflict_if_the_condition_holds(
    s3: Any, store: ObjectStore, code: str, status: int, kind: type[XrayError]
) -> None:
    same = {"ETag": '"a"', "Metadata": {}, "LastModified": datetime.now(UTC), "ContentLength": 1}
    with Stubber(s3) as answers:
        answers.add_client_error("put_object", code, http_status_code=status)
        answers.add_response("head_object", same)
        answers.add_client_error("put_object", code, http_status_code=status)
        answers.add_client_error("head_object", "AccessDenied", http_status_code=403)
        answers.add_client_error("put_object", code, http_status_code=status)
        for condition in ({"over": "a"}, {"once": True}, {}):
            with pytest.raises(kind, match=code if status != 403 else "forbids writing") as caught:
                store.put(BUCKET, "k", b"", content_type="text/plain", **condition)  # type: ignore[arg-type]
            assert not isinstance(caught.value, ConflictError)
        answers.assert_no_pending_responses()


def test_a_delete_that_meets_another_request_is_a_conflict(s3: Any, store: ObjectStore) -> None:
    with Stubber(s3) as answers:
        for _ in range(2):
            answers.add_client_error(
                "delete_object", "ConditionalRequestConflict", http_status_code=409
            )
        with pytest.raises(ConflictError):
            store.delete(BUCKET, "k", etag="a")
        with pytest.raises(TransientError):
            store.delete(BUCKET, "k")


def test_a_repeated_write_can_be_refused_though_it_was_written(s3: Any, store: ObjectStore) -> None:
    """The client repeats a request whose answer was lost; the caller finds its own object."""
    lost = iter([True])
    original = s3._endpoint.http_session.send

    def send(request: Any) -> Any:
        answer = original(request)
        if request.method == "PUT" and next(lost, False):
            raise ConnectionClosedError(endpoint_url="https://store")
        return answer

    s3._endpoint.http_session.send = send
    with pytest.raises(ConflictError):
        store.put(BUCKET, "k", b"one", content_type="text/plain", once=True)
    assert store.get(BUCKET, "k").data == b"one"


def test_a_listing_goes_past_one_page(s3: Any, store: ObjectStore) -> None:
    for number in range(1005):
        s3.put_object(Bucket=BUCKET, Key=f"many/{number:05d}", Body=b"")
    assert sum(1 for _ in store.list(BUCKET, "many/")) == 1005


def test_an_object_is_pinned_by_its_version_or_etag(s3: Any, store: ObjectStore) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    store.put(BUCKET, "k", b"one", content_type="text/plain")
    first = store.get(BUCKET, "k")
    store.put(BUCKET, "k", b"two", content_type="text/plain")
    assert store.get(BUCKET, "k", version_id=first.version_id) == first
    with pytest.raises(ObjectError, match="was replaced since its notification"):
        store.get(BUCKET, "k", etag=first.etag)


def test_an_object_above_the_limit_is_not_read(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"four", content_type="text/plain")
    assert store.get(BUCKET, "k", max_bytes=4).data == b"four"
    with pytest.raises(ImageError, match="has 4 bytes; the limit max_bytes is 3"):
        store.get(BUCKET, "k", max_bytes=3)


def test_an_object_is_read_in_chunks(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"a picture", content_type="image/png")
    stream = store.stream(BUCKET, "k", chunk_size=4)
    assert (stream.content_type, stream.size) == ("image/png", 9)
    assert list(stream.chunks) == [b"a pi", b"ctur", b"e"]
    stream.close()
    with pytest.raises(NotFoundError):
        store.stream(BUCKET, "absent")


def test_a_store_that_stops_in_the_middle_is_a_passing_failure() -> None:
    from botocore.exceptions import ReadTimeoutError

    class Body:
        closed = False

        def iter_chunks(self, size: int) -> Iterator[bytes]:
            yield b"some"
            raise ReadTimeoutError(endpoint_url="https://store/Ada Ashgrove")

        def close(self) -> None:
            self.closed = True

    class Client:
        body = Body()

        def get_object(self, **_: Any) -> dict[str, Any]:
            return {"Body": self.body, "ContentLength": 9, "ContentType": "image/png"}

    stream = ObjectStore(Client()).stream(BUCKET, "k")
    assert next(stream.chunks) == b"some"
    with pytest.raises(TransientError, match=r"reading from xray-data-in \(ReadTimeoutError\)"):
        next(stream.chunks)
    stream.close()
    assert Client.body.closed


def test_metadata_is_read_without_the_object(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"", content_type="text/plain", metadata={"case-id": "c"})
    head = store.head(BUCKET, "k")
    assert head is not None
    assert head.metadata == {"case-id": "c"}
    assert head.etag == store.get(BUCKET, "k").etag
    assert store.head(BUCKET, "absent") is None


def test_deleting_an_absent_object_is_not_an_error(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"", content_type="text/plain")
    for _ in range(2):
        store.delete(BUCKET, "k")
    assert list(store.list(BUCKET)) == []


@pytest.mark.parametrize(
    ("code", "status", "kind", "message"),
    [
        ("NoSuchKey", 404, NotFoundError, "The object is not in xray-data-in."),
        ("NoSuchBucket", 404, BlockedError, "The bucket xray-data-in does not exist"),
        ("PreconditionFailed", 412, ObjectError, "was replaced"),
        ("AccessDenied", 403, ForbiddenError, "forbids reading from xray-data-in: check"),
        ("SomethingElse", 401, ForbiddenError, "forbids reading from xray-data-in: check"),
        ("403", 403, ForbiddenError, "check the permissions, and the access key"),  # HEAD
        ("400", 400, BlockedError, "without a reason: check the keys"),  # HEAD
        ("InvalidAccessKeyId", 403, BlockedError, "correct the access key and the secret key"),
        ("SignatureDoesNotMatch", 403, BlockedError, "correct the access key and the secret"),
        ("ExpiredToken", 400, BlockedError, "correct the access key and the secret key"),
        ("RequestTimeTooSkewed", 403, BlockedError, "set the clock of the worker"),
        ("QuotaExceeded", 403, BlockedError, r"\(QuotaExceeded\): it is full"),
        ("XMinioStorageFull", 507, BlockedError, "Make room"),
        ("AuthorizationHeaderMalformed", 400, BlockedError, "correct the region"),
        ("KMS.DisabledException", 400, BlockedError, "check the encryption key"),
        ("InvalidObjectState", 403, ObjectError, "is archived, .* restore it .*, then clear"),
        ("SlowDown", 503, TransientError, r"not available for reading from .* \(SlowDown\)"),
        ("TooManyRequests", 429, TransientError, "now"),
        ("InternalError", 500, TransientError, "InternalError"),
        ("RequestTimeout", 400, TransientError, "RequestTimeout"),
        ("InvalidArgument", 400, ObjectError, r"refuses reading from .* \(InvalidArgument\)"),
    ],
)
def test_every_answer_of_the_store_is_one_of_our_errors(
    s3: Any, store: ObjectStore, code: str, status: int, kind: type[XrayError], message: str
) -> None:
    with Stubber(s3) as answers:
        answers.add_client_error(
            "get_object", code, "the key is Ada Ashgrove", http_status_code=status
        )
        with pytest.raises(kind, match=message) as caught:
            store.get(BUCKET, "k")
    assert isinstance(caught.value, TransientError) is issubclass(kind, TransientError)
    assert isinstance(caught.value, BlockedError) is issubclass(kind, BlockedError)
    assert "Ashgrove" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("marker", [True, False])
def test_a_delete_marker_is_seen(s3: Any, store: ObjectStore, marker: bool) -> None:
    headers = {"x-amz-delete-marker": "true"} if marker else {}
    with Stubber(s3) as answers:
        answers.add_client_error(
            "get_object",
            "NoSuchKey",
            http_status_code=404,
            response_meta={"HTTPHeaders": headers},
        )
        with pytest.raises(NotFoundError) as caught:
            store.get(BUCKET, "k")
    assert caught.value.deleted is marker
