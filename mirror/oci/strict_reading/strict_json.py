"""JSON parsing that reports the members that readers would read differently.

Readers disagree about an object with duplicate names. Python keeps the last member, and other readers keep the first.
Go's ``encoding/json``, which every engine uses, ignores the case of names (U+017F counts as ``s``, U+212A as ``k``) and
merges a later member into an earlier one. So one manifest could mean one thing here and another thing to an engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any, NoReturn

from mirror.oci.errors import ManifestInvalid


def fold(name: str) -> str:
    """Return the name of a member as Go compares it (encoding/json: foldName): without case.

    Long s and the Kelvin sign are folded too.
    """
    # Python's lower() maps the Kelvin sign to k, and leaves the long s.
    return name.lower().replace("\u017f", "s")


@dataclass(frozen=True, slots=True)
class Document:
    """JSON object from outside, with the names that it repeats.

    Attributes:
        body: the object. Of members with the same name, the last is kept.
        twice: a name that occurs twice in one object at any depth, in the same spelling; None if there is none.
        folded: a name that occurs twice in one object at any depth, regardless of case; None if there is none.
    """

    body: dict[str, Any]
    twice: str | None
    folded: str | None


def json_words(error: ValueError | RecursionError) -> str:
    """Return why a text is not JSON, with the place in the text if it is known."""
    if isinstance(error, json.JSONDecodeError):
        return f"look at line {error.lineno}, column {error.colno}"
    return str(error)


def read_object(content: bytes, what: str) -> Document:
    """Return the JSON object in UTF-8 bytes.

    Args:
        content: bytes of the object.
        what: name of the content for error messages: ``"manifest"``.

    Raises:
        ManifestInvalid: the bytes are not a JSON object, or are nested too deeply for the parser.
    """
    twice: list[str] = []
    folded: list[str] = []

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # The parser calls this for every object. Comparing lengths is the cheap test for repeated names.
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.append(_again(name for name, _ in pairs))
        if len({fold(name) for name in found}) < len(pairs):
            folded.append(_again(fold(name) for name, _ in pairs))
        return found

    try:
        value = json.loads(content.decode(), object_pairs_hook=gather, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"{what} is not JSON: {json_words(error)}") from error
    if not isinstance(value, dict):
        raise ManifestInvalid(f"{what} is not a JSON object")
    return Document(value, twice[0] if twice else None, folded[0] if folded else None)


def misspelt(value: object, known: Set[str]) -> tuple[str, str] | None:
    """Return a name that a reader without case would take for a known name, and the known name; None if there is none.

    Args:
        value: JSON object from :func:`read_object`. Other values have no members.
        known: names that readers look for, in their spelling.
    """
    if isinstance(value, dict):
        for name in value.keys() - known:
            if (read_as := _spelt(name, known)) is not None:
                return name, read_as
    return None


def _spelt(name: str, known: Set[str]) -> str | None:
    folded = fold(name)
    return next((each for each in known if fold(each) == folded), None)


def _again(names: Iterable[str]) -> str:
    """Return the first name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name occurs twice")


def _refuse(constant: str) -> NoReturn:
    """Raise for ``NaN`` and ``Infinity``, which Python's parser accepts and other parsers do not."""
    raise ValueError(f"{constant} is not a JSON value")
