"""Words about mistakes in the configuration: each on one line, with its place and a fix, and without secrets."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mirror.oci.printable_text import printable
from mirror.plugin.config.secret_values import HIDDEN, is_secret_name
from mirror.settings.loading.empty_values import EMPTY, GLUED
from mirror.settings.loading.mistake_words import (
    MISSING,
    NO_KEYS,
    NO_SPACE,
    NO_VALUE,
    NO_WORDS,
    NOT_A_SECTION,
    STRUCTURES,
    WORDS,
    fitted,
)
from mirror.settings.loading.model_keys import is_structured, keys_at, kinds_at
from mirror.settings.loading.secret_parts import Secrets
from mirror.settings.loading.shown_keys import SECRET_FILE
from mirror.settings.loading.value_origins import ValueOrigins
from mirror.settings.loading.yaml_reading import Place
from mirror.settings.section import Mistakes

_SCHEMA: Final = "'plugin-mirror config schema' describes the key"
_MOST_VALUE: Final = 80
#: A shorter value may be a part of other words.
_SHORT: Final = 4
#: Most keys of a section that are listed.
_MOST_KEYS: Final = 12


def mistakes_in(
    error: ValidationError, model: type[BaseModel], value: Any, where: ValueOrigins
) -> list[tuple[Place, str]]:
    """Return each mistake with its place: what is wrong, the value if that is short and no secret, and the fix.

    Args:
        error: pydantic's errors. Their words are not used.
        model: the section that was read.
        value: the plain values that it was read from.
        where: the origins of the values. A fix for a variable is not one for a file.
    """
    secrets = Secrets(model, value)
    found: dict[Place, list[tuple[bool, str]]] = {}
    for problem in error.errors(include_url=False):
        for place, wrong, given in _told(problem, model, _place(problem, value), value):
            words = fitted(wrong, model, place, where)
            fits = (problem["type"] in STRUCTURES) == isinstance(given, Mapping | list | tuple)
            told = secrets.kept_out(_sentence(words, given, partial(secrets.shown, place)))
            found.setdefault(place, []).append((fits, told))
    # Each member of a union has its own problem with a value. The member that is most like the value speaks.
    deepest = [place for place in found if not any(place == other[: len(place)] for other in found if place != other)]
    return [(place, next((told for fits, told in found[place] if fits), found[place][0][1])) for place in deepest]


def no_keys(value: Any, words: str) -> str:
    """Return what is wrong with a document that has no keys, and the fix.

    Args:
        value: the content of the document.
        words: words about any other content than a key without a space after its colon.
    """
    return _sentence(NO_SPACE if isinstance(value, str) and GLUED.match(value) else words, None, str)


def _place(problem: ErrorDetails, value: Any) -> Place:
    """Return the place of a problem, without the names of pydantic's own steps."""
    place: list[str | int] = []
    loc = problem["loc"]
    for number, part in enumerate(loc, 1):
        below = _below(value, part)
        is_absent = number == len(loc) and problem["type"] in {"missing", "extra_forbidden"}
        if below is not _NOTHING or is_absent:
            place.append(part)
            value = below
    return tuple(place)


_NOTHING: Final = object()


def _below(value: Any, part: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(part, _NOTHING)
    if isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOTHING


def _told(problem: ErrorDetails, model: type[BaseModel], place: Place, root: Any) -> Iterator[tuple[Place, str, Any]]:
    """Yield place, words and wrong value of each mistake of a problem."""
    given, kind = problem.get("input"), problem["type"]
    if kind == "extra_forbidden":
        yield place, _unknown_key(model, place), None
    elif kind == "missing":
        yield place, MISSING, None
    elif given is EMPTY or (given is None and kind != "value_error"):
        is_structure = any(map(is_structured, kinds_at(model, place)))
        yield place, NO_KEYS if is_structure else NO_VALUE, None
    elif kind == "value_error":
        error = problem["ctx"]["error"]
        if isinstance(error, Mistakes):
            yield from (((*place, *below), words, _at(root, (*place, *below))) for below, words in error.found)
        else:
            yield place, str(error), given
    else:
        details = {
            name: str(detail).replace("'", "").removesuffix(".0") for name, detail in problem.get("ctx", {}).items()
        }
        words = NO_SPACE if _is_glued(kind, given, model, place) else STRUCTURES.get(kind) or WORDS.get(kind, NO_WORDS)
        yield place, words.format_map(details), given


def _is_glued(kind: str, given: Any, model: type[BaseModel], place: Place) -> bool:
    """Return True if the text in place of a section is one of its keys, without a space after the colon."""
    key, colon, rest = given.partition(":") if isinstance(given, str) else ("", "", "")
    if kind not in STRUCTURES or not colon:
        return False
    known = keys_at(model, place)
    if key in known:
        return True
    # A host with its port is no key, and a user with the password neither.
    is_other = rest.isdigit() or any(map(SECRET_FILE.fullmatch, known))
    return STRUCTURES[kind] == NOT_A_SECTION and GLUED.match(given) is not None and not is_other


def _at(value: Any, place: Place) -> Any:
    for part in place:
        value = _below(value, part)
    return value


def _unknown_key(model: type[BaseModel], place: Place) -> str:
    *above, last = place
    key, known = str(last), keys_at(model, above)
    if f"{key}_file" in known and is_secret_name(key):
        return f"a secret is not written here; fix: write it into a file, and name the file in {key}_file"
    return f"unknown key; fix: {next(_fixes_of_key(key, known, lambda home: keys_at(model, (*above, home))))}"


def _fixes_of_key(key: str, known: Sequence[str], below: Callable[[str], Sequence[str]]) -> Iterator[str]:
    """Yield what the author may have meant, the likeliest first."""
    section, dot, rest = key.partition(".")
    if dot and (inner := rest.partition(".")[0]) in below(section):
        yield f"write {inner}: below {section}:"
    if f"{key}_file" in known:
        yield f"write {key}_file"
    if homes := [home for home in known if key in below(home)]:
        yield f"write it below {' or '.join(f'{home}:' for home in homes[:3])}"
    if close := difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1):
        yield f"write {close[0]}"
    if ":" in key:
        yield "write a space after the colon"
    many = len(known) > _MOST_KEYS
    yield f"remove it, or write {'a key of its section' if many else 'one of ' + ', '.join(known)}"


def _sentence(words: str, given: Any, without_secrets: Callable[[str], str]) -> str:
    """Return what is wrong, the value in parentheses, and the fix."""
    what, _, fix = words.partition("; fix: ")
    if isinstance(given, str | int | float | Path):
        text = str(given).lower() if isinstance(given, bool) else str(given)
        for quoted in (f"{text!r} ", f"{text!r}: "):
            what = what.removeprefix(quoted)
        if repr(text) not in what and (len(text) < _SHORT or text not in what):
            shown = printable(without_secrets(text.strip()), _MOST_VALUE)
            what = f"{what} {shown if shown == HIDDEN else f'({shown or repr(shown)})'}"
    return f"{printable(what)}, fix: {printable(fix or _SCHEMA)}"
