"""The parts of a configuration that no message shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from mirror.plugin.config.secret_values import HIDDEN, masked, masked_text, masked_words
from mirror.settings.loading.model_keys import keys_at, kinds_at
from mirror.settings.loading.shown_keys import SECRET_FILE, shown_key
from mirror.settings.loading.yaml_reading import Place

#: Characters by which a secret is recognized in a message. A parser may quote its beginning only.
_ENOUGH: Final = 8
#: A shorter secret is part of many words.
_SHORTEST: Final = 4
#: The login before a host, also of a URL that lacks its scheme. The colon may be that of the scheme.
_LOGIN: Final = re.compile(r"((?:^|\s)[A-Za-z][A-Za-z0-9+.-]*://|^(?=[^@]*:)).*@", re.DOTALL)
_QUERY: Final = re.compile(r"(://[^?#]*[?#]).+", re.DOTALL)
_URL_PATH: Final = re.compile(r"(://[^/?#]*/)[^?#]+")
#: What follows the colon of a host, and is neither a port nor a part of an IPv6 address: perhaps a password.
_NO_PORT: Final = re.compile(
    r"(^|://)([^/?#@:\[\]\s]+:)(?![0-9]{0,7}(?:[/?#]|$)|//|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$)[^/?#@]+"
)
_OF_ADDRESSES: Final = frozenset({"url", "proxy", "realm", "jwks", "listen", "foreign_hosts"})
_OF_NAMES: Final = frozenset({"users", "user"})
#: The password after a name. Prefixes of groups and certificates are no names.
_AFTER_NAME: Final = re.compile(r"^((?:group:)?(?!group:|cert:)[^:]*:).+", re.DOTALL)
#: What has a slash and is no JSON, and names such as server.key.
_PATH: Final = re.compile(r"(?:[^\"'{}]|\$\{\w*\})*/(?:[^\"'{}]|\$\{\w*\})*|[\w-]+\.(?:key|pem|json)")
_LONGEST_PATH: Final = 4096
_SWITCHES: Final = frozenset({"true", "false", "yes", "no", "on", "off"})
_UNSAID: Final = "is wrong, and a secret is part of the message, fix: 'plugin-mirror config schema' describes the key"


def shown_path(key: str, text: str) -> str:
    """Return the path of a file, or ``(hidden)`` if it is perhaps the secret that the file should hold.

    Args:
        key: key of the path.
        text: the path.
    """
    is_path = len(text) <= _LONGEST_PATH and _PATH.fullmatch(text)
    return text if is_path or not SECRET_FILE.fullmatch(key) else HIDDEN


class Secrets:
    """The secrets among the values of a configuration.

    Args:
        model: the section that the values are for.
        value: texts, lists and mappings, nested.
    """

    def __init__(self, model: type[BaseModel], value: Any) -> None:
        self._model = model
        shown = ((text, self._without_secrets(place, text)) for place, text in _texts(value, ()))
        found = {part for text, without in (*shown, *_words(value)) for part in _hidden(text, without)}
        self._begins = {form[:_ENOUGH] for part in found if len(part) >= _SHORTEST for form in (part, repr(part)[1:-1])}

    def shown(self, place: Place, text: str) -> str:
        """Return a value with its secrets, and the path of a URL, replaced by ``(hidden)``.

        Args:
            place: place of the value, or of the key.
            text: the value, or the key.
        """
        if place and place[-1] == text:
            return shown_key(text)
        # The secret itself may stand in place of a section with its file.
        if text and text not in _SWITCHES and any(map(SECRET_FILE.fullmatch, keys_at(self._model, place))):
            return HIDDEN
        without = self._without_secrets(place, text)
        if Path in kinds_at(self._model, place):
            return shown_path(_key(place), without)
        # The path of a webhook is mostly its secret.
        return _URL_PATH.sub(rf"\1{HIDDEN}", without)

    def kept_out(self, sentence: str) -> str:
        """Return a sentence, or another one in its place if it has a secret."""
        return _UNSAID if any(begin in sentence for begin in self._begins) else sentence

    def _without_secrets(self, place: Place, text: str) -> str:
        key = _key(place)
        shown = _LOGIN.sub(rf"\1{HIDDEN}@", text) if "@" in text else text
        shown = _QUERY.sub(rf"\1{HIDDEN}", shown)
        if Path in kinds_at(self._model, place):
            return masked_text(shown)
        if key in _OF_ADDRESSES or "://" in text:
            shown = _NO_PORT.sub(rf"\1\2{HIDDEN}", shown)
        if key in _OF_NAMES or place[:1] == ("groups",):
            shown = _AFTER_NAME.sub(rf"\1{HIDDEN}", shown)
        return masked(key, shown)


def _key(place: Place) -> str:
    return next((part for part in reversed(place) if isinstance(part, str)), "")


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
