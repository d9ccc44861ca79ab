"""Words about wrong values in a file and in a variable, of the form "WHAT; fix: HOW"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from mirror.settings.loading.model_keys import keys_at
from mirror.settings.loading.value_origins import PREFIX, ValueOrigins
from mirror.settings.loading.yaml_reading import Place

MISSING: Final = "is missing; fix: add the key"
NOT_A_SECTION: Final = "is not a section; fix: write KEY: VALUE lines below the key, and indent them"
NOT_A_LIST: Final = "is not a list; fix: write [a, b], or items that begin with '- '"
NO_SPACE: Final = "a colon without a space does not end a key; fix: write a space after the colon"
NO_KEYS: Final = "is empty; fix: indent its keys or items below it, or remove it"
NO_VALUE: Final = "is empty; fix: write a value, or remove it"
NO_WORDS: Final = "is wrong"
#: Words by pydantic's type of error. Words in braces are from the details of the error.
WORDS: Final[Mapping[str, str]] = {
    "missing": MISSING,
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
#: Words by the type of an error about the form of a value.
STRUCTURES: Final[Mapping[str, str]] = {
    "model_type": NOT_A_SECTION,
    "dict_type": NOT_A_SECTION,
    "tuple_type": NOT_A_LIST,
    "list_type": NOT_A_LIST,
}
_JSON_LIST: Final = 'is not a list; fix: write JSON such as ["a", "b"]'
_JSON_SECTION: Final = 'is not a section; fix: write JSON such as {"KEY": "VALUE"}'
_OF_VARIABLES: Final[Mapping[str, str]] = {
    NOT_A_SECTION: f"{_JSON_SECTION}, or set {{name}}__KEY",
    NO_SPACE: f"{_JSON_SECTION}, or set {{name}}__KEY",
    NOT_A_LIST: _JSON_LIST,
    NO_KEYS: "is empty; fix: unset it, or write a value",
    NO_VALUE: "is empty; fix: unset it, or write a value",
    MISSING: "is missing; fix: set {name}",
}
_INSIDE_VARIABLES: Final[Mapping[str, str]] = {
    NOT_A_SECTION: _JSON_SECTION,
    NO_SPACE: _JSON_SECTION,
    NOT_A_LIST: _JSON_LIST,
    NO_KEYS: "is empty; fix: write a value, or remove it",
    MISSING: "is missing; fix: add the key to the JSON",
}
#: Another key in a fix: ``'KEY: VALUE' under SECTION:``, or its name alone.
_KEY_TO_WRITE: Final = re.compile(r"'(\w+): ([^']+)'(?: under \w+:)?|(?<=fix: add )(\w+)\Z")
#: A section of the file in a fix.
_SECTION: Final = re.compile(r"\bunder (\w+):")


def fitted(words: str, model: type[BaseModel], place: Place, where: ValueOrigins) -> str:
    """Return words about a wrong value, with a fix for the variable if the value is from one.

    Args:
        words: words for a value in the file.
        model: the section that ``place`` is relative to.
        place: place of the value.
        where: the origins of the values.
    """
    name = where.variable(place)
    if name:
        words = _OF_VARIABLES.get(words, words).replace("{name}", name)
        words = _KEY_TO_WRITE.sub(lambda match: _assignment(match, model, place), words)
    elif where.of(place).startswith(PREFIX):
        words = _INSIDE_VARIABLES.get(words, words)
        words = _KEY_TO_WRITE.sub(lambda match: f'"{match[1]}": {match[2]}' if match[2] else match[0], words)
    else:
        return words
    return _SECTION.sub(lambda match: f"in {PREFIX}{match[1].upper()}", words)


def _assignment(match: re.Match[str], model: type[BaseModel], place: Place) -> str:
    """Return the variable for another key, which is in the nearest section around a place that knows the key."""
    key, value = match[1] or match[3], match[2]
    around = (place[:length] for length in range(len(place) - 1, -1, -1))
    section = next((above for above in around if key in keys_at(model, above)), None)
    if section is None:
        return match[0]
    name = PREFIX + "__".join(map(str, (*section, key))).upper()
    if value is None:
        return name
    # A list is written as JSON.
    return f"{name}={value}" if value[0] != "[" else f"{name}=" + re.sub(r"(\w+)", r'"\1"', value)
