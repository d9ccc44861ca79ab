"""Values of typed dataclasses as plain JSON values, derived from the types of their fields.

A field that is added to a class is written and read without more code. Values are checked while they are read, because
a document from a disk may be damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from mirror.oci import Digest


class Form(NamedTuple):
    """Written form of a type.

    Attributes:
        write: returns the plain value of a value.
        read: returns the value of a plain value. Raises ValueError, TypeError, LookupError or DigestInvalid for a wrong
            one.
        atoms: types of the values if they are written as they are; empty for values that are written in another way.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    atoms: frozenset[type] = frozenset()


@cache
def form_of(kind: Any) -> Form:
    """Return the written form of a type.

    Args:
        kind: ``bool``, ``int``, ``str``, ``bytes``, a digest, an enumeration, a dataclass, or a union with None, tuple,
            frozenset or mapping by text of these.

    Raises:
        TypeError: the type is another one.
    """
    if get_args(kind):
        return _form_of_compound(kind, get_origin(kind), get_args(kind))
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Form(lambda value: value.name, kind.__getitem__)
    if is_dataclass(kind):
        return _form_of_dataclass(kind)
    raise TypeError(f"{kind} has no written form; fix: use one of the types that form_of() names")


def _form_of_compound(kind: Any, origin: Any, of: tuple[Any, ...]) -> Form:
    """Return the written form of a union with None, a tuple, a frozenset or a mapping."""
    if origin in {Union, UnionType} and NoneType in of and len(of) == 2:
        return _form_of_optional(form_of(of[0] if of[1] is NoneType else of[1]))
    if origin is tuple and len(of) == 2 and of[1] is Ellipsis:
        return _form_of_items(tuple, form_of(of[0]))
    if origin is tuple:
        return _form_of_members(lambda *values: values, _as_it_is, [form_of(one) for one in of])
    if origin is frozenset:
        return _form_of_items(frozenset, form_of(of[0]))
    if origin is Mapping and of[0] is str:
        return _form_of_mapping(form_of(of[1]))
    raise TypeError(f"{kind} has no written form; fix: use one of the types that form_of() names")


def _as_it_is(value: Any) -> Any:
    return value


def _reader_of_plain(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # True is an int for isinstance().
        if type(value) is not kind:
            raise TypeError(f"{value!r:.40} is not of type {kind.__name__}")
        return value

    return read


def _form_of_optional(inner: Form) -> Form:
    # A dataclass is written as a list and a text as a text, so null is free to mean None.
    return Form(
        lambda value: None if value is None else inner.write(value),
        lambda value: None if value is None else inner.read(value),
        inner.atoms and inner.atoms | {NoneType},
    )


def _form_of_items(make: Callable[[Iterable[Any]], Any], inner: Form) -> Form:
    return Form(
        lambda values: [inner.write(value) for value in values],
        lambda values: make(inner.read(value) for value in _list(values)),
    )


def _form_of_mapping(inner: Form) -> Form:
    def read(values: Any) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise TypeError("not an object")
        return {key: inner.read(value) for key, value in values.items()}

    return Form(lambda values: {key: inner.write(value) for key, value in values.items()}, read)


def _form_of_dataclass(kind: Any) -> Form:
    types = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    members = [form_of(types[name]) for name in names]
    return _form_of_members(kind, lambda value: [getattr(value, name) for name in names], members)


def _form_of_members(make: Callable[..., Any], take_apart: Callable[[Any], Iterable[Any]], members: list[Form]) -> Form:
    """Return the form of a value that is written as a list with one plain value for each of its members."""

    def write(value: Any) -> list[Any]:
        return [member.write(one) for member, one in zip(members, take_apart(value), strict=True)]

    def read(values: Any) -> Any:
        return make(*(member.read(one) for member, one in zip(members, _list(values), strict=True)))

    return Form(write, read)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


#: Forms of types without parts.
_SIMPLE: Final[dict[Any, Form]] = {
    bytes: Form(bytes.hex, bytes.fromhex),
    Digest: Form(str, Digest.parse),
    **{kind: Form(_as_it_is, _reader_of_plain(kind), frozenset({kind})) for kind in (bool, int, str)},
}
