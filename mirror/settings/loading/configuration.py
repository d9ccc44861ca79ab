"""The configuration. Flags override ``PLUGIN_MIRROR_…`` variables, which override the file and the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mirror.oci.errors import ConfigurationFault
from mirror.settings.loading.mistakes import mistakes_in, shown_place
from mirror.settings.loading.variables import leaves, over, read_variables
from mirror.settings.loading.yaml_reading import Document, Place, read_file
from mirror.settings.sections import Settings

#: Beginning of top-level keys that hold nothing but anchors (&) for other keys.
_ANCHORS: Final = "x-"


def load(
    path: Path | None = None, flags: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Settings:
    """Return the effective settings.

    Args:
        path: a YAML file, or None for no file.
        flags: nested values that override the file and the environment, such as
            ``{"server": {"listen": "127.0.0.1:0"}}``.
        defaults: nested values that the file and the environment override.

    Raises:
        ConfigurationFault: the file cannot be read, or values are invalid. The message has one line for each mistake,
            ``FILE:LINE: KEY: what is wrong (value), fix: …``, without secrets.
    """
    document = Document({}, {}) if path is None else _sections(path)
    variables = read_variables(os.environ)
    value = over(over(over(defaults or {}, document.value), variables.values), flags or {})
    try:
        return Settings.model_validate(value)
    except ValidationError as error:
        given = variables.names | (dict.fromkeys(leaves(flags), "command line") if flags else {})
        origin = _Origin("configuration" if path is None else str(path), document.lines, given)
        raise ConfigurationFault(
            "\n".join(
                f"{origin.of(place)}: {shown_place(place, value)}: {told}"
                for place, told in mistakes_in(error, Settings, value)
            )
        ) from error


def unknown_variables() -> list[str]:
    """Return one sentence for each variable of the environment that looks like a setting, and is none."""
    return read_variables(os.environ).unknown


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    return {**Settings.model_json_schema(by_alias=True), "patternProperties": {f"^{_ANCHORS}": {}}}


def _sections(path: Path) -> Document:
    document = read_file(path)
    if document.value is None:
        return Document({}, {})
    if not isinstance(document.value, dict):
        raise ConfigurationFault(f"{path}:1: the file has no sections, fix: begin with a section such as 'server:'")
    sections = {key: value for key, value in document.value.items() if not key.startswith(_ANCHORS)}
    return Document(sections, document.lines)


@dataclass(frozen=True)
class _Origin:
    """The places where values were written.

    Attributes:
        file: name of the file, for mistakes that no line is responsible for.
        lines: line of each key of the file.
        given: names of what overrides keys of the file: variables, and the command line.
    """

    file: str
    lines: Mapping[Place, int]
    given: Mapping[Place, str]

    def of(self, place: Place) -> str:
        """Return ``FILE:LINE``, a variable, or the command line."""
        # A variable may replace a whole list, whose items have lines in the file.
        for length in range(len(place) + 1):
            if name := self.given.get(place[:length]):
                return name
        # The line of a missing key is that of its section. The section may be in a variable only.
        known = next((length for length in range(len(place), 0, -1) if place[:length] in self.lines), 0)
        for length in range(len(place), known, -1):
            if beside := next((name for other, name in self.given.items() if other[:length] == place[:length]), None):
                return beside
        return f"{self.file}:{self.lines[place[:known]]}" if known else self.file
