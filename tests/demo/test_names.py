"""include/demo/names.py: the search for names in Airflow's database"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from cryptography.fernet import Fernet

from include.demo.names import identifying_words, name_pattern, names_in_database
from include.servers.embedded.database import Database

KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
ACCENTED = "Zoë Müller.png"
RUN_ID = "xray__0123"
FERNET_KEY = Fernet.generate_key().decode()


def test_the_parts_of_a_key_that_name_its_patient() -> None:
    assert identifying_words(KEY) == {
        KEY,
        "demo_Ada Ashgrove_1234_1957-07-10_2016-08-26",
        "Ada Ashgrove",
        "Ashgrove",
        "_1234_",
        "1957-07-10",
        "2016-08-26",
    }
    assert identifying_words("a/b.png") == set(), "it may stand in a text by chance"
    assert identifying_words("demo__1_x.png") == {"demo__1_x.png", "demo__1_x"}


@pytest.mark.parametrize("key", [KEY, ACCENTED])
def test_each_part_is_found_as_a_whole_word(key: str) -> None:
    pattern = name_pattern([key])
    for word in identifying_words(key):
        for text in (
            *(word, f'{{"key": "{word}"}}', json.dumps({"key": word})),
            *(f"s3://b/{word}", f"http://s3/b/{quote(word)}?versionId=1"),
        ):
            assert pattern.search(text), text
    assert not pattern.search("Ashgroves 11957-07-10 012345 demo")
    assert not name_pattern([]).search("")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database with a table for runs."""
    with Database(env=dict(os.environ), logs=tmp_path_factory.mktemp("logs")) as database:
        yield database.url


@pytest.fixture
def insert(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor on the database, after a run was inserted."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS dag_run")
        cursor.execute(
            "CREATE TABLE dag_run (run_id text, conf json, described jsonb, extra text, raw bytea)"
        )
        cursor.execute(
            "INSERT INTO dag_run VALUES (%s, %s, %s, %s, %s)",
            (RUN_ID, '{"sealed": "1.abcd"}', "[1]", None, zlib.compress(b"nothing")),
        )
        yield cursor
    connection.close()


def searched(url: str, *run_ids: str) -> list[str]:
    return names_in_database([KEY, ACCENTED], run_ids, url, FERNET_KEY)


def test_a_database_without_names_is_right(
    url: str, insert: psycopg2.extensions.cursor, tmp_path: Path
) -> None:
    assert searched(url, RUN_ID) == []
    assert searched(url, RUN_ID, "xray__4567") == [
        "runs that were not found in Airflow's database: 1"
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("conf", json.dumps({"key": KEY})),
        ("conf", json.dumps({"key": ACCENTED})),
        ("described", json.dumps([{"key": ACCENTED}])),
        ("extra", json.dumps({"key": ACCENTED})),
        ("extra", "born 1957-07-10"),
        ("extra", "the value " + Fernet(FERNET_KEY).encrypt(KEY.encode()).decode()),
        ("raw", KEY.encode()),
        ("raw", zlib.compress(json.dumps([KEY]).encode())),
    ],
)
def test_a_name_is_found_in_every_kind_of_column(
    url: str, insert: psycopg2.extensions.cursor, column: str, value: str | bytes
) -> None:
    insert.execute(f"UPDATE dag_run SET {column} = %s", (value,))
    assert searched(url, RUN_ID) == ["rows of Airflow's table dag_run that name a patient: 1"]
