"""Writes docs/SETTINGS.md from the schema of the configuration: ``python -m tests.docs.settings_page``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mirror.settings import schema

PAGE = Path(__file__).parents[2] / "docs/SETTINGS.md"
HEAD = """# Settings

Every key of the configuration. `make docs` makes this page from the schema that `plugin-mirror config schema` prints.
[OPERATIONS.md](OPERATIONS.md#the-configuration) says how the file is read, and how variables override it. `NAME` is a
name that you choose, and `[]` is each item of a list. A key without a default may be omitted, unless it is required.
"""

#: A maximum that only keeps numbers within those of a file system or database.
_NO_BOUND = 10**9

Schema = Mapping[str, Any]


def settings_page() -> str:
    """Return the page: a section for each top-level key, with one table of all keys below it."""
    whole = schema()
    parts = [HEAD]
    single = []
    for key, value in whole["properties"].items():
        rows = list(_rows(key, value, whole["$defs"], required=False))
        if len(rows) == 1:
            single += rows
        else:
            parts.append("\n".join([f"## {key}", "", _meaning(value, whole["$defs"]), "", *_table(rows[1:])]))
    parts.append("\n".join(["## Other keys", "", *_table(single)]))
    return "\n".join(parts)


def _table(rows: list[str]) -> list[str]:
    return ["| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows, ""]


def _rows(path: str, value: Schema, kinds: Schema, *, required: bool) -> Iterator[str]:
    """Yield the row of a key, and those of the keys below it."""
    default = value.get("default")
    meaning = _meaning(value, kinds).replace("*", "\\*")
    cells = (f"`{path}`", _type(value, kinds), "required" if required else _default(default), meaning)
    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    for below, section in _sections(path, value, kinds):
        for key, inner in section["properties"].items():
            # A default that depends on the section, such as that of server.listen, is known to the section alone.
            known = {"default": default[key]} if isinstance(default, Mapping) and key in default else {}
            yield from _rows(f"{below}.{key}", inner | known, kinds, required=key in section.get("required", ()))


def _sections(path: str, value: Schema, kinds: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the sections that a value may consist of, each with its path."""
    for form in value.get("anyOf", [value]):
        found = _resolved(form, kinds)
        if "properties" in found:
            yield path, found
        elif "items" in found:
            yield from _sections(f"{path}[]", found["items"], kinds)
        elif "patternProperties" in found:
            for item in found["patternProperties"].values():
                yield from _sections(f"{path}.NAME", item, kinds)


def _resolved(value: Schema, kinds: Schema) -> Schema:
    reference = value.get("$ref")
    return kinds[reference.rpartition("/")[2]] if reference else value


def _type(value: Schema, kinds: Schema) -> str:
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(form, kinds) for form in value["anyOf"]))
    found = _resolved(value, kinds)
    if "enum" in found:
        return ", ".join(f"`{choice}`" for choice in found["enum"])
    match found["type"]:
        case "array":
            return f"list: {_type(found['items'], kinds)}"
        case "object":
            return _map_type(found, kinds)
        case "integer" | "number":
            return _number_type(found)
        case "boolean":
            return "`true` or `false`"
    if "[smhd]" in found.get("pattern", ""):
        return "duration, such as `30d`"
    return {"path": "path"}.get(found.get("format", ""), "text")


def _map_type(value: Schema, kinds: Schema) -> str:
    if "properties" in value or "patternProperties" in value:
        return "section" if "properties" in value else "section for each name"
    return f"map to {_type(value['additionalProperties'], kinds)}"


def _number_type(value: Schema) -> str:
    least = value.get("minimum", value.get("exclusiveMinimum"))
    bounds = [f"{'above' if 'exclusiveMinimum' in value else 'from'} {least}"] if least is not None else []
    bounds += [f"to {value['maximum']}"] if value.get("maximum", _NO_BOUND) < _NO_BOUND else []
    kind = "whole number" if value["type"] == "integer" else "number"
    return " ".join([f"{kind}{',' if bounds else ''}", *bounds])


def _default(default: object) -> str:
    match default:
        case None | Mapping():
            return ""
        case str():
            return f"`{default}`"
        case float():
            return f"`{default:g}`"
    return f"`{json.dumps(default)}`"


def _meaning(value: Schema, kinds: Schema) -> str:
    """Return the description of a key, or else that of its section, as one line."""
    shape = value.get("items", value)
    told = value.get("description") or _resolved(shape, kinds).get("description", "")
    return " ".join(told.partition("\n\n")[0].split()).removesuffix(".")


if __name__ == "__main__":
    PAGE.write_text(settings_page())
