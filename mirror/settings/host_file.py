"""The file with the plugins that a host should have, read from YAML (JSON is YAML).

Each value is the text as it is written. YAML would turn ``0644`` into 420 and ``1.10`` into 1.1, and a setting of a
plugin is a text.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from mirror.hosts.desired_plugin import DesiredPlugin, name_on_host
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault, DigestInvalid, NameInvalid
from mirror.oci.printable_text import printable
from mirror.settings.section import Section

#: Largest file that is read, in bytes.
MAX_FILE_BYTES: Final = 256 * 1024
_MOST_PLUGINS: Final = 200
_MOST_SETTINGS: Final = 200
_MOST_VALUES: Final = 50_000
_MOST_PROBLEMS: Final = 20
#: Deepest nesting that is read: the lists of arguments.
_DEEPEST: Final = 5

#: Messages instead of those of pydantic, by type of the error.
_MESSAGES: Final = {
    "missing": "is required",
    "model_type": "must be a mapping, such as 'name: mirror:5000/contiv/v2plugin:1.0'",
    "literal_error": "must be present or absent",
    "dict_type": "must be a mapping of KEY: VALUE",
    "list_type": "must be a list of plugins, each of which begins with '- name: …'",
    "string_type": "must be a text",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
}

_Place: TypeAlias = tuple[str | int, ...]


def _text(value: object) -> object:
    """Return a setting as text. A list is for arguments, which an engine divides at each space."""
    if isinstance(value, list):
        if not all(isinstance(item, str) and item and " " not in item for item in value):
            raise ValueError("a list is for arguments; each is a text without spaces, because engines divide at spaces")
        return " ".join(value)
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic translates ValueError only
            "write a text, a number, true, false or a list of arguments; '' is the empty text"
        )
    return value


def _without_nul(value: str) -> str:
    # A process cannot get it. The engine accepts it, cannot start the plugin, and quotes the value in its message.
    if "\0" in value:
        raise ValueError("a value cannot have a NUL character")
    return value


_Value = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_without_nul),
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
            raise ValueError(f"a plugin with 'state: absent' has no {extra[0]}; fix: remove the key")
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
        raise ConfigurationFault(f"{path}: cannot be read: {error.strerror}") from error
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
        raise ConfigurationFault(f"{name}: the file has more than {MAX_FILE_BYTES} bytes")
    value, lines = _parsed_yaml(content, name)
    try:
        read = HostFile.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False)[:_MOST_PROBLEMS]
        raise ConfigurationFault("\n".join(_explain(problem, name, lines) for problem in problems)) from error
    names: dict[str, int] = {}
    for number, plugin in enumerate(read.plugins):
        first = names.setdefault(plugin.local_name, number)
        if first != number:
            raise ConfigurationFault(
                f"{name}:{lines['plugins', number]}: plugins.{number}: {plugin.local_name} is plugins.{first} already; "
                "fix: give one an alias"
            )
    return tuple(
        DesiredPlugin(
            place=f"{name}:{lines['plugins', number]}",
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


def _parsed_yaml(content: bytes, name: str) -> tuple[Any, Mapping[_Place, int]]:
    """Return the value of a YAML document, and the line of each key and item by its place."""
    try:
        node = yaml.compose(content.decode("utf-8"), yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = printable(str(getattr(error, "problem", None) or error), 200)
        raise ConfigurationFault(f"{name}{line}: not YAML: {problem}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationFault(f"{name}: not UTF-8: byte {error.start} is invalid") from error
    except (ValueError, OverflowError) as error:
        # PyYAML does not check the number in an escape sequence or in a directive.
        raise ConfigurationFault(f"{name}: not YAML: a number is too large") from error
    except RecursionError as error:
        raise ConfigurationFault(f"{name}: the file is nested too deeply") from error
    lines: dict[_Place, int] = {(): 1}
    return (None if node is None else _value(node, (), lines, name)), lines


def _value(node: yaml.Node, place: _Place, lines: dict[_Place, int], name: str) -> Any:
    """Return the value of a node: scalars as their text, except null. Notes the line of each key and item."""
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    # An alias repeats a node under another place, and its copies multiply.
    if len(lines) > _MOST_VALUES:
        raise ConfigurationFault(f"{name}:{line}: the file has more than {_MOST_VALUES} values")
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else node.value
    if len(place) >= _DEEPEST:
        raise ConfigurationFault(f"{name}:{line}: the file is nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, number), lines, name) for number, item in enumerate(node.value)]
    found: dict[str, Any] = {}
    for key, item in node.value:
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigurationFault(f"{name}:{at}: a key must be a text")
        if key.value in found:
            raise ConfigurationFault(f"{name}:{at}: {printable(key.value, 80)!r} is given twice")
        lines[*place, key.value] = at
        found[key.value] = _value(item, (*place, key.value), lines, name)
    return found


def _explain(problem: ErrorDetails, name: str, lines: Mapping[_Place, int]) -> str:
    place = problem["loc"]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = HostFile.model_fields if len(place) == 1 else HostPlugin.model_fields
        close = difflib.get_close_matches(str(place[-1]), known, n=1)
        message = f"unknown key; did you mean {close[0]}?" if close else f"unknown key; allowed: {', '.join(known)}"
    message = _MESSAGES.get(problem["type"], message)
    if not place and problem["type"] == "model_type":
        message = "must begin with the key 'plugins:'"
    # A setting may be a secret.
    shows = problem["type"] != "extra_forbidden" and "settings" not in place
    if shows and isinstance(problem["input"], str) and repr(problem["input"]) not in message:
        message = f"{message} (it is {printable(problem['input'], 80)!r})"
    # A missing key has no line of its own. The line of the plugin is that of the nearest place above.
    line = next(lines[place[:length]] for length in range(len(place), -1, -1) if place[:length] in lines)
    shown = printable(".".join(map(str, place)), 200)
    return f"{name}:{line}: {shown}: {message}" if shown else f"{name}:{line}: {message}"
