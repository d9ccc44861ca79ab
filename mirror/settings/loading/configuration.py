"""The configuration. Flags override ``PLUGIN_MIRROR_…`` variables, which override the file and the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from mirror.oci.errors import ConfigurationFault
from mirror.settings.loading.empty_values import with_empty
from mirror.settings.loading.value_origins import ValueOrigins, leaves
from mirror.settings.loading.variables import over, read_variables
from mirror.settings.sections import Settings

# The reader of YAML is imported if there is a file, and the words about mistakes if there are any.
if TYPE_CHECKING:
    from mirror.settings.loading.yaml_reading import Place

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
    sections, lines_of = _sections(path)
    variables = read_variables(os.environ)
    value = over(over(over(defaults or {}, with_empty(sections)), with_empty(variables.values)), flags or {})
    try:
        return Settings.model_validate(value)
    except ValidationError as error:
        from mirror.settings.loading.mistakes import mistakes_in
        from mirror.settings.loading.shown_keys import shown_place

        where = ValueOrigins(path, lines_of, variables.names | dict.fromkeys(leaves(flags), "command line"))
        lines = [
            f"{where.of(place)}: {shown_place(place, value, Settings)}: {told}"
            for place, told in mistakes_in(error, Settings, value, where)
        ]
        # Without the error of pydantic, which has the values. --debug would print them.
        raise ConfigurationFault("\n".join(lines)) from None


def with_origins(found: Sequence[tuple[Place, str]], settings: Settings, path: Path | None) -> list[str]:
    """Return ``FILE:LINE: KEY: WHAT, fix: HOW`` for each sentence about a valid value.

    Args:
        found: places of values, and sentences of the form "WHAT; fix: HOW".
        settings: the settings.
        path: the file that they were read from, or None.

    Raises:
        ConfigurationFault: as :func:`load`.
    """
    if not found:
        return []
    where = ValueOrigins(path, _sections(path)[1], read_variables(os.environ).names)
    told = with_keys(found, settings)
    return [f"{where.of(place)}: {sentence}" for (place, _), sentence in zip(found, told, strict=True)]


def with_keys(found: Sequence[tuple[Place, str]], settings: Settings) -> list[str]:
    """Return ``KEY: WHAT, fix: HOW`` for each sentence about a valid value, as :func:`with_origins`."""
    if not found:
        return []
    from mirror.settings.loading.shown_keys import shown_place

    value = settings.shown()
    return [
        f"{shown_place(place, value, Settings)}: {', fix: '.join(sentence.rsplit('; fix: ', 1))}"
        for place, sentence in found
    ]


def unknown_variables() -> list[str]:
    """Return one sentence for each variable of the environment that looks like a setting, and is none."""
    return read_variables(os.environ).unknown


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    from mirror.settings.loading.file_schema import SchemaWithoutNull  # late: few commands print it

    return {
        **Settings.model_json_schema(by_alias=True, schema_generator=SchemaWithoutNull),
        "patternProperties": {f"^{_ANCHORS}": {}},
    }


def _sections(path: Path | None) -> tuple[dict[str, Any], Mapping[Place, int]]:
    """Return the sections of a file, and the line of each key and item."""
    if path is None:
        return {}, {}
    from mirror.settings.loading.yaml_reading import read_file

    document = read_file(path)
    if document.value is None:
        return {}, {}
    if not isinstance(document.value, dict):
        from mirror.settings.loading.mistakes import no_keys

        told = no_keys(document.value, "the file has no sections; fix: begin with a section such as 'server:'")
        raise ConfigurationFault(f"{path}:1: {told}")
    return {key: value for key, value in document.value.items() if not key.startswith(_ANCHORS)}, document.lines
