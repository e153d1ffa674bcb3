"""xray.case.source"""

from __future__ import annotations

import dataclasses

import pytest

from tests.support import KEYRING, SECRET
from xray.case import Source
from xray.errors import PermanentError, SettingsError
from xray.notification import ObjectCreated
from xray.pseudonym import Keyring

SOURCE = Source(
    bucket="xray-data-in",
    key="PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg",
    etag="abc",
    sequencer="1",
    event_time="2026-01-01T00:00:00Z",
)


def test_a_repeated_notification_is_the_same_case() -> None:
    again = dataclasses.replace(SOURCE, origin="minio", size=9)
    assert again.run_id(KEYRING) == SOURCE.run_id(KEYRING)


@pytest.mark.parametrize(
    "change",
    [{"bucket": "other"}, {"key": "k"}, {"etag": "d"}, {"version_id": "v"}, {"sequencer": "2"}],
)
def test_another_upload_is_another_case(change: dict[str, str]) -> None:
    assert dataclasses.replace(SOURCE, **change).case_id(KEYRING) != SOURCE.case_id(KEYRING)


def test_without_a_sequencer_the_events_time_counts() -> None:
    one = dataclasses.replace(SOURCE, sequencer=None)
    two = dataclasses.replace(one, event_time="2026-01-01T00:00:01Z")
    assert one.case_id(KEYRING) != two.case_id(KEYRING)


def test_a_record_becomes_a_source() -> None:
    record = ObjectCreated("b", "k", "v", "e", 1, "ObjectCreated:Put", "s", "t", "ceph")
    source = Source.from_notification(record)
    assert Source.from_json(source.to_json()) == source
    assert (source.key, source.version_id, source.origin) == ("k", "v", "ceph")


def test_the_key_is_sealed_in_a_conf() -> None:
    conf = SOURCE.to_conf(KEYRING)
    assert "key" not in conf
    assert "Ashgrove" not in str(conf)
    assert Source.from_conf(conf, KEYRING) == SOURCE
    # The params of a run have more fields, and an empty one for a typed key.
    assert Source.from_conf({**conf, "key": None, "anonymize": "always"}, KEYRING) == SOURCE


def test_a_conf_from_before_a_secret_was_added_is_the_same_case() -> None:
    newer = Keyring(("the newest secret, long", SECRET))
    source = Source.from_conf(SOURCE.to_conf(KEYRING), newer)
    assert source == SOURCE
    assert source.run_id(newer) == SOURCE.run_id(KEYRING)
    with pytest.raises(SettingsError, match="does not hold"):
        Source.from_conf(SOURCE.to_conf(newer), KEYRING)


def test_a_typed_key_is_taken_as_it_is() -> None:
    conf = {"bucket": "b", "key": "k", "sealed": None, "origin": "manual"}
    assert Source.from_conf(conf, KEYRING) == Source(bucket="b", key="k")


def test_a_sealed_key_opens_in_its_bucket_alone() -> None:
    with pytest.raises(PermanentError, match="another bucket"):
        Source.from_conf({**SOURCE.to_conf(KEYRING), "bucket": "other"}, KEYRING)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sealed": None}, "is missing: type one"),
        ({"sealed": "", "key": ""}, "is missing: type one"),
        ({"key": "Ada Ashgrove"}, "leave one of them out"),
    ],
)
def test_a_conf_has_one_object_key(change: dict[str, str | None], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        Source.from_conf({**SOURCE.to_conf(KEYRING), **change}, KEYRING)
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "processed"),
    [
        ("a/b.jpeg", "a/b-processed.jpeg"),
        ("a.b/c", "a.b/c-processed"),
        ("x.tar.gz", "x.tar-processed.gz"),
        (".hidden", ".hidden-processed"),
        ("a b+c%.PNG", "a b+c%-processed.PNG"),
    ],
)
def test_the_processed_key(key: str, processed: str) -> None:
    assert Source(bucket="b", key=key).processed_key() == processed


def test_run_ids_and_anonymised_keys_contain_nothing_of_the_key() -> None:
    shown = SOURCE.run_id(KEYRING) + SOURCE.anonymized_keys(KEYRING, "abc", ".jpeg")[0]
    for part in ("Ada", "Ashgrove", "1234", "1957", "2016", "PNEUMONIA"):
        assert part not in shown


def test_an_anonymised_key_does_not_contain_the_case_id() -> None:
    name = SOURCE.anonymized_keys(KEYRING, "abc", ".jpeg")[0]
    assert SOURCE.case_id(KEYRING) not in name
    assert SOURCE.object_id(KEYRING) not in name


def folder(key: str, **options: str) -> str:
    """The part of an anonymised key that identifies the patient."""
    source = dataclasses.replace(SOURCE, key=key)
    patient, slash, image = source.anonymized_keys(KEYRING, "abc", ".png", **options)[0].partition(
        "/"
    )
    assert (len(patient), slash, len(image)) == (32, "/", 36)
    return patient


def test_all_images_of_a_patient_share_a_prefix() -> None:
    first = folder(SOURCE.key)
    assert folder("NORMAL/demo_Ada Ashgrove_1234_1957-07-10_2018-01-02.png") == first
    assert folder("demo_Ada Ashgrove_1235_1957-07-10_2016-08-26.jpeg") != first
    assert folder("a.jpeg") != folder("b.jpeg"), (
        "a key without a patient stands for a patient of its own"
    )
    assert folder("a.jpeg") == folder("a.jpeg")
    pattern = r"^(?P<patient>[^/]+)/"
    assert folder("p7/a.png", patient_pattern=pattern) == folder("p7/b", patient_pattern=pattern)


def test_a_patient_has_another_pseudonym_in_another_bucket() -> None:
    other = dataclasses.replace(SOURCE, bucket="elsewhere")
    keys = [source.anonymized_keys(KEYRING, "abc", "")[0] for source in (SOURCE, other)]
    assert keys[0].split("/")[0] != keys[1].split("/")[0]


def test_all_cases_of_the_same_content_share_a_prefix() -> None:
    listed = Source(bucket=SOURCE.bucket, key=SOURCE.key, etag=SOURCE.etag, origin="backfill")
    assert listed.case_id(KEYRING) != SOURCE.case_id(KEYRING)
    for source in (listed, SOURCE):
        assert source.case_id(KEYRING).startswith(SOURCE.object_id(KEYRING))
        assert len(source.case_id(KEYRING)) == 32
    for change in ({"key": "k"}, {"bucket": "other"}, {"etag": "d"}):
        assert dataclasses.replace(SOURCE, **change).object_id(KEYRING) != SOURCE.object_id(KEYRING)
