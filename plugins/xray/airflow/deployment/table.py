"""The table of a check or of a setup: one line for each answer, without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from xray.errors import XrayError

NAME_WIDTH = 34
HIDDEN = "***"
MIN_SECRET = 4
"""The characters of the shortest secret that is hidden: a shorter one is part of many words."""


class Mark(StrEnum):
    """What an answer means."""

    WELL = "well"
    PROBLEM = "problem"
    LIMIT = "limit"
    """It works, and something that the sentence names does not."""
    UNKNOWN = "unknown"
    """It could not be tried. This is not a failure."""


SIGNS = {Mark.WELL: "✓", Mark.PROBLEM: "✗", Mark.LIMIT: "!", Mark.UNKNOWN: "?"}
ASCII_SIGNS = {Mark.WELL: "+", Mark.PROBLEM: "x", Mark.LIMIT: "!", Mark.UNKNOWN: "?"}
"""For a terminal that cannot show the others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question about the deployment."""

    mark: Mark
    name: str
    """What was looked at."""
    sentence: str
    """What was found and, unless all is well, what to do. It names no object and no secret."""


def well(name: str, sentence: str) -> Answer:
    """Return the answer that all is well."""
    return Answer(Mark.WELL, name, sentence)


def problem(name: str, sentence: str) -> Answer:
    """Return the answer that something has to be done."""
    return Answer(Mark.PROBLEM, name, sentence)


def limit(name: str, sentence: str) -> Answer:
    """Return the answer that something works, but not all of it."""
    return Answer(Mark.LIMIT, name, sentence)


def unknown(name: str, sentence: str) -> Answer:
    """Return the answer that something could not be tried."""
    return Answer(Mark.UNKNOWN, name, sentence)


def guarded(name: str, answers: Callable[[], Iterable[Answer]]) -> Iterator[Answer]:
    """Yield answers; a failure becomes the last one.

    Args:
        name: what the answers are about, for the answer to a failure.
        answers: returns the answers.
    """
    try:
        yield from answers()
    except XrayError as error:
        yield problem(name, str(error))
    except Exception as error:
        # The message is left out: it may quote an object key or a secret.
        yield problem(
            name, f"Unexpected {type(error).__name__}: the rest of this part could not be tried."
        )


class Table:
    """Prints answers as they come, and remembers whether all is well.

    Args:
        stream: where the table goes.
        as_json: print all answers as JSON at the end, and no table.
    """

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._secrets: set[str] = set()
        self._signs = SIGNS if _encodes(stream, "".join(SIGNS.values())) else ASCII_SIGNS
        self.answers: list[Answer] = []

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these secrets in all sentences, as a last resort: no sentence should hold one."""
        self._secrets |= {secret for secret in secrets if len(secret) >= MIN_SECRET}

    def add(self, answer: Answer) -> None:
        """Print an answer."""
        sentence = " ".join(answer.sentence.split())
        for secret in sorted(self._secrets, key=len, reverse=True):
            sentence = sentence.replace(secret, HIDDEN)
        answer = Answer(answer.mark, answer.name, sentence)
        self.answers.append(answer)
        if not self._as_json:
            self._write(f"{self._signs[answer.mark]} {answer.name:{NAME_WIDTH}} {sentence}\n")

    def count(self, mark: Mark) -> int:
        """Return the number of answers of a kind."""
        return sum(answer.mark is mark for answer in self.answers)

    @property
    def is_well(self) -> bool:
        """Whether no answer is a problem."""
        return not self.count(Mark.PROBLEM)

    def finish(self) -> None:
        """Print the last line, or the JSON."""
        if self._as_json:
            rows = [
                {"check": one.name, "result": one.mark.value, "sentence": one.sentence}
                for one in self.answers
            ]
            self._write(json.dumps({"well": self.is_well, "checks": rows}, indent=2) + "\n")
            return
        problems, limits = self.count(Mark.PROBLEM), self.count(Mark.LIMIT)
        unknowns = self.count(Mark.UNKNOWN)
        line = "All is well" if self.is_well else f"{problems} to be done ({self._sign('PROBLEM')})"
        if limits:
            line += f"; {limits} with a limit ({self._sign('LIMIT')})"
        if unknowns:
            line += f"; {unknowns} not tried ({self._sign('UNKNOWN')}), which is no failure"
        self._write(f"\n{line}.\n")

    def _sign(self, name: str) -> str:
        return self._signs[Mark[name]]

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()


def _encodes(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
