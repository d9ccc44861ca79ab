"""Words about mistakes in the configuration: each on one line, with its place and a fix, and without secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mirror.oci.printable_text import printable
from mirror.plugin.config.secret_values import HIDDEN, is_secret_name, masked_text
from mirror.settings.loading.empty_values import EMPTY
from mirror.settings.loading.model_keys import is_structured, keys_at, kinds_at
from mirror.settings.loading.secret_parts import Secrets
from mirror.settings.loading.shown_keys import shown_key
from mirror.settings.loading.value_origins import ValueOrigins
from mirror.settings.loading.yaml_reading import Place
from mirror.settings.section import Mistakes

#: What is wrong, and the fix, by pydantic's type of error. Words in braces are from the details of the error.
_WORDS: Final = {
    "missing": "is missing; fix: add the key",
    "bool_parsing": "is neither true nor false; fix: write true or false",
    "bool_type": "is neither true nor false; fix: write true or false",
    "int_parsing": "is not a whole number; fix: write digits, such as 5",
    "int_parsing_size": "is too large; fix: write a smaller number",
    "int_type": "is not a whole number; fix: write digits, such as 5",
    "int_from_float": "is not a whole number; fix: write digits, such as 5",
    "float_parsing": "is not a number; fix: write one, such as 5 or 0.5",
    "float_type": "is not a number; fix: write one, such as 5 or 0.5",
    "finite_number": "is not a finite number; fix: write a number, such as 5",
    "byte_size": "is not a size; fix: write a number of bytes with or without a unit, such as 200GiB or 64MiB",
    "byte_size_unit": "has an unknown unit; fix: write KB, MB, GB and TB, or KiB, MiB, GiB and TiB",
    "greater_than": "is too small; fix: write a number greater than {gt}",
    "greater_than_equal": "is too small; fix: write {ge} or more",
    "less_than": "is too large; fix: write a number less than {lt}",
    "less_than_equal": "is too large; fix: write {le} or less",
    "literal_error": "is none of the possible values; fix: write {expected}",
    "enum": "is none of the possible values; fix: write {expected}",
    "string_type": "is not a text; fix: write one value, without a list or section",
    "string_too_short": "is empty; fix: write a value",
    "too_short": "is empty; fix: add at least one item",
    "too_long": "has too many items; fix: keep at most {max_length}",
    "path_type": "is not a path; fix: write one path, such as /srv/plugins",
}
_NO_WORDS: Final = "is wrong"
_SCHEMA: Final = "'plugin-mirror config schema' describes the key"
_NOT_A_SECTION: Final = "is not a section; fix: write KEY: VALUE lines below the key, and indent them"
_NO_SPACE: Final = "a colon without a space does not end a key; fix: write a space after the colon"
_NOT_A_LIST: Final = "is not a list; fix: write [a, b], or items that begin with '- '"
_STRUCTURES: Final = {
    "model_type": _NOT_A_SECTION,
    "dict_type": _NOT_A_SECTION,
    "tuple_type": _NOT_A_LIST,
    "list_type": _NOT_A_LIST,
}
_NO_KEYS: Final = "is empty; fix: indent its keys or items below it, or remove it"
_NO_VALUE: Final = "is empty; fix: write a value, or remove it"
#: The same about values of variables.
_OF_VARIABLES: Final = {
    _NOT_A_SECTION: 'is not a section; fix: write JSON such as {"KEY": "VALUE"}, or set {name}__KEY',
    _NOT_A_LIST: 'is not a list; fix: write JSON such as ["a", "b"]',
    _NO_KEYS: "is empty; fix: unset it, or write a value",
    _NO_VALUE: "is empty; fix: unset it, or write a value",
    _WORDS["missing"]: "is missing; fix: set {name}",
}
_MOST_VALUE: Final = 80
#: A shorter value may be a part of other words.
_SHORT: Final = 4
#: Most keys of a section that are listed.
_MOST_KEYS: Final = 12
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ITEM_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
            name = where.variable(place)
            words = _OF_VARIABLES.get(wrong, wrong).replace("{name}", name) if name else wrong
            fits = (problem["type"] in _STRUCTURES) == isinstance(given, Mapping | list | tuple)
            told = secrets.kept_out(_sentence(words, given, partial(secrets.shown, place)))
            found.setdefault(place, []).append((fits, told))
    # Each member of a union has its own problem with a value. The member that is most like the value speaks.
    deepest = [place for place in found if not any(place == other[: len(place)] for other in found if place != other)]
    return [(place, next((told for fits, told in found[place] if fits), found[place][0][1])) for place in deepest]


def shown_place(place: Sequence[str | int], value: Any) -> str:
    """Return a place as people write it: ``mirrors[contiv].cron``. Items without a name are counted from 1.

    Args:
        place: keys and numbers of items.
        value: the plain values that the place is in.
    """
    shown = ""
    above: str | int | None = None
    for part in place:
        value = _below(value, part)
        if isinstance(part, int):
            name = value.get("name") if isinstance(value, Mapping) else None
            shown += f"[{name if isinstance(name, str) and _ITEM_NAME.fullmatch(name) else part + 1}]"
        else:
            # The keys of pin are tags with a colon, and those of other sections have none.
            told = printable(masked_text(part), 60) if above == "pin" else shown_key(part)
            shown += f".{told}" if _KEY.fullmatch(told) else f"['{told}']" if shown else f"'{told}'"
        above = part
    return shown.removeprefix(".")


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
        yield place, _WORDS[kind], None
    elif given is EMPTY or (given is None and kind != "value_error"):
        is_structure = any(map(is_structured, kinds_at(model, place)))
        yield place, _NO_KEYS if is_structure else _NO_VALUE, None
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
        words = (
            _NO_SPACE if _is_glued(kind, given, model, place) else _STRUCTURES.get(kind) or _WORDS.get(kind, _NO_WORDS)
        )
        yield place, words.format_map(details), given


def _is_glued(kind: str, given: Any, model: type[BaseModel], place: Place) -> bool:
    """Return True if the text in place of a section is one of its keys, without a space after the colon."""
    key, colon, _ = given.partition(":") if isinstance(given, str) else ("", "", "")
    return kind in _STRUCTURES and bool(colon) and key in keys_at(model, place)


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
    if close := difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1):
        yield f"write {close[0]}"
    if ":" in key:
        yield "write a space after the colon"
    if homes := [home for home in known if key in below(home)]:
        yield f"write it below {' or '.join(f'{home}:' for home in homes[:3])}"
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
