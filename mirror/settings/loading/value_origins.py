"""Origins of values: a line of the file, a variable, or the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mirror.settings.loading.yaml_reading import Place

#: The beginning of variables with settings.
PREFIX: Final = "PLUGIN_MIRROR_"


@dataclass(frozen=True)
class ValueOrigins:
    """The places where values were written.

    Attributes:
        file: the file; None if there is none.
        lines: line of each key and item of the file.
        given: names of what overrides keys of the file: variables, and the command line.
    """

    file: Path | None
    lines: Mapping[Place, int]
    given: Mapping[Place, str]

    def of(self, place: Place) -> str:
        """Return ``FILE:LINE``, a variable, or the command line.

        A missing key has the line of its section.
        """
        # A variable may replace a whole list, whose items have lines in the file.
        for length in range(len(place) + 1):
            if name := self.given.get(place[:length]):
                return name
        known = next((length for length in range(len(place), -1, -1) if place[:length] in self.lines), -1)
        # The section of a missing key may be in a variable only.
        for length in range(len(place), max(known, 0), -1):
            if beside := next((name for other, name in self.given.items() if other[:length] == place[:length]), None):
                return beside
        return str(self.file or "configuration") if known < 0 else f"{self.file}:{self.lines[place[:known]]}"

    def variable(self, place: Place) -> str:
        """Return the variable for exactly this place, if its value is from there, or that of a missing key would be.

        The text is empty if another variable, the file or the command line has the value.
        """
        own = PREFIX + "__".join(map(str, place)).upper()
        origin = self.of(place).upper()
        is_beside = not any(self.given.get(place[:length]) for length in range(len(place) + 1))
        return own if origin == own or (is_beside and origin.startswith(PREFIX)) else ""


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places of values that are no mappings, and of empty mappings."""
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from leaves(one, (*place, key))
    elif place:
        yield place
