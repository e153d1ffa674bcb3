"""xray.pseudonym"""

from __future__ import annotations

import pytest

from tests.support import SECRET
from xray.errors import SettingsError
from xray.pseudonym import Keyring, pseudonym


def test_a_pseudonym_needs_its_secret() -> None:
    assert pseudonym(SECRET, "case", "a") == pseudonym(SECRET, "case", "a")
    assert pseudonym(SECRET, "case", "a") != pseudonym(SECRET + "!", "case", "a")
    assert pseudonym(SECRET, "case", "ab", "c") != pseudonym(SECRET, "case", "a", "bc")
    assert pseudonym(SECRET, "case", "a") != pseudonym(SECRET, "image", "a")
    with pytest.raises(SettingsError, match="xray_pseudonym_secret"):
        pseudonym("short", "case", "a")


def test_one_secret_or_a_list_is_parsed() -> None:
    assert Keyring.from_text(SECRET).secrets == (SECRET,)
    assert Keyring.from_text('["the newest secret, long", "the secret before it"]').secrets == (
        "the newest secret, long",
        "the secret before it",
    )


@pytest.mark.parametrize("value", ["short", "", "[]", '["short"]', "[a secret in brackets", "[17]"])
def test_a_wrong_secret_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="xray_pseudonym_secret"):
        Keyring.from_text(value)


def test_the_oldest_secret_makes_case_ids_and_the_newest_makes_pseudonyms() -> None:
    keyring = Keyring(("the newest", "the oldest"))
    assert keyring.case_secret == "the oldest"
    assert keyring.pseudonym_secrets[0] == "the newest"
