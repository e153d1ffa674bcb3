"""xray.case.manifest, on a model of the store"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.model_store import ModelStore, Operation
from xray.case.manifest import (
    RELEASE,
    SCHEMA,
    Claim,
    Manifest,
    ManifestFile,
    Output,
    Request,
    Upload,
)
from xray.errors import ConflictError, ObjectError, TransientError

BUCKET = "xray-data-in-manifests"
KEY = "a \udcff key.png"
"""A key that is not valid UTF-8."""
OUTPUT = Output(bucket="b", key="k", sha256="0" * 64, size=3, etag="e")
FULL = Manifest(
    claim=3,
    case_id="case",
    upload=Upload(
        version_id="v1",
        etag="e",
        sha256=None,
        modified=None,
        sequencer="1",
        event_time=None,
        origin="aws",
    ),
    outputs=(OUTPUT,),
    content="0" * 64,
    claims=(Claim(number=3, case_id="case", token="r:t:6", at="now", places=[["b", "k"]]),),
    leftovers=(("b", "old"),),
    waiting=Request(kind=RELEASE, case_id="case", claim=3, sha256="0" * 64, since="now"),
    withdrawn=(Request(kind=RELEASE, case_id="case", claim=2, sha256="1" * 64, since="then"),),
    cases=("case",),
)
"""A manifest in which each field has a value."""


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def file(store: ModelStore) -> ManifestFile:
    return ManifestFile(store, BUCKET, KEY)


def test_a_manifest_travels_as_json() -> None:
    document = json.loads(json.dumps({"schema": SCHEMA, **FULL.to_json()}))
    assert Manifest.from_json(document) == FULL


def test_an_object_without_a_manifest_has_an_empty_one(file: ManifestFile) -> None:
    assert file.read() == (Manifest(), None)


def test_a_manifest_is_beside_no_other_object(store: ModelStore, file: ManifestFile) -> None:
    file.change(lambda _: FULL)
    assert list(store.peek(BUCKET)) == [f"objects/{KEY}"]
    assert file.read()[0] == FULL


def test_a_manifest_of_a_later_version_is_refused(store: ModelStore, file: ManifestFile) -> None:
    document = {"schema": SCHEMA + 1, "something": "new"}
    store.put(BUCKET, f"objects/{KEY}", json.dumps(document).encode(), content_type="")
    with pytest.raises(ObjectError, match=f"schema {SCHEMA + 1}.*reads schema {SCHEMA}"):
        file.change(lambda _: FULL)
    assert json.loads(store.peek(BUCKET)[f"objects/{KEY}"].data) == document


def test_a_change_is_made_anew_if_another_case_has_changed_the_manifest(
    store: ModelStore, file: ManifestFile
) -> None:
    others = iter(range(1, 6))

    def interfere(operation: Operation) -> None:
        if operation.name == "put" and (number := next(others, None)):
            store.before = lambda _: None
            ManifestFile(store, BUCKET, KEY).change(
                lambda current: replace(current, cases=(*current.cases, f"other {number}"))
            )
            store.before = interfere

    store.before = interfere
    file.change(lambda current: replace(current, cases=(*current.cases, "mine")))
    cases = file.read()[0].cases
    assert cases == (*(f"other {number}" for number in range(1, 6)), "mine")


def test_a_change_that_changes_nothing_writes_nothing(
    store: ModelStore, file: ManifestFile
) -> None:
    file.change(lambda _: FULL)
    operations: list[Operation] = []
    store.before = operations.append
    assert file.change(lambda current: current) == FULL
    assert [one.name for one in operations] == ["get"]


def test_a_change_gives_up_if_the_manifest_never_stays_the_same(
    store: ModelStore, file: ManifestFile
) -> None:
    def interfere(operation: Operation) -> None:
        if operation.name == "put":
            store.before = lambda _: None
            file.change(lambda current: replace(current, claim=current.claim + 1))
            store.before = interfere

    store.before = interfere
    with pytest.raises(TransientError, match="keep changing"):
        file.change(lambda current: replace(current, case_id="mine"))
    assert file.read()[0].case_id is None


class _RefusingStore(ModelStore):
    """A store that refuses each condition, as Ceph does where versions are kept."""

    def put(self, bucket: str, key: str, data: bytes, **options: object) -> str:
        raise ConflictError("The condition does not hold.")


def test_a_store_that_refuses_a_condition_that_holds_is_told_from_a_conflict() -> None:
    file = ManifestFile(_RefusingStore(), BUCKET, KEY)
    with pytest.raises((ObjectError, TransientError)):
        file.change(lambda _: FULL)
    store = _RefusingStore()
    ModelStore.put(
        store,
        BUCKET,
        f"objects/{KEY}",
        json.dumps({"schema": SCHEMA, **Manifest().to_json()}).encode(),
        content_type="",
    )
    with pytest.raises(ObjectError, match="switch versions off"):
        ManifestFile(store, BUCKET, KEY).change(lambda _: FULL)


def test_replacing_a_manifest_by_itself_asks_whether_it_is_still_there(
    file: ManifestFile,
) -> None:
    file.change(lambda _: FULL)
    current, etag = file.read()
    file.replace(current, current, etag)
    file.change(lambda current: replace(current, claim=4))
    with pytest.raises(ConflictError):
        file.replace(current, current, etag)


@pytest.mark.parametrize("deleted", [True, False])
def test_only_the_manifest_of_a_deleted_object_is_deleted(
    store: ModelStore, file: ManifestFile, deleted: bool
) -> None:
    file.change(lambda _: replace(FULL, deleted=deleted))
    file.delete()
    assert (store.peek(BUCKET) == {}) is deleted


def test_an_output_that_is_live_no_longer_is_left_to_be_removed() -> None:
    other = replace(OUTPUT, key="other")
    changed = FULL.with_outputs([other], "1" * 64)
    assert changed.outputs == (other,)
    assert changed.leftovers == (("b", "k"), ("b", "old"))
    again = changed.with_outputs([OUTPUT], "0" * 64)
    assert again.leftovers == (("b", "old"), ("b", "other"))
    assert FULL.with_outputs([], "0" * 64).content is None


def test_an_output_has_no_etag_on_record() -> None:
    assert OUTPUT.to_record() == {"bucket": "b", "key": "k", "sha256": "0" * 64, "size": 3}
