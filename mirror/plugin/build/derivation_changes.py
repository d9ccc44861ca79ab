"""Changes of a copy of a plugin compared with the original. Pure. Rules have them without any plugin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import escaped

#: ``{word}`` or ``{{word}}``. Values in other braces, such as JSON and Go templates, are no placeholders.
_PLACEHOLDER: Final = re.compile(r"\{\{([A-Za-z_]+)\}\}|\{([A-Za-z_]+)\}")


@dataclass(frozen=True, slots=True)
class DerivationChanges:
    """Changes of a copy compared with the original.

    Attributes:
        env: values of environment variables, by name.
        mounts: sources of mounts, by name. A mount without a name is named by its destination.
        devices: paths of devices, by name. A device without a name is named by its path.
        args: arguments after the entrypoint; None leaves them unchanged.
        fix: True to fix digests and media types, so that every engine from 1.13 on accepts the copy.

    Raises:
        ConfigurationFault: there is no change, or a value is not Unicode text.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] | None = None
    fix: bool = False

    def __post_init__(self) -> None:
        wanted = self.to_json()
        if not wanted:
            raise ConfigurationFault("there is nothing to change; fix: give env, mounts, devices, args or fix")
        try:
            json.dumps(wanted, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ConfigurationFault("a value is not Unicode text; fix: write it in UTF-8") from error

    def to_json(self) -> dict[str, Any]:
        """Return plain values without unchanged members. Equal changes have equal values."""
        given = {"env": dict(self.env), "mounts": dict(self.mounts), "devices": dict(self.devices)}
        value: dict[str, Any] = {key: values for key, values in given.items() if values}
        if self.args is not None:
            value["args"] = list(self.args)
        return value | ({"fix": True} if self.fix else {})

    def shown(self) -> dict[str, Any]:
        """Return :meth:`to_json` without secrets."""
        from mirror.plugin.config.secret_values import masked_values  # late: most commands show no changes

        return {key: masked_values(value) for key, value in self.to_json().items()}

    def filled_in(self, repository: Repository, tag: Tag) -> DerivationChanges:
        """Return the changes with ``{name}`` and ``{tag}`` in values replaced by the name and tag of the copy.

        ``{{word}}`` is replaced by the text ``{word}``. All other braces stay.

        Raises:
            ConfigurationFault: a value has another word in single braces.
        """
        words = {"name": repository.name, "tag": tag.name}

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: _filled(match, words), text)

        def each(values: Mapping[str, str]) -> dict[str, str]:
            return {key: fill(value) for key, value in values.items()}

        args = None if self.args is None else tuple(map(fill, self.args))
        return replace(self, env=each(self.env), mounts=each(self.mounts), devices=each(self.devices), args=args)

    def __str__(self) -> str:
        """Return the changes in one line without secrets: ``env role="worker", fix``."""
        from mirror.plugin.config.secret_values import masked, masked_words

        kinds = (("env", self.env), ("mount", self.mounts), ("device", self.devices))
        told = [
            f"{kind} {legible(key)}={as_json(masked(key, value))}"
            for kind, values in kinds
            for key, value in values.items()
        ]
        told += [f"args {as_json(masked_words(self.args))}"] if self.args is not None else []
        return ", ".join([*told, *(["fix"] if self.fix else [])])


def as_json(value: object) -> str:
    """Return a value as JSON for a message."""
    return "unset" if value is None else legible(json.dumps(value, ensure_ascii=False))


def legible(text: str) -> str:
    """Return a text of bounded length without control characters."""
    return escaped(text, 200)


def _filled(match: re.Match[str], words: Mapping[str, str]) -> str:
    """Return the text for a placeholder."""
    literal, word = match.groups()
    if literal is not None:
        return f"{{{literal}}}"
    if word not in words:
        known = " or ".join(f"{{{name}}}" for name in words)
        raise ConfigurationFault(
            f"{{{word}}} in a value of derive is unknown; fix: write {known}, or {{{{{word}}}}} for the text {{{word}}}"
        )
    return words[word]
