"""Text from outside, made safe for messages, terminals, logs and headers.

The functions return printable characters only. Their results contain no control characters, line breaks, signs that
change the writing direction, or unpaired surrogates.
"""

from __future__ import annotations

import re
from typing import Final

_NOT_ASCII: Final = re.compile(r"[^ -~]")


def printable(text: str, most_characters: int | None = None) -> str:
    """Replace each unprintable character with a question mark.

    Args:
        text: text from outside.
        most_characters: length at which the text is cut and ``…`` is appended; None for no limit.
    """
    # Cut before any character is looked at: a text from outside may be long.
    shown = text if most_characters is None else _cut(text, most_characters, "…")
    return shown if shown.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in shown)


def printable_ascii(text: str, most_characters: int = 120) -> str:
    """Replace each character that is not printable ASCII with a question mark. Use this for headers.

    Args:
        text: text from outside.
        most_characters: length at which the text is cut and ``...`` is appended.
    """
    return _NOT_ASCII.sub("?", _cut(text, most_characters, "..."))


def escaped(text: str, most_characters: int) -> str:
    r"""Write each unprintable character as an escape sequence such as ``\x1b``.

    Args:
        text: text from outside.
        most_characters: length at which the text is cut and ``…`` is appended.
    """
    shown = _cut(text, most_characters, "…")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown)


def quoted(text: str, most_characters: int = 140) -> str:
    """Return a text in quotes, in ASCII, with all other characters as escape sequences.

    Args:
        text: text from outside, such as a name.
        most_characters: length at which the text is cut and ``...`` is appended.
    """
    return ascii(_cut(text, most_characters, "..."))


def _cut(text: str, most_characters: int, mark: str) -> str:
    return text if len(text) <= most_characters else text[:most_characters] + mark
