"""Keys and places in messages. Some people write a secret in place of a key, or behind it without a space."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from mirror.oci.printable_text import printable
from mirror.plugin.config.secret_values import HIDDEN, masked_text
from mirror.settings.loading.model_keys import all_keys, keys_at

#: Longest key that is shown. Longer texts are mostly secrets, and no key of a section is as long.
MOST_SHOWN: Final = 40
_SIGN: Final = re.compile(r"([=:]).+", re.DOTALL)
#: A key as people invent it. Secrets mostly have digits or other signs.
_WORD: Final = re.compile(r"[A-Za-z]+(?:[_-][A-Za-z]+)*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ITEM_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Keys of files with secrets. Some people write the secret itself.
SECRET_FILE: Final = re.compile(r"(?:.*_)?(?:key|(?:password|token|secret|key)s?_file|docker_config)")


def shown_key(key: str) -> str:
    """Return a key with ``(hidden)`` in place of what follows ``=`` or ``:``, and of a long key as a whole."""
    return printable(_SIGN.sub(rf"\1{HIDDEN}", masked_text(key))) if len(key) <= MOST_SHOWN else HIDDEN


def shown_unknown_key(key: str, known: Collection[str] = (), elsewhere: Collection[str] = ()) -> str:
    """Return a key that its section does not know, or ``(hidden)`` if the key is perhaps a secret.

    A key is shown if it is one of another section. Otherwise it is shown if it has letters only. In a section with a
    secret, it must also resemble a key of the section.

    Args:
        key: the key. Each of its parts between dots is judged. What follows ``=`` or ``:`` is hidden.
        known: keys of its section.
        elsewhere: keys of all sections.
    """
    name = _SIGN.sub("", key)
    if name != key:
        return f"{shown_unknown_key(name, known, elsewhere)}{key[len(name)]}{HIDDEN}"
    is_shown = len(key) <= MOST_SHOWN and all(_is_word(part, known, elsewhere) for part in key.split("."))
    return key if is_shown else HIDDEN


def shown_place(place: Sequence[str | int], value: Any, model: type[BaseModel]) -> str:
    """Return a place as people write it: ``mirrors[contiv].cron``. Items without a name are counted from 1.

    Args:
        place: keys and numbers of items.
        value: the plain values that the place is in.
        model: the section that the values are for.
    """
    shown = ""
    for number, part in enumerate(place):
        value = _below(value, part)
        if isinstance(part, int):
            name = value.get("name") if isinstance(value, Mapping) else None
            shown += f"[{name if isinstance(name, str) and _ITEM_NAME.fullmatch(name) else part + 1}]"
        else:
            told = _told(part, place[:number], model)
            shown += f".{told}" if _PLAIN.fullmatch(told) else f"['{told}']" if shown else f"'{told}'"
    return shown.removeprefix(".")


def _told(key: str, above: Sequence[str | int], model: type[BaseModel]) -> str:
    known = keys_at(model, above)
    if known:
        return key if key in known else shown_unknown_key(key, known, all_keys(model))
    # The keys of pin are tags with a colon, and those of other mappings have none.
    return printable(masked_text(key), 60) if above and above[-1] == "pin" else shown_key(key)


def _is_word(text: str, known: Collection[str], elsewhere: Collection[str]) -> bool:
    if text in elsewhere:
        return True
    if _WORD.fullmatch(text) is None:
        return False
    near = {*known, *(key.removesuffix("_file") for key in known)}
    return not any(map(SECRET_FILE.fullmatch, known)) or bool(difflib.get_close_matches(text.lower(), near, n=1))


def _below(value: Any, part: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    return value[part] if isinstance(value, list | tuple) and isinstance(part, int) and part < len(value) else None
