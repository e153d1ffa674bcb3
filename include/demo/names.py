"""Whether Airflow's database holds an object key, or what names a patient in one."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import psycopg2
from cryptography.fernet import Fernet, InvalidToken
from psycopg2 import sql

SHORTEST_KEY, SHORTEST_PART = 9, 5
"""Anything shorter, such as ``a.png``, may stand in a text by chance, so it is not looked for."""
_FERNET = re.compile(r"gAAAAA[\w-]+=*")
"""A text that Airflow has encrypted, such as the arguments of a trigger."""


def identifying_words(key: str) -> set[str]:
    """Return an object key, its file name, and the parts that name its patient.

    A key of the demo, ``LABEL/demo_NAME_NUMBER_BIRTH_DATE.jpeg``, has the name, the family name,
    the number of the patient, the date of birth and the date of the image. A number of four digits
    may be part of any other, so it is looked for with the underscores around it.
    """
    stem = PurePosixPath(key).stem
    words = {word for word in (key, stem) if len(word) >= SHORTEST_KEY}
    match stem.split("_"):
        case ["demo", name, number, *dates]:
            parts = {name, name.rpartition(" ")[2], f"_{number}_", *dates}
            words |= {part for part in parts if len(part) >= SHORTEST_PART}
    return words


def name_pattern(keys: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds a word of an object key; it finds nothing if there are none."""
    words = sorted(set().union(*map(identifying_words, keys)))
    # JSON and addresses spell some letters in their own way.
    forms = dict.fromkeys(
        form for word in words for form in (word, json.dumps(word)[1:-1], quote(word))
    )
    return re.compile("|".join(map(_whole_word, forms)) or r"(?!)")


def _whole_word(word: str) -> str:
    """Return a pattern that finds a word, and not a part of a longer one."""
    before = r"(?<![^\W_])" if word[0].isalnum() else ""
    after = r"(?![^\W_])" if word[-1].isalnum() else ""
    return before + re.escape(word) + after


def database_rows(url: str, fernet_key: str) -> Iterator[tuple[str, str]]:
    """Yield the table and the text of each row of Airflow's database, on PostgreSQL.

    Args:
        url: the address of the database, as SQLAlchemy takes it.
        fernet_key: the key with which Airflow encrypts values.
    """
    fernet = Fernet(fernet_key)
    with psycopg2.connect(url.replace("+psycopg2", "", 1)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_schema, table_name FROM information_schema.tables "
                "WHERE table_type = 'BASE TABLE' "
                "AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
            )
            tables = cursor.fetchall()
        for schema, table in tables:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table)))
                for row in cursor:
                    text = "\n".join(map(_text, row))
                    yield table, _FERNET.sub(lambda found: _decrypted(found[0], fernet), text)
    connection.close()


def _text(value: Any) -> str:
    """Return the value of a column as text; bytes as they are, and unpacked if they are packed."""
    if isinstance(value, memoryview):
        content = value.tobytes()
        with suppress(zlib.error):
            content += b"\n" + zlib.decompress(content)
        return content.decode(errors="replace")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _decrypted(text: str, fernet: Fernet) -> str:
    with suppress(InvalidToken):
        return fernet.decrypt(text.encode()).decode(errors="replace")
    return text


def names_in_database(
    keys: Iterable[str], run_ids: Iterable[str], url: str, fernet_key: str
) -> list[str]:
    """Return what is wrong with Airflow's database: the tables that name a patient.

    The rows themselves are left out.

    Args:
        keys: the object keys of all cases.
        run_ids: the ids of their runs. If the search does not find them, it is broken.
        url: the address of the database, as SQLAlchemy takes it.
        fernet_key: the key with which Airflow encrypts values.
    """
    pattern, unseen, naming = name_pattern(keys), set(run_ids), Counter[str]()
    for table, text in database_rows(url, fernet_key):
        unseen -= {run_id for run_id in unseen if run_id in text}
        naming[table] += pattern.search(text) is not None
    problems = [
        f"rows of Airflow's table {table} that name a patient: {count}"
        for table, count in naming.items()
        if count
    ]
    if unseen:
        problems.append(f"runs that were not found in Airflow's database: {len(unseen)}")
    return problems
