"""xray.seal"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import SECRET
from xray.errors import PermanentError, SettingsError
from xray.seal import FORM, seal, unseal

KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
BUCKET = "xray-data-in"


@given(st.text(st.characters(codec=None), max_size=600))
def test_a_sealed_text_opens_again(text: str) -> None:
    sealed = seal(SECRET, text, context=BUCKET)
    assert sealed.isascii()
    assert unseal([SECRET], sealed, context=BUCKET) == text


@pytest.mark.parametrize("text", ["", "\0", "a\0\0", "\x80", "\udcff", "a" * 255, "a" * 256])
def test_the_padding_is_removed_and_no_more(text: str) -> None:
    assert unseal([SECRET], seal(SECRET, text, context=BUCKET), context=BUCKET) == text


def test_a_sealed_text_shows_nothing_of_the_text() -> None:
    one, two = (seal(SECRET, KEY, context=BUCKET) for _ in range(2))
    assert one != two, "whether two texts are the same stays hidden"
    for part in ("Ada", "Ashgrove", "1234", "1957", "PNEUMONIA"):
        assert part.encode() not in urlsafe_b64decode(one.removeprefix(FORM))
    lengths = {len(seal(SECRET, "a" * n, context=BUCKET)) for n in range(256)}
    assert len(lengths) == 1, "the length stays hidden"
    assert len(seal(SECRET, "a" * 1024, context=BUCKET)) < 2000


def test_a_text_sealed_before_a_secret_was_added_opens() -> None:
    sealed = seal(SECRET, KEY, context=BUCKET)
    assert unseal(["the newest secret, long", SECRET], sealed, context=BUCKET) == KEY


def test_without_its_secret_the_message_says_what_to_do() -> None:
    sealed = seal(SECRET, KEY, context=BUCKET)
    with pytest.raises(SettingsError, match="add that secret to the end of the list") as caught:
        unseal(["the newest secret, long"], sealed, context=BUCKET)
    assert SECRET not in str(caught.value)


def test_another_context_does_not_open_it() -> None:
    with pytest.raises(PermanentError, match="belongs to another bucket"):
        unseal([SECRET], seal(SECRET, KEY, context=BUCKET), context="another-bucket")


def test_a_changed_text_is_refused() -> None:
    sealed = seal(SECRET, KEY, context=BUCKET)
    content = urlsafe_b64decode(sealed.removeprefix(FORM))
    for place in range(8, len(content)):  # The first eight bytes name the secret.
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(PermanentError, match="was changed"):
            unseal([SECRET], FORM + urlsafe_b64encode(changed).decode(), context=BUCKET)
    for wrong in (
        sealed[:-4],
        sealed[:30],
        sealed[: len(FORM) + 8],
        sealed + "AAAA",
        sealed[:9] + "\n" + sealed[9:],
        sealed.removeprefix(FORM),
        "2." + sealed.removeprefix(FORM),
        FORM,
        "",
        KEY,
        "1.é",
    ):
        with pytest.raises(PermanentError):
            unseal([SECRET], wrong, context=BUCKET)
