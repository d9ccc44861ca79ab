"""A template of a plugin's configuration: JSON with comments, and words in it that are filled in.

Contiv's ``config.template``, which its build turns into config.json with grep and sed, is one: lines that begin with
``##`` are dropped, and ``__NAME__`` in a value, or a whole value ``PluginName``, stands for what is known only when
the plugin is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES

_COMMENT: Final = re.compile(r"[ \t]*##")
_PLACEHOLDER: Final = re.compile(r"__([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__")
#: Words that are placeholders although they do not look it: what contiv writes.
_WORDS: Final = frozenset({"PluginName"})


def fill(content: bytes, values: Mapping[str, str]) -> dict[str, Any]:
    """Make a configuration of a template.

    Args:
        content: the template's bytes.
        values: what stands for each placeholder, by its name without the underlines.

    Returns:
        The configuration as JSON. Values are put into it after it was read, so that none can change its shape.

    Raises:
        ConfigurationFault: a placeholder that has no value, or a value for which there is no placeholder.
        ManifestInvalid: not JSON.
    """
    if len(content) > MAX_CONFIG_BYTES:
        raise ManifestInvalid(f"template of {len(content)} bytes: at most {MAX_CONFIG_BYTES} are read")
    document = parse_json_object(without_comments(content), "the template, comments left out,")
    names: set[str] = set()
    try:
        filled: dict[str, Any] = _each_string(document, lambda text: _filled(text, values, names))
    except RecursionError as error:
        raise ManifestInvalid("the template is nested too deeply") from error
    if missing := sorted(names.difference(values)):
        lines = " ".join(f"--set {name}=VALUE" for name in missing)
        raise ConfigurationFault(f"the template has placeholders that are not filled: add {lines}")
    if unknown := sorted(set(values).difference(names)):
        known = ", ".join(sorted(names)) or "none"
        raise ConfigurationFault(f"the template has no placeholder {unknown[0]!r} (it has: {known})")
    return filled


def without_comments(content: bytes) -> bytes:
    """The template with its comments as empty lines, so that a mistake is still told by its line."""
    lines = content.decode("utf-8", "replace").split("\n")
    return "\n".join("" if _COMMENT.match(line) else line for line in lines).encode()


def _filled(text: str, values: Mapping[str, str], names: set[str]) -> str:
    """A value with its placeholders filled; their names are added to ``names``."""
    if text in _WORDS or text in values:
        names.add(text)
        return values.get(text, text)

    def value_of(match: re.Match[str]) -> str:
        names.add(match[1])
        return values.get(match[1], match[0])

    return _PLACEHOLDER.sub(value_of, text)


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    """The same JSON with every string that is a value changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_string(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _each_string(item, change) for key, item in value.items()}
    return value
