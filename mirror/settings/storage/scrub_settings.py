"""The key ``storage.scrub``: when and how fast the server reads everything that it stores."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Final

from pydantic import ByteSize, Field, TypeAdapter, ValidationError

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.durations import parse_duration
from mirror.settings.section import Section
from mirror.settings.section_values import MOST_BYTES, NOT_TOO_LONG, TextForm, checked_by

_PERIOD: Final = TextForm(
    r"^(never|[1-9][0-9]{0,19}[smhd])$", "is not a duration; fix: write it without spaces, such as 30d, or never"
)
_RATE = re.compile(r"([0-9]{1,15} ?[A-Za-z]{0,3})(?:/s)?")


def parse_rate(text: str) -> int:
    """Parse a rate such as ``20MB/s`` or ``50MiB/s``. Return bytes a second.

    Raises:
        ConfigurationFault: the text is no rate of at least one byte a second.
    """
    match, rate = _RATE.fullmatch(text), 0
    if match is not None:
        with suppress(ValidationError):
            rate = int(TypeAdapter(ByteSize).validate_python(match[1]))
    if rate <= 0:
        raise ConfigurationFault(f"{text[:40]!r} is not a rate; fix: write a rate such as 20MB/s")
    if rate > MOST_BYTES:
        raise ConfigurationFault(f"{text[:40]!r} is too fast; fix: write a rate such as 20MB/s")
    return rate


class ScrubSettings(Section):
    """Scrub: the server reads every byte that it stores, and heals what is damaged."""

    every: Annotated[str, _PERIOD, NOT_TOO_LONG] = Field(
        "30d", description="time between the ends of two scrubs, such as 30d; never: only the command scrub reads"
    )
    rate: Annotated[str, checked_by(parse_rate)] = Field(
        "20MB/s", description="most bytes that the scrub reads in a second"
    )

    @property
    def period(self) -> timedelta | None:
        """The time between two scrubs; None without scrubs."""
        return None if self.every == "never" else parse_duration(self.every)

    @property
    def bytes_per_second(self) -> int:
        """The rate in bytes a second."""
        return parse_rate(self.rate)
