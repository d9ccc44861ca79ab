"""Reading the configuration: defaults, then the file, then ``PLUGIN_MIRROR_…``, then flags."""

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
#: Variables with our prefix that name no section: the command line reads them.
_OTHER_VARIABLES: Final = frozenset({"config"})


def load(path: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The effective settings.

    Args:
        path: a YAML file; None for none.
        flags: nested values that win over file and environment, as ``{"server": {"listen": "127.0.0.1:0"}}``.

    Raises:
        ConfigurationFault: the file cannot be read, or a value is wrong; one line a problem.
    """
    read = {} if path is None else _read(path)

    from_environment = _from_environment()
    where = str(path) if path else "configuration"
    try:
        return Settings.model_validate(_over(_over(read, from_environment), flags or {}))
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors(include_url=False)]
        raise ConfigurationFault("\n".join(f"{where}: {problem}" for problem in problems)) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return Settings.model_json_schema(by_alias=True)


class _UniqueKeys(yaml.SafeLoader):
    """Plain values only, and no key twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
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
        raise ConfigurationFault(f"{path}: holds no sections; it begins like 'server:'")
    return value


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both have a value, that of ``above``."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _over(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explain(problem: ErrorDetails) -> str:
    place = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], _keys_at(place[:-1]), n=1)
        message = f"unknown key; did you mean {close[0]}?" if close else "unknown key"
    elif problem["type"] == "missing":
        message = "is required"
    elif "input" in problem and isinstance(problem["input"], str | int | float):
        message = f"{message} (it is {problem['input']!r})" if repr(problem["input"]) not in message else message
    return f"{'.'.join(place)}: {message}" if place else message


def _keys_at(place: Iterable[str]) -> list[str]:
    """The keys a section may have, for the sections that do not sit in a list or a mapping."""
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
    for name, section in sections.items():
        if section not in {*Settings.model_fields, *_OTHER_VARIABLES}:
            raise ConfigurationFault(f"environment: {name}: no section is named {section!r}")
    if _OTHER_VARIABLES.issuperset(sections.values()):
        return {}

    from mirror.settings import environment

    return environment.read(_PREFIX)
