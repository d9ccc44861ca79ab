"""``Warning``: advice beside an answer that did what was asked (distribution-spec, "Warnings"; RFC 7234, 5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

#: Most bytes that the values of all ``Warning`` fields of one answer may have together.
MAX_WARNING_BYTES = 4096

_BEGIN, _END = '299 - "', '"'
_PRINTABLE = re.compile(r"[^ -~]+")
_VALUE = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')


def build(texts: Iterable[str]) -> list[str]:
    """One header value for each text, as many as there is room for; the last may be cut short.

    What is not printable ASCII becomes a question mark: a header carries nothing else to every client.
    """
    values: list[str] = []
    room = MAX_WARNING_BYTES
    for text in filter(None, texts):
        fitting = _fitting(text, room - len(_BEGIN) - len(_END))
        if not fitting:
            break
        value = _BEGIN + fitting + _END
        values.append(value)
        room -= len(value)
    return values


@lru_cache(maxsize=256)
def stale(reason: str) -> str:
    """The header value that says that an answer may be out of date (RFC 7234, 5.5.1), and why."""
    begin = '110 - "'
    return begin + _fitting(f"Response is stale: {reason}", MAX_WARNING_BYTES - len(begin) - len(_END)) + _END


def parse(values: Iterable[str]) -> tuple[str, ...]:
    """The texts in ``Warning`` fields, without doubles. Other codes and agents, and what is no warning, are left out.

    Reading ends after :data:`MAX_WARNING_BYTES`; what is not printable ASCII becomes a question mark.
    """
    joined = ", ".join(values)[:MAX_WARNING_BYTES]
    texts = (re.sub(r"\\(.)", r"\1", match[1]) for match in _VALUE.finditer(joined))
    return tuple(dict.fromkeys(_PRINTABLE.sub("?", text) for text in texts if text))


def _fitting(text: str, room: int) -> str:
    """The text as it stands between quotes, cut where it would be longer than ``room``."""
    fitting = ""
    for character in _quoted(text):
        if len(fitting) + len(character) > room:
            break
        fitting += character
    return fitting


def _quoted(text: str) -> Iterator[str]:
    for character in _PRINTABLE.sub("?", text):
        yield f"\\{character}" if character in '"\\' else character
