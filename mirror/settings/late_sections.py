"""Sections that are imported when a configuration has a value for them. Most configurations have few."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class LateSection:
    """A section as the type of a key, by its name.

    Attributes:
        module: its module below ``mirror.settings``.
        name: its class.
    """

    module: str
    name: str

    def load(self) -> Any:
        """Import the module and return the class."""
        return getattr(import_module(f"mirror.settings.{self.module}"), self.name)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Errors of the section become errors of the configuration, at places below that of the section.
        return core_schema.no_info_plain_validator_function(
            lambda value: self.load().model_validate(value), metadata={"late_section": self}
        )


def late_section(place: str) -> Any:
    """Return the type of a key whose section is imported for a value.

    Args:
        place: the section, as ``MODULE:CLASS`` below ``mirror.settings``.
    """
    return Annotated[Any, LateSection(*place.split(":"))]


def defaults_of(section: Any) -> Any:
    """Return the field of a section that has its defaults if it is absent.

    Args:
        section: a type from :func:`late_section`.
    """
    (late,) = section.__metadata__
    return Field(default_factory=lambda: late.load().model_construct())
