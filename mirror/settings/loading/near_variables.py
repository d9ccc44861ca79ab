"""The setting that the author of an unknown variable may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, get_origin

from mirror.settings.loading.model_keys import is_section, keys_at, kinds_at
from mirror.settings.sections import Settings

_Names: TypeAlias = tuple[str, ...]

#: The variable of the command line, and names by which other programs know a setting.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "config": "config",
    "config_file": "config",
    "data": "storage__path",
    "data_dir": "storage__path",
    "path": "storage__path",
    "port": "server__listen",
    "address": "server__listen",
    "host": "server__listen",
    "server_port": "server__listen",
}
#: Least similarity of names, from 0 to 1.
_SIMILAR: Final = 0.75
#: Longest name that is compared, in characters. No setting has a name half as long.
_LONGEST: Final = 120


def near_variable(place: Sequence[str]) -> str | None:
    """Return the likeliest setting, as the end of the name of its variable: ``server__listen``. None if there is none.

    Args:
        place: the parts of the unknown variable, in lower case.
    """
    known = next(length for length in range(len(place), -1, -1) if kinds_at(Settings, place[:length]))
    above, rest = tuple(place[:known]), "_".join(place[known:])
    if len(rest) > _LONGEST:
        return None
    names = {"_".join(below): "__".join((*above, *below)) for below in _settings_below(above, rest)}
    names |= {other: meant for other, meant in _OTHER_NAMES.items() if not above and other not in names}
    if meant := names.get(rest) or _OTHER_NAMES.get("_".join(place)) or _with_another_part(place, known):
        return meant
    # A key whose section was forgotten. One in the fewest sections is meant, if there is one only.
    ends = sorted((meant.count("__"), meant) for meant in set(names.values()) if _is_end(meant, rest))
    if ends and [depth for depth, _ in ends].count(ends[0][0]) == 1:
        return ends[0][1]
    return next((names[name] for name in _like(rest, names)), None)


def _like(text: str, names: Iterable[str]) -> list[str]:
    """Return the names like a text, the most similar first. Few people misspell the first letter."""
    return difflib.get_close_matches(text, (name for name in names if name[:1] == text[:1]), cutoff=_SIMILAR)


def _with_another_part(place: Sequence[str], number: int) -> str | None:
    """Return the setting if one part is misspelled, and all others are right."""
    for key in _like(place[number], keys_at(Settings, place[:number])):
        if kinds_at(Settings, meant := (*place[:number], key, *place[number + 1 :])):
            return "__".join(meant)
    return None


def _is_end(meant: str, rest: str) -> bool:
    return meant.rpartition("__")[2] in {rest, f"{rest}_file"}


def _settings_below(above: _Names, rest: str) -> Iterator[_Names]:
    """Yield the places of settings below a section, and those below the names in it that ``rest`` may begin with."""
    for key in keys_at(Settings, above):
        yield (key,)
        yield from ((key, *below) for below in _settings_below((*above, key), ""))
        if any(get_origin(kind) is dict for kind in kinds_at(Settings, (*above, key))) and rest.startswith(key):
            yield from ((key, *below) for below in _settings_of_name((*above, key), rest[len(key) :].strip("_")))


def _settings_of_name(above: _Names, rest: str) -> Iterator[_Names]:
    for length in range(1, rest.count("_") + 1):
        name = "_".join(rest.split("_")[:length])
        if any(map(is_section, kinds_at(Settings, (*above, name)))):
            yield from ((name, *below) for below in _settings_below((*above, name), ""))
