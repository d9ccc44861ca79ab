"""Template of a plugin's configuration: JSON with comments and with placeholders.

An example is contiv's ``config.template``, which the build of contiv turns into config.json with grep and sed. Lines
that begin with ``##`` are comments. ``__NAME__`` in a value, or a whole value ``PluginName``, is replaced by a value
that is known only at build time.
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
#: Placeholders without underscores, as contiv writes them.
_WORDS: Final = frozenset({"PluginName"})


def fill(content: bytes, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration of a template.

    Args:
        content: bytes of the template.
        values: value of each placeholder, by its name without the underscores.

    Returns:
        The configuration as JSON. Values are inserted after parsing, so no value can change the structure.

    Raises:
        ConfigurationFault: a placeholder has no value, or a value has no placeholder.
        ManifestInvalid: the template is too large or is not JSON.
    """
    if len(content) > MAX_CONFIG_BYTES:
        raise ManifestInvalid(f"template of {len(content)} bytes: at most {MAX_CONFIG_BYTES} are read")
    document = parse_json_object(without_comments(content), "the template (without comments)")
    names: set[str] = set()
    try:
        filled: dict[str, Any] = _each_string(document, lambda text: _filled(text, values, names))
    except RecursionError as error:
        raise ManifestInvalid("the template is nested too deeply") from error
    # Both directions are errors: a misspelt name would otherwise leave its placeholder in the plugin.
    if missing := sorted(names.difference(values)):
        lines = " ".join(f"--set {name}=VALUE" for name in missing)
        raise ConfigurationFault(f"the template has placeholders that are not filled; fix: add {lines}")
    if unknown := sorted(set(values).difference(names)):
        known = ", ".join(sorted(names)) or "none"
        raise ConfigurationFault(f"the template has no placeholder {unknown[0]!r} (it has: {known})")
    return filled


def without_comments(content: bytes) -> bytes:
    """Return the template with empty lines in place of comments, so that line numbers in errors stay right."""
    lines = content.decode("utf-8", "replace").split("\n")
    return "\n".join("" if _COMMENT.match(line) else line for line in lines).encode()


def _filled(text: str, values: Mapping[str, str], names: set[str]) -> str:
    """Return a text with its placeholders replaced, and add their names to ``names``."""
    if text in _WORDS or text in values:
        names.add(text)
        return values.get(text, text)

    def value_of(match: re.Match[str]) -> str:
        names.add(match[1])
        return values.get(match[1], match[0])

    return _PLACEHOLDER.sub(value_of, text)


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    """Return the same JSON with every string value changed. Keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_string(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _each_string(item, change) for key, item in value.items()}
    return value
