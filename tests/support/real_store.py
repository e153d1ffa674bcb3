"""A real store in place of the model: its operations can be interleaved and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.model_store import Operation
from xray.case import Buckets
from xray.storage import ListedObject, ObjectHead, ObjectStore, StoredObject


class RealStore(ObjectStore):
    """An empty store on a server, with the hooks of :class:`~tests.support.model_store.ModelStore`.

    Args:
        client: a client of the server.
        bucket: the landing bucket. All objects of it and of its output buckets are removed.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        super().__init__(client)
        self.before: Callable[[Operation], None] = lambda _: None
        self.after: Callable[[Operation], None] = lambda _: None
        present = {one["Name"] for one in client.list_buckets()["Buckets"]}
        for name in (bucket, *Buckets(bucket).outputs()):
            if name not in present:
                client.create_bucket(Bucket=name)
            for entry in super().list(name):
                super().delete(name, entry.key)

    def peek(self, bucket: str) -> dict[str, StoredObject]:
        """Return the objects of a bucket by their keys, without the hooks."""
        plain = super()
        return {entry.key: plain.get(bucket, entry.key) for entry in plain.list(bucket)}

    def get(self, bucket: str, key: str, **options: Any) -> StoredObject:
        self.before(Operation("get", bucket, key))
        return super().get(bucket, key, **options)

    def head(self, bucket: str, key: str) -> ObjectHead | None:
        self.before(Operation("head", bucket, key))
        return super().head(bucket, key)

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> str:
        operation = Operation("put", bucket, key)
        self.before(operation)
        etag = super().put(bucket, key, data, **options)
        self.after(operation)
        return etag

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        operation = Operation("delete", bucket, key)
        self.before(operation)
        super().delete(bucket, key, etag=etag)
        self.after(operation)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        self.before(Operation("list", bucket, prefix))
        return super().list(bucket, prefix)
