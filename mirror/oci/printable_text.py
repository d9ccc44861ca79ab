"""Text from outside, made fit for messages, terminals, logs and headers.

Nothing that these functions return holds a character that is not printable: no control character, no line break, no
sign that turns the direction of writing, no half of a surrogate pair.
"""

from __future__ import annotations

import re
from typing import Final

_NOT_ASCII: Final = re.compile(r"[^ -~]")


def printable(text: str, most_characters: int | None = None) -> str:
    """Replace each character that is not printable by a question mark.

    Args:
        text: from outside.
        most_characters: where the text is cut, with ``…`` behind it; None: it is not cut.
    """
    shown = text if most_characters is None else _cut(text, most_characters, "…")
    return shown if shown.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in shown)


def printable_ascii(text: str, most_characters: int = 120) -> str:
    """Replace each character that is not printable ASCII by a question mark, for headers and what may go into one.

    Args:
        text: from outside.
        most_characters: where the text is cut, with ``...`` behind it.
    """
    return _NOT_ASCII.sub("?", _cut(text, most_characters, "..."))


def escaped(text: str, most_characters: int) -> str:
    r"""Write each character that is not printable as an escape, such as ``\x1b``.

    Args:
        text: from outside.
        most_characters: where the text is cut, with ``…`` behind it.
    """
    shown = _cut(text, most_characters, "…")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown)


def quoted(text: str, most_characters: int = 140) -> str:
    """Put text into quotes, in ASCII, with everything else as an escape.

    Args:
        text: from outside, such as a name.
        most_characters: where the text is cut, with ``...`` behind it.
    """
    return ascii(_cut(text, most_characters, "..."))


def _cut(text: str, most_characters: int, mark: str) -> str:
    return text if len(text) <= most_characters else text[:most_characters] + mark
