"""The section ``bundles``: bundles that are imported or served here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mirror.runtime.durations import parse_duration
from mirror.settings.section import Section
from mirror.settings.section_values import Duration

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.bundle.bundle_age import AgeLimits


class BundleSettings(Section):
    """Bundles that are imported or served here."""

    warn_age: Duration = Field(
        "30d", description="age from which a bundle is used with a warning, because a newer one may have been held back"
    )
    max_age: Duration | None = Field(
        None,
        description="age from which import and serve --bundle refuse a bundle, such as 90d; omitted: none is refused",
    )

    def limits(self) -> AgeLimits:
        """Return the limits for the age of bundles."""
        from mirror.bundle.bundle_age import AgeLimits

        return AgeLimits(parse_duration(self.warn_age), None if self.max_age is None else parse_duration(self.max_age))
