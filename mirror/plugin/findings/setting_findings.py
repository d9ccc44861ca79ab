"""Table of findings about settings, variables and texts that reach the program. Measured on engines 20.10 and 26.1."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.findings.finding_kind import RUNTIME_ERROR, error, warning

SETTABLE_IGNORED: Final = warning(
    code="settable-ignored",
    text="the host cannot set {kind} {name!r}: engines ignore {words} in Settable",
    seen="'docker plugin set' fails: 'is not settable'",
    fix='write "Settable": ["{wanted}"], in lower case',
    own_words=frozenset({"kind", "wanted"}),
)
SETTABLE_WORDS: Final = replace(
    SETTABLE_IGNORED,
    text="engines ignore {words} in Settable of {kind} {name!r}",
    seen="KEY=VALUE without '.{wanted}' fails: 'multiple fields are settable, one must be specified'",
)
SETTING_UNREACHABLE: Final = warning(
    code="setting-unreachable",
    text="{kind} {name!r} can never be set: {reason}",
    seen="'docker plugin set' fails, or sets something else",
    fix="use a name of its own, without '='",
    own_words=frozenset({"kind", "reason"}),
)
ENV_NAMELESS: Final = error(
    code="env-nameless",
    text="a variable in Env has no name: {name!r}",
    seen=RUNTIME_ERROR.format("environment variable name can't be empty"),
    fix="name it, or remove it",
)
ENV_NAME_EQUALS: Final = warning(
    code="env-name",
    text="the name {name!r} in Env has a '='",
    seen="the program sees the variable {before!r}, with the rest at the beginning of the value",
    fix="write the name and the value apart",
)
ENV_TWICE: Final = warning(
    code="env-twice",
    text="the variable {name!r} is in Env more than once",
    seen="the program gets the last value, and 'docker plugin set' changes the first one, without an effect",
    fix="write it once",
)
ZERO_BYTE: Final = error(
    code="zero-byte",
    text="{place} has a zero byte",
    seen="enabling fails: 'null byte', 'invalid argument', or after 13 s: 'connect: no such file or directory'",
    fix="remove it: programs and paths cannot have one",
    own_words=frozenset({"place"}),
)
