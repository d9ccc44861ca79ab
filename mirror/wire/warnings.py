"""``Warning`` headers for advice beside a successful answer (distribution-spec, "Warnings"; RFC 7234, section 5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

#: Most bytes in the values of all ``Warning`` headers of one answer (distribution-spec, "Warnings").
MAX_WARNING_BYTES = 4096

_BEGIN, _END = '299 - "', '"'
_PRINTABLE = re.compile(r"[^ -~]+")
_VALUE = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')


def build(texts: Iterable[str]) -> list[str]:
    """Return one header value for each text, up to :data:`MAX_WARNING_BYTES` in total. The last text may be cut.

    Characters outside printable ASCII become a question mark, because some clients accept no other header values.
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
    """Return the header value that marks an answer as stale (RFC 7234, section 5.5.1) and names the reason."""
    begin = '110 - "'
    return begin + _fitting(f"Response is stale: {reason}", MAX_WARNING_BYTES - len(begin) - len(_END)) + _END


def parse(values: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct texts in ``Warning`` headers. Other codes, other agents and malformed warnings are skipped.

    At most :data:`MAX_WARNING_BYTES` characters are read. Characters outside printable ASCII become a question mark.
    """
    joined = ", ".join(values)[:MAX_WARNING_BYTES]
    texts = (re.sub(r"\\(.)", r"\1", match[1]) for match in _VALUE.finditer(joined))
    return tuple(dict.fromkeys(_PRINTABLE.sub("?", text) for text in texts if text))


def _fitting(text: str, room: int) -> str:
    """Return the text escaped for a quoted string, cut to at most ``room`` characters."""
    fitting = ""
    for character in _quoted(text):
        if len(fitting) + len(character) > room:  # an escaped character is never cut in two
            break
        fitting += character
    return fitting


def _quoted(text: str) -> Iterator[str]:
    for character in _PRINTABLE.sub("?", text):
        yield f"\\{character}" if character in '"\\' else character
