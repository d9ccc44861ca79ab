"""The file with the plugins that a host should have, read from YAML (JSON is YAML).

Each value is the text as it is written. YAML would turn ``0644`` into 420 and ``1.10`` into 1.1, and a setting of a
plugin is a text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from mirror.hosts.desired_plugin import DesiredPlugin, name_on_host
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault, DigestInvalid, NameInvalid
from mirror.settings.loading.mistakes import mistakes_in, no_keys
from mirror.settings.loading.shown_keys import shown_place
from mirror.settings.loading.value_origins import ValueOrigins
from mirror.settings.loading.yaml_reading import read_yaml
from mirror.settings.section import Mistakes, Section

#: Largest file that is read, in bytes.
MAX_FILE_BYTES: Final = 256 * 1024
_MOST_PLUGINS: Final = 200
_MOST_SETTINGS: Final = 200
_MOST_VALUES: Final = 50_000
_MOST_PROBLEMS: Final = 20


def _text(value: object) -> object:
    """Return a setting as text. A list is for arguments, which an engine divides at each space."""
    if isinstance(value, list):
        if not all(isinstance(item, str) and item and " " not in item for item in value):
            raise ValueError(
                "has an item with a space or none; fix: write a list of arguments, which engines divide at spaces"
            )
        return " ".join(value)
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic translates ValueError only
            "is no text; fix: write a text, a number, true, false or a list of arguments; '' is the empty text"
        )
    return value


_Value = Annotated[
    str,
    BeforeValidator(_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": ["string", "number"]}},
            ]
        }
    ),
]
_Flag = Annotated[bool, WithJsonSchema({"type": "boolean"})]


class HostPlugin(Section):
    """A plugin that a host should have, or should not have."""

    name: str = Field(description="[HOST[:PORT]/]NAME[:TAG][@DIGEST], with the registry as the engine reaches it")
    alias: str | None = Field(None, description="local name NAME[:TAG]; omitted: the name with its tag")
    settings: dict[str, _Value] = Field(
        default_factory=dict,
        max_length=_MOST_SETTINGS,
        description="values as for 'docker plugin set'; a setting that is left out gets its default",
    )
    enabled: _Flag = Field(default=True, description="false: install the plugin, and do not run it")
    state: Literal["present", "absent"] = Field("present", description="absent: the host should not have the plugin")
    replace: _Flag = Field(
        default=False,
        description="true: at an upgrade, remove the old version with its data first, so that all defaults apply",
    )

    @field_validator("name", "alias")
    @classmethod
    def _is_reference(cls, value: str | None) -> str | None:
        if value is not None:
            _parsed(value)
        return value

    @field_validator("alias")
    @classmethod
    def _has_no_digest(cls, value: str | None) -> str | None:
        if value is not None and _parsed(value).digest is not None:
            raise ValueError("an alias cannot have a digest; fix: write NAME:TAG")
        return value

    @model_validator(mode="after")
    def _absent_alone(self) -> HostPlugin:
        extra = sorted(self.model_fields_set & {"settings", "enabled", "replace"})
        if self.state == "absent" and extra:
            raise Mistakes(((extra[0],), "a plugin with 'state: absent' has no such key; fix: remove it"))
        return self

    @property
    def local_name(self) -> str:
        """Name of the plugin on the host, with its tag."""
        return name_on_host(_parsed(self.alias or self.name))


class HostFile(Section):
    """Plugins that a host should have."""

    plugins: list[HostPlugin] = Field(
        max_length=_MOST_PLUGINS, description="plugins, changed in this order; other plugins of the host are left alone"
    )


def load_host_file(path: Path) -> tuple[DesiredPlugin, ...]:
    """Return the plugins of a file.

    Raises:
        ConfigurationFault: the file cannot be read, or is invalid. The message has one line for each mistake.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{path}: cannot be read: {error.strerror}, fix: correct the path") from error
    return read_host_file(content, str(path))


def read_host_file(content: bytes, name: str) -> tuple[DesiredPlugin, ...]:
    """Return the plugins in the content of a file.

    Args:
        content: bytes of the file.
        name: name of the file, for messages.

    Raises:
        ConfigurationFault: see :func:`load_host_file`.
    """
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationFault(
            f"{name}: the file has more than {MAX_FILE_BYTES} bytes, fix: name a file with plugins"
        )
    document = read_yaml(content, name, _MOST_VALUES)
    where = ValueOrigins(Path(name), document.lines, {})
    if not isinstance(document.value, dict):
        told = no_keys(document.value, "the file has no plugins; fix: begin with the key 'plugins:'")
        raise ConfigurationFault(f"{name}:1: {told}")
    try:
        read = HostFile.model_validate(document.value)
    except ValidationError as error:
        mistakes = mistakes_in(error, HostFile, document.value, where)[:_MOST_PROBLEMS]
        raise ConfigurationFault(
            "\n".join(
                f"{where.of(place)}: {shown_place(place, document.value, HostFile)}: {told}" for place, told in mistakes
            )
        ) from None  # the error of pydantic has the values, and --debug would print them
    names: dict[str, int] = {}
    for number, plugin in enumerate(read.plugins):
        first = names.setdefault(plugin.local_name, number)
        if first != number:
            raise ConfigurationFault(
                f"{where.of(('plugins', number))}: plugins[{number + 1}]: {plugin.local_name} is plugins[{first + 1}] "
                "already, fix: give one an alias"
            )
    return tuple(
        DesiredPlugin(
            place=where.of(("plugins", number)),
            reference=_parsed(plugin.name),
            name=plugin.local_name,
            settings=plugin.settings,
            enabled=plugin.enabled,
            present=plugin.state == "present",
            replace=plugin.replace,
        )
        for number, plugin in enumerate(read.plugins)
    )


def host_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    return HostFile.model_json_schema()


def _parsed(text: str) -> Reference:
    try:
        return Reference.parse(text)
    except (NameInvalid, DigestInvalid) as error:
        raise ValueError(str(error)) from error
