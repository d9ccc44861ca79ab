"""A model of Go's decoding of manifests into structures, for tests about the content that an engine sees.

The model follows the documentation and the behaviour of ``encoding/json``. A member sets the field of exactly its
name, or else the first field whose name is equal without regard to case. Members are applied in their order, and a
later one is merged into an earlier one: structures and list elements keep the fields that the later member does not
name (golang/go issue 21092), a map gains keys, and ``null`` empties lists, maps and pointers and changes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FOLDED_ASCII = {"\u017f": "s", "\u212a": "k"}


class GoError(Exception):
    """Go rejects the document."""


@dataclass(frozen=True)
class Struct:
    """A Go structure, optionally behind a pointer."""

    fields: Mapping[str, Any]
    pointer: bool = False


@dataclass(frozen=True)
class Slice:
    """A Go slice of one element type."""

    element: Any


STRING, INTEGER, STRINGS, RAW = "string", "integer", "map of strings", "raw"

PLATFORM = Struct(
    {
        "architecture": STRING,
        "os": STRING,
        "os.version": STRING,
        "os.features": Slice(STRING),
        "variant": STRING,
    },
    pointer=True,
)
DESCRIPTOR = Struct(
    {
        "mediaType": STRING,
        "digest": STRING,
        "size": INTEGER,
        "urls": Slice(STRING),
        "annotations": STRINGS,
        "platform": PLATFORM,
        "artifactType": STRING,
    }
)
MANIFEST = Struct(
    {
        "schemaVersion": INTEGER,
        "mediaType": STRING,
        "artifactType": STRING,
        "config": DESCRIPTOR,
        "layers": Slice(DESCRIPTOR),
        "subject": Struct(DESCRIPTOR.fields, pointer=True),
        "annotations": STRINGS,
        "manifests": RAW,
        "fsLayers": RAW,
    }
)


class Pairs(list[tuple[str, Any]]):
    """A JSON object as a list of its members in order, including repeated names."""


def decoded(content: bytes) -> dict[str, Any]:
    """Return the fields that Go sets from a manifest, by their Go names. Raises GoError."""
    try:
        value = json.loads(content.decode("utf-8", "replace"), object_pairs_hook=Pairs)
    except ValueError as error:
        raise GoError(str(error)) from error
    found: dict[str, Any] = _decode(MANIFEST, value, None)
    return found


def seen_by_an_engine(content: bytes) -> tuple[list[str], list[str]]:
    """Return the config digest that an engine since 20.10 reads, and all digests that it fetches, in order."""
    body = decoded(content)
    if body.get("manifests") is not None or body.get("fsLayers") is not None:
        raise GoError("media-type: expected manifest but found index")
    children = [body.get("config") or {}, *(body.get("layers") or [])]
    configs = [
        child.get("digest", "")
        for child in children
        if child.get("mediaType", "") == "application/vnd.docker.plugin.v1+json"
    ]
    return configs, [child.get("digest", "") for child in children]


def _decode(kind: Any, value: Any, before: Any) -> Any:
    if isinstance(kind, Struct):
        return _struct(kind, value, before)
    if isinstance(kind, Slice):
        return _slice(kind, value, before)
    if kind == STRINGS:
        return _map(value, before)
    if kind == RAW:
        return value
    if value is None:
        return before
    if kind == STRING and isinstance(value, str):
        return value
    if kind == INTEGER and isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise GoError(f"cannot unmarshal {value!r} into a {kind}")


def _struct(kind: Struct, value: Any, before: Any) -> Any:
    if value is None:
        return None if kind.pointer else before
    if not isinstance(value, Pairs):
        raise GoError("cannot unmarshal into a structure")
    found = dict(before or {})
    for name, member in value:
        field = _field(kind, name)
        if field is not None:
            found[field] = _decode(kind.fields[field], member, found.get(field))
    return found


def _slice(kind: Slice, value: Any, before: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Pairs) or not isinstance(value, list):
        raise GoError("cannot unmarshal into a list")
    old = before or []
    return [
        _decode(kind.element, item, old[number] if number < len(old) else None) for number, item in enumerate(value)
    ]


def _map(value: Any, before: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Pairs):
        raise GoError("cannot unmarshal into a map")
    found = dict(before or {})
    for name, member in value:
        if member is not None and not isinstance(member, str):
            raise GoError("cannot unmarshal into a string")
        found[name] = member or ""
    return found


def _field(kind: Struct, name: str) -> str | None:
    if name in kind.fields:
        return name
    return next((field for field in kind.fields if _folded(field) == _folded(name)), None)


def _folded(name: str) -> str:
    return "".join(FOLDED_ASCII.get(sign, sign.lower() if sign.isascii() else sign) for sign in name)
