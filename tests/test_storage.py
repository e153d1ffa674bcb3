"""xray.storage, on an S3 server"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from xray.errors import (
    ConflictError,
    ImageError,
    NotFoundError,
    ObjectError,
    TransientError,
    XrayError,
)
from xray.storage import ObjectStore

BUCKET = "xray-data-in"


def test_a_missing_bucket_is_named(s3: Any, store: ObjectStore) -> None:
    with pytest.raises(ObjectError, match="nowhere does not exist"):
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


def test_an_object_written_once_is_never_overwritten(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"one", content_type="text/plain", once=True)
    with pytest.raises(ConflictError):
        store.put(BUCKET, "k", b"two", content_type="text/plain", once=True)
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
        ("NoSuchBucket", 404, ObjectError, "The bucket xray-data-in does not exist"),
        ("PreconditionFailed", 412, ObjectError, "was replaced"),
        ("AccessDenied", 403, ObjectError, "forbids reading from xray-data-in: check"),
        ("SomethingElse", 401, ObjectError, "forbids reading from xray-data-in: check"),
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
