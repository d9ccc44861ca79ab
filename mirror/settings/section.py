"""The base of all sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

#: Keys and numbers of items from a section to one of its values.
PlaceBelow: TypeAlias = tuple[str | int, ...]


class Section(BaseModel):
    """A frozen section that refuses unknown keys."""

    # Unknown keys are refused: a misspelled limit or rule would otherwise have no effect. An infinite number of seconds
    # is one that a timer cannot take. A validator is built when it is used, because most of them are inside that of the
    # whole configuration only.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, defer_build=True)


class Mistakes(ValueError):
    """Mistakes that a validator of a section has found, each at its place below the section."""

    def __init__(self, *found: tuple[PlaceBelow, str]) -> None:
        super().__init__("; ".join(told for _, told in found))
        self.found = found


def stated(section: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the keys of a section that differ from their defaults, as plain values, with secrets.

    A key that a later version adds does not change the result for a file that does not use the key.

    Args:
        section: the section.
        without: fields to leave out.
    """
    fields = {name: field for name, field in type(section).model_fields.items() if name not in without}
    values = {name: getattr(section, name) for name in fields}
    return {
        name: _plain(value)
        for name, value in values.items()
        if value != fields[name].get_default(call_default_factory=True)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return stated(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
