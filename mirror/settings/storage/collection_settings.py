"""The keys ``storage.collection`` and ``storage.untagged``: when content without a user is removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from mirror.oci.name_pattern import NamePattern
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.runtime.durations import parse_duration
from mirror.settings.section import Section
from mirror.settings.section_values import NOT_TOO_LONG, RepositoryPattern, TextForm

if TYPE_CHECKING:  # imported where rules are built, because many commands build none
    from mirror.records.lifecycle.reviews import CollectionRules, UntaggedRule

_GRACE: Final = "(0+|[1-9][0-9]{0,19})[smhd]"
#: A duration that may be zero.
GraceDuration = Annotated[
    str,
    TextForm(rf"^{_GRACE}$", "is not a duration; fix: write it without spaces, such as 0s, 90s, 30m, 6h or 7d"),
    NOT_TOO_LONG,
]
#: A duration that may be without an end.
_KeptFor = Annotated[
    str,
    TextForm(rf"^(forever|{_GRACE})$", "is not a duration; fix: write 0s, 90s, 30m, 6h, 30d or forever"),
    NOT_TOO_LONG,
]


def parse_grace(text: str) -> timedelta:
    """Parse a duration that may be zero: ``0s``, ``90s``, ``30m``, ``6h`` or ``7d``.

    Raises:
        ConfigurationFault: the text is no such duration.
    """
    return timedelta(0) if re.fullmatch("0+[smhd]", text) else parse_duration(text)


def as_rules(value: object) -> object:
    """Accept one rule in place of a list of rules."""
    return (value,) if isinstance(value, dict) else value


class UntaggedSettings(Section):
    """Time that repositories keep manifests that no tag and no other manifest needs."""

    pattern: RepositoryPattern = Field("**", description="names of repositories, with * and **")
    keep: _KeptFor = Field(
        "30d", description="time since the manifest lost its last user or was last pulled, such as 30d; or forever"
    )

    def rule(self) -> UntaggedRule:
        """Return the rule that this section describes."""
        from mirror.records.lifecycle.reviews import UntaggedRule

        return UntaggedRule(NamePattern(self.pattern), None if self.keep == "forever" else parse_grace(self.keep))


class CollectionSettings(Section):
    """Collection: the removal of content that nothing needs any more, while the server runs."""

    enabled: bool = Field(
        default=True, description="false: the server removes nothing. The command gc works all the same"
    )
    grace: GraceDuration = Field(
        "24h", description="time between the event that leaves content without a user and the decision about it"
    )
    graces: dict[ReviewCause, GraceDuration] = Field(
        {ReviewCause.EVICTED: "1h"},
        description="the same for one kind of event: " + ", ".join(ReviewCause),
    )
    bytes_grace: GraceDuration = Field(
        "1h", description="time between a decision and the removal of the bytes. Transfers under way end in any case"
    )

    def rules(self, untagged: Sequence[UntaggedSettings]) -> CollectionRules:
        """Return the rules of the collection."""
        from mirror.records.lifecycle.reviews import CollectionRules, Grace

        by_cause = {cause: parse_grace(grace) for cause, grace in self.graces.items()}
        grace = Grace(parse_grace(self.grace), by_cause, parse_grace(self.bytes_grace))
        return CollectionRules(grace, [one.rule() for one in untagged], untagged_default=None)
