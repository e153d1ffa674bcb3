"""xray.notification.dialects"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import DIALECTS, ENCODED, KEY, item, message
from xray.errors import NotificationError
from xray.notification import MAX_MESSAGE_BYTES, MAX_RECORDS, parse
from xray.settings import KeyDecoding


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_gives_the_same_record(dialect: str) -> None:
    (record,) = parse(DIALECTS[dialect]).records
    assert record.key == KEY
    assert record.dialect == dialect.split()[0]
    assert record.event == "ObjectCreated:Put"
    assert record.bucket == "xray-data-in"
    assert record.version_id is None
    assert record.etag == "e5ebd4c02cefbe7955977c67ada242b7"
    assert (record.size, record.sequencer) == (8, "C8FF046B6C5AB135")


def test_the_message_of_an_older_ceph() -> None:
    old = item("a/demo_A B_1_1941-11-26_2015-02-10.jpeg", event="s3:ObjectCreated:Put")
    old["s3"]["object"]["etag"] = old["s3"]["object"].pop("eTag")
    old["s3"]["object"]["size"] = "253130"
    (record,) = parse(message(old)).records
    assert record.event == "ObjectCreated:Put"
    assert record.etag == "e5ebd4c02cefbe7955977c67ada242b7"
    assert record.size == 253130


@pytest.mark.parametrize(
    ("decoding", "given_key", "key"),
    [
        (KeyDecoding.RAW, "a+b%25", "a+b%25"),
        (KeyDecoding.FORM, "a+b%25", "a b%"),
        (KeyDecoding.AUTO, "a+b%25", "a+b%25"),
        (KeyDecoding.AUTO, "a\nb%0A", "a\nb%0A"),
    ],
)
def test_a_setting_overrides_how_a_key_is_decoded(
    decoding: KeyDecoding, given_key: str, key: str
) -> None:
    (record,) = parse(message(item(given_key)), key_decoding=decoding).records
    assert record.key == key


@pytest.mark.parametrize("event", ["s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"])
@pytest.mark.parametrize(
    ("bucket", "key"), [("in", "nan.tiffpages.tiff"), ("xray-data-in-m", "hundred pages.tiff")]
)
def test_names_that_versitygw_has_overwritten_are_those_of_its_arn(
    event: str, bucket: str, key: str
) -> None:
    """The first key was sent by versitygw 1.8.0: a request for nan.tiff came in between."""
    overwritten = item(key, "aws:s3", event)
    arn = "arn:aws:s3:::/xray-data-in/hundred pages.tiff"
    overwritten["s3"]["bucket"] = {"name": bucket, "arn": arn}
    notification = parse(json.dumps([overwritten]).encode())
    (one,) = (*notification.records, *notification.removed)
    assert (one.bucket, one.key) == ("xray-data-in", "hundred pages.tiff")


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:s3:::/xray-data-in", "arn:aws:s3:::/xray-data-in/", "arn:aws:s3:::other", 7, None],
)
def test_an_arn_without_a_key_leaves_the_key(arn: object) -> None:
    """versitygw names the key of a deletion of several objects in one request elsewhere."""
    one = item("a b", "aws:s3", "s3:ObjectCreated:Put")
    one["s3"]["bucket"]["arn"] = arn
    (record,) = parse(json.dumps([one]).encode()).records
    assert (record.bucket, record.key) == ("xray-data-in", "a b")


def test_every_record_of_a_message_is_read_and_others_are_skipped() -> None:
    loop = item()
    loop["s3"]["bucket"]["name"] = "xray-data-in-processed"
    notification = parse(
        message(
            item("a"),
            item(event="ObjectRemoved:Delete"),
            item("b", event="ObjectCreated:Copy"),
            loop,
        )
    )
    assert [record.key for record in notification.records] == ["a", "b"]
    assert [skipped.event for skipped in notification.skipped] == [
        "ObjectRemoved:Delete",
        "ObjectCreated:Put",
    ]


@pytest.mark.parametrize("nothing", [None, b""])
def test_a_tombstone_asks_for_no_case(nothing: bytes | None) -> None:
    notification = parse(nothing)
    assert not notification.records
    assert "tombstone" in notification.skipped[0].reason


def test_a_test_event_asks_for_no_case() -> None:
    notification = parse(b'{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"xray"}')
    assert not notification.records
    assert notification.skipped[0].reason == "test event"


def broken(change: Any) -> bytes:
    one = item()
    change(one)
    return message(one)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"\xff\xfe", "JSON"),
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b'"text"', "str"),
        (b"{}", "Records"),
        (b'{"Records": {}}', "Records"),
        (message("text"), "record"),
        (message(*[item()] * (MAX_RECORDS + 1)), "records"),
        (b" " * (MAX_MESSAGE_BYTES + 1), "bytes"),
        (message(item("k" * 1025)), "1025 bytes"),
        (message(item("")), "key"),
        (message(item("%FF", "aws:s3")), "UTF-8"),
        (broken(lambda one: one.pop("eventName")), "eventName"),
        (broken(lambda one: one.pop("s3")), "s3"),
        (broken(lambda one: one["s3"].pop("bucket")), "s3.bucket"),
        (broken(lambda one: one["s3"]["object"].update(size="big")), "size"),
        (broken(lambda one: one["s3"]["object"].update(size=-1)), "size"),
        (broken(lambda one: one["s3"]["object"].update(eTag=7)), "eTag"),
        (message(item("\ud800")), "UTF-8"),
    ],
)
def test_a_bad_message_is_refused_with_the_reason(bad: bytes, said: str) -> None:
    with pytest.raises(NotificationError) as caught:
        parse(bad)
    assert said in str(caught.value)
    assert "kkkk" not in str(caught.value), "a key is patient data"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "bucket", "object", "key", "name", "eventName", "size"]
            ),
            inner,
            max_size=5,
        )
    ),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_message_raises_another_error(data: bytes) -> None:
    try:
        parse(data)
    except NotificationError as error:
        assert str(error)


@given(key=st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable()))
def test_any_key_survives_raw_and_encoded(key: str) -> None:
    from urllib.parse import quote_plus

    assert parse(message(item(key))).records[0].key == key
    assert parse(message(item(quote_plus(key), "aws:s3"))).records[0].key == key


REMOVALS = {
    "ceph": message(item(event="ObjectRemoved:Delete")),
    "ceph, older": message(item(event="s3:ObjectRemoved:DeleteMarkerCreated")),
    "aws": message(item(ENCODED, "aws:s3", "ObjectRemoved:DeleteMarkerCreated")),
    "minio": json.dumps(
        {
            "EventName": "s3:ObjectRemoved:Delete",
            "Key": "xray-data-in/x",
            "Records": [item(ENCODED, "minio:s3", "s3:ObjectRemoved:Delete")],
        }
    ).encode(),
    "versitygw": json.dumps([item(KEY, "aws:s3", "s3:ObjectRemoved:Delete")]).encode(),
}
"""The removal of the same object in each dialect."""


@pytest.mark.parametrize("dialect", REMOVALS)
def test_each_dialect_gives_the_same_removal(dialect: str) -> None:
    notification = parse(REMOVALS[dialect])
    (removed,) = notification.removed
    assert (removed.bucket, removed.key, removed.version_id) == ("xray-data-in", KEY, None)
    assert (removed.sequencer, removed.event_time) == (
        "C8FF046B6C5AB135",
        "2026-11-24T03:08:56.897902Z",
    )
    assert removed.event.startswith("ObjectRemoved:Delete")
    assert removed.dialect == dialect.split(",")[0]
    assert [skipped.event for skipped in notification.skipped] == [removed.event]
    assert notification.removal_error is None


def test_a_removal_says_which_version_was_removed() -> None:
    one = item(event="ObjectRemoved:Delete")
    one["s3"]["object"]["versionId"] = "v7"
    (removed,) = parse(message(one)).removed
    assert removed.version_id == "v7"


def test_the_key_of_a_removal_is_decoded_as_the_setting_says() -> None:
    removal = message(item("a+b%25", event="ObjectRemoved:Delete"))
    (removed,) = parse(removal, key_decoding=KeyDecoding.FORM).removed
    assert removed.key == "a b%"


def test_the_removal_of_an_output_is_none_of_an_original() -> None:
    one = item(event="ObjectRemoved:Delete")
    one["s3"]["bucket"]["name"] = "xray-data-in-processed"
    notification = parse(message(one))
    assert notification.removed == ()
    assert len(notification.skipped) == 1


def test_a_removal_that_cannot_be_read_stops_nothing_and_is_told() -> None:
    bad = item("%FF", "aws:s3", "ObjectRemoved:Delete")
    notification = parse(message(item("a"), bad))
    assert [record.key for record in notification.records] == ["a"]
    assert [skipped.event for skipped in notification.skipped] == ["ObjectRemoved:Delete"]
    assert notification.removed == ()
    assert notification.removal_error == "The object key is not valid UTF-8."


@pytest.mark.parametrize("event", ["LifecycleExpiration:Delete", "ObjectTagging:Put"])
def test_other_events_are_no_removals(event: str) -> None:
    assert parse(message(item(event=event))).removed == ()
