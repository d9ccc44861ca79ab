"""Read the configuration. Flags override ``PLUGIN_MIRROR_…`` variables, which override the file and the defaults."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mirror.oci.errors import ConfigurationFault
from mirror.settings.sections import Settings

_PREFIX: Final = "PLUGIN_MIRROR_"
#: Variables with our prefix that are not sections. The command line reads them.
_OTHER_VARIABLES: Final = frozenset({"config"})
#: Messages about values of another kind than the setting, by pydantic's type of error.
_OTHER_KIND: Final = {
    "tuple_type": "it is not a list, such as [a, b]",
    "dict_type": "it is not a section with keys",
    "model_type": "it is not a section with keys",
}


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
        ConfigurationFault: the file cannot be read, or values are invalid. The message has one line for each mistake.
    """
    read = _over(defaults or {}, {} if path is None else _read(path))
    from_environment = _from_environment()
    where = str(path) if path else "configuration"
    try:
        return Settings.model_validate(_over(_over(read, from_environment), flags or {}))
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors(include_url=False)]
        raise ConfigurationFault("\n".join(f"{where}: {problem}" for problem in problems)) from error


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    return Settings.model_json_schema(by_alias=True)


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader for plain values that refuses a key given twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        # PyYAML keeps the last of two equal keys without a word, and so drops what an administrator wrote.
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{path}: cannot be read: {error}") from error
    try:
        value = yaml.load(text, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationFault(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationFault(f"{path}: the file has no sections; fix: begin with a section such as 'server:'")
    return value


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings. A value in ``above`` replaces the value in ``below``."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _over(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explain(problem: ErrorDetails) -> str:
    place = [str(part) for part in problem["loc"]]
    message = _OTHER_KIND.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        # Most unknown keys are misspelled, so the closest known key is suggested.
        close = difflib.get_close_matches(place[-1], _keys_at(place[:-1]), n=1)
        message = f"unknown key; did you mean {close[0]}?" if close else "unknown key"
    elif problem["type"] == "missing":
        message = "is required"
    # The value is shown only if it is short and plain. A whole section would bury the message. A URL with a user may
    # contain a password.
    elif isinstance(problem.get("input"), str | int | float) and "@" not in str(problem["input"]):
        message = f"{message} (it is {problem['input']!r})" if repr(problem["input"]) not in message else message
    return f"{'.'.join(place)}: {message}" if place else message


def _keys_at(place: Iterable[str]) -> list[str]:
    """Return the keys of a section.

    Returns:
        An empty list if the section is inside a list or a mapping.
    """
    model: type[BaseModel] = Settings
    for part in place:
        field = model.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def _from_environment() -> dict[str, Any]:
    sections = {}
    for name in os.environ:
        if name.upper().startswith(_PREFIX):
            sections[name] = name[len(_PREFIX) :].partition("__")[0].lower()
    # pydantic-settings ignores variables that match no field, so a misspelled section would have no effect.
    for name, section in sections.items():
        if section not in {*Settings.model_fields, *_OTHER_VARIABLES}:
            raise ConfigurationFault(f"environment: {name}: no section is named {section!r}")
    if _OTHER_VARIABLES.issuperset(sections.values()):
        return {}

    # Imported late: most starts have no such variables and need not pay for pydantic-settings.
    from mirror.settings import environment

    return environment.read(_PREFIX)
