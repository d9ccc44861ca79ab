"""The keys that sections know, by their place in the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mirror.settings.late_sections import LateSection


def kinds_at(model: type[BaseModel], place: Sequence[str | int]) -> list[Any]:
    """Return the types that a value may have, without None. The list is empty if no section knows the place.

    Args:
        model: the section to which ``place`` is relative.
        place: keys of the file, and numbers of items.
    """
    kinds: list[Any] = [model]
    for part in place:
        kinds = [below for kind in kinds for below in _below(kind, part)]
    return kinds


def keys_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Return the keys of the section at a place. The list is empty if there is no section."""
    return [key for kind in kinds_at(model, place) if is_section(kind) for key in _fields(kind)]


def all_keys(model: type[BaseModel]) -> frozenset[str]:
    """Return the keys of a section, and of all sections below it."""
    found: set[str] = set()
    kinds: list[Any] = [model]
    while kinds:
        kind = kinds.pop()
        if is_section(kind):
            found.update(_fields(kind))
            kinds += [below for field in _fields(kind).values() for below in _members(field)]
        elif is_list(kind) or get_origin(kind) is dict:
            kinds += _members(get_args(kind)[-1 if get_origin(kind) is dict else 0])
    return frozenset(found)


def is_section(kind: Any) -> bool:
    """Return True if a type is that of a section."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_list(kind: Any) -> bool:
    """Return True if a type is that of a list."""
    return get_origin(kind) in {list, tuple}


def is_structured(kind: Any) -> bool:
    """Return True if a type is that of a section, a mapping or a list."""
    return is_section(kind) or is_list(kind) or get_origin(kind) is dict


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.rebuild_annotation() for name, field in section.model_fields.items()}


def _below(kind: Any, part: str | int) -> list[Any]:
    if is_section(kind):
        return _members(_fields(kind)[str(part)]) if part in _fields(kind) else []
    if is_list(kind):
        return _members(get_args(kind)[0]) if isinstance(part, int) else []
    return _members(get_args(kind)[1]) if get_origin(kind) is dict else []


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union, without None and without annotations."""
    if get_origin(annotation) is Annotated:
        kind, *notes = get_args(annotation)
        late = next((note for note in notes if isinstance(note, LateSection)), None)
        return _members(kind) if late is None else [late.load()]
    if get_origin(annotation) in {Union, UnionType}:
        return [kind for member in get_args(annotation) for kind in _members(member)]
    return [] if annotation is type(None) else [annotation]
