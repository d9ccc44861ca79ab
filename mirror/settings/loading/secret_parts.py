"""The parts of a configuration that no message shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from mirror.plugin.config.secret_values import HIDDEN, masked, masked_words
from mirror.settings.loading.model_keys import kinds_at
from mirror.settings.loading.yaml_reading import Place

#: Characters by which a secret is recognized in a message. A parser may quote its beginning only.
_ENOUGH: Final = 8
#: A shorter secret is part of many words.
_SHORTEST: Final = 4
#: The login before a host, also of a URL that lacks its scheme. The colon may be that of the scheme.
_LOGIN: Final = re.compile(r"((?:^|\s)[A-Za-z][A-Za-z0-9+.-]*://|^)(?=[^@]*:).*@", re.DOTALL)
_QUERY: Final = re.compile(r"(://[^?#]*[?#]).+", re.DOTALL)
_UNSAID: Final = "is wrong, and a secret is part of the message, fix: 'plugin-mirror config schema' describes the key"


def hidden_secrets(key: str, text: str) -> str:
    """Return a value with its secrets replaced by ``(hidden)``.

    Args:
        key: key of the value.
        text: the value.
    """
    shown = _LOGIN.sub(rf"\1{HIDDEN}@", text) if "@" in text else text
    return masked(key, _QUERY.sub(rf"\1{HIDDEN}", shown))


def secret_key(model: type[BaseModel], place: Place) -> str:
    """Return the key of a value, by which it may be a secret. The text is empty if the value is the path of a file."""
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    return "" if Path in kinds_at(model, place) else key


class Secrets:
    """The secrets among the values of a configuration.

    Args:
        model: the section that the values are for.
        value: texts, lists and mappings, nested.
    """

    def __init__(self, model: type[BaseModel], value: Any) -> None:
        shown = ((text, hidden_secrets(secret_key(model, place), text)) for place, text in _texts(value, ()))
        found = {part for text, without in (*shown, *_words(value)) for part in _hidden(text, without)}
        self._begins = {form[:_ENOUGH] for part in found if len(part) >= _SHORTEST for form in (part, repr(part)[1:-1])}

    def kept_out(self, sentence: str) -> str:
        """Return a sentence, or another one in its place if it has a secret."""
        return _UNSAID if any(begin in sentence for begin in self._begins) else sentence


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield the place and the text of each value."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for part, one in items:
            yield from _texts(one, (*place, part))


def _words(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the items of each list, and the same without secrets. A list may be a command line."""
    if isinstance(value, list | tuple):
        words = [one for one in value if isinstance(one, str)]
        yield from zip(words, masked_words(words), strict=True)
    if isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _words(one)


def _hidden(text: str, shown: str) -> Iterator[str]:
    """Yield the parts of a text that ``shown`` hides."""
    if text != shown:
        kept = map(re.escape, shown.split(HIDDEN))
        match = re.fullmatch("(.*?)".join(kept), text, re.DOTALL)
        yield from (text,) if match is None else match.groups()
