"""JSON that every reader reads the same: objects whose members are told apart by their names alone.

Readers differ where a name is there twice. Python keeps the last member, others the first. Go's ``encoding/json``,
which every engine uses, matches names without regard to case (U+017F counts as ``s``, U+212A as ``k``) and lays a later
member over an earlier one. So one manifest can say one thing to us and another thing to an engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any, NoReturn

from mirror.oci.errors import ManifestInvalid


def fold(name: str) -> str:
    """A member's name as Go compares it (encoding/json: foldName): without case, long s and Kelvin sign included."""
    return name.lower().replace("\u017f", "s")


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object from outside, and which names it repeats.

    Attributes:
        body: the object; of a name that is there twice, the last.
        twice: a name that some object has twice in the same spelling, at whatever depth; None where none does.
        folded: the same without regard to case.
    """

    body: dict[str, Any]
    twice: str | None
    folded: str | None


def read_object(content: bytes, what: str) -> Document:
    """Read a JSON object in UTF-8.

    Args:
        content: the bytes.
        what: what they are, for the error: ``"manifest"``.

    Raises:
        ManifestInvalid: they are something else, or nested beyond what the parser bears.
    """
    twice: list[str] = []
    folded: list[str] = []

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.append(_again(name for name, _ in pairs))
        if len({fold(name) for name in found}) < len(pairs):
            folded.append(_again(fold(name) for name, _ in pairs))
        return found

    try:
        value = json.loads(content.decode(), object_pairs_hook=gather, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ManifestInvalid(f"{what} is not a JSON object")
    return Document(value, twice[0] if twice else None, folded[0] if folded else None)


def misspelt(value: object, known: Set[str]) -> tuple[str, str] | None:
    """A name that a reader who folds case takes for a known one, and that one; None: there is none.

    Args:
        value: a JSON object that :func:`read_object` has read; anything else has no members.
        known: the names that readers look for, in their spelling.
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
    """The first name that is there again."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name is there again")


def _refuse(constant: str) -> NoReturn:
    """Called for ``NaN`` and ``Infinity``, which Python takes for JSON and nobody else."""
    raise ValueError(f"{constant} is not a value")
