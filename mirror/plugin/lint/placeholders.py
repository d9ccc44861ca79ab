"""Check of a config for placeholders of a template that nobody filled. Pure decisions.

The form of a text is all that the check knows, so each finding is a guess. Engines expand nothing. A shell in the
plugin does, so its commands may have ``${NAME}``. Options of log drivers may have ``{{.Name}}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings.config_findings import TEMPLATE_LEFT
from mirror.plugin.findings.finding import Finding
from mirror.plugin.rootfs.program import SHELLS

#: Forms that no program expands: ``__NAME__``, ``%NAME%``, ``@NAME@``, ``{{ name }}``, ``<NAME>`` and contiv's word.
#: An escape of a URL such as ``%2F`` is no form, and neither is ``{{.Name}}``.
_FILLED_BY_BUILDERS: Final = re.compile(
    r"""
    __[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*__
    | %(?=[A-Z0-9_]*[G-Z_])[A-Z][A-Z0-9_]{2,}%(?![0-9A-Fa-f]{2})
    | (?<![\w.])@[A-Z][A-Z0-9_]+@
    | \{\{-?[ ]*(?!(?:end|else|break|continue)\b)[A-Za-z_]\w*(?:\.\w+)*[ ]*(?:\|[^{}]*)?-?\}\}
    | ^PluginName$
    | ^<(?:[A-Z][A-Z0-9_-]{2,}|your[ _-][\w -]+)>$
    """,
    re.VERBOSE | re.ASCII,
)
#: ``$NAME``, ``${NAME}``, ``$(NAME)`` and every ``{{…}}``, for texts that the engine itself uses.
_FILLED_BY_SHELLS: Final = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^{}]+\}|\([A-Za-z_]\w*\))|\{\{[^{}]*\}\}", re.ASCII)
_VARIABLE: Final = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}", re.ASCII)
_WHOLE_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][\w.-]*)\}", re.ASCII)
#: Names of variables whose value the plugin itself expands.
_EXPANDED: Final = re.compile(r"^PS[0-4]$|PROMPT|FORMAT|TEMPLATE|PATTERN|COMMAND|CMD|SCRIPT|TAG|LABEL", re.IGNORECASE)
_EXPANDED_FORMS: Final = ("$", "{{", "%")
_EXPANDING: Final = SHELLS | {"busybox", "execlineb"}
#: Longest part of a text that is searched. The forms are short, and a text may have 4 MiB.
_MOST_CHARACTERS: Final = 4096


def check_placeholders(config: PluginConfig) -> Iterator[Finding]:
    """Yield a finding for each value that looks like or holds an unfilled placeholder, in the order of the config."""
    for where, found in _left(config):
        yield TEMPLATE_LEFT(where=where, placeholder=found)


def _left(config: PluginConfig) -> Iterator[tuple[str, str]]:
    """Yield places and their placeholders."""
    for where, text in _engine_texts(config):
        cut = text[:_MOST_CHARACTERS]
        if match := _FILLED_BY_BUILDERS.search(cut) or _FILLED_BY_SHELLS.search(cut):
            yield where, match[0]
    words = (*config.entrypoint, *config.args.value)
    # A shell expands its command, and may get it as several words.
    has_shell = any(word.rpartition("/")[2] in _EXPANDING for word in words)
    for word in words[1:] if config.entrypoint else words:
        cut = word[:_MOST_CHARACTERS]
        match = _FILLED_BY_BUILDERS.search(cut)
        if match is None and not has_shell and " " not in cut:
            match = _VARIABLE.search(cut)
        if match is not None:
            yield "an argument", match[0]
    names = {env.name for env in config.env}
    for env in config.env:
        found = None if env.value is None else _in_value(env.value, names)
        if found is not None and not (_EXPANDED.search(env.name) and found.startswith(_EXPANDED_FORMS)):
            yield f"the value of env {env.name}", found


def _engine_texts(config: PluginConfig) -> Iterator[tuple[str, str]]:
    """Yield the texts that an engine uses as they are: names and paths."""
    yield "the socket", config.interface.socket
    yield from (("an interface type", name) for name in config.interface.types)
    yield from (("the entrypoint", word) for word in config.entrypoint[:1])
    yield "WorkDir", config.work_dir
    yield "PropagatedMount", config.propagated_mount
    yield "the network type", config.network_type
    yield from (("a capability", name) for name in config.capabilities)
    for env in config.env:
        yield "the name of an env", env.name
    for mount in config.mounts:
        yield "the name of a mount", mount.name
        yield "the source of a mount", mount.source or ""
        yield "the destination of a mount", mount.destination
        yield from (("an option of a mount", option) for option in mount.options)
    for device in config.devices:
        yield "the name of a device", device.name
        yield "the path of a device", device.path or ""


def _in_value(value: str, names: set[str]) -> str | None:
    """Return the placeholder in the value of a variable; None if there is none.

    Args:
        value: the value.
        names: variables of the plugin, which a script of the plugin may expand in each other.
    """
    cut = value[:_MOST_CHARACTERS]
    if match := _FILLED_BY_BUILDERS.search(cut):
        return match[0]
    match = _WHOLE_VARIABLE.fullmatch(cut) or (None if " " in cut else _VARIABLE.search(cut))
    return match[0] if match is not None and match[1] not in names else None
