"""The section ``quotas``: limits on the content of repositories and on what users push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import AfterValidator, ByteSize, Field, model_validator

from mirror.access.caller_names import CLIENT_PREFIX
from mirror.oci.name_pattern import NamePattern
from mirror.settings.access_values import check_user
from mirror.settings.section import Section
from mirror.settings.section_values import MOST_BYTES, MOST_COUNT, RepositoryPattern, TextForm

_PERCENT: Final = TextForm(r"^(100|[1-9]?[0-9])%$", "is no percentage; fix: write it like 80%")

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.records.lifecycle.quotas import Quota, QuotaKind


def _check_pusher(name: str) -> str:
    """Return the name of a user or client whose pushes count, or ``*``. Raises ValueError if there can be none."""
    checked = check_user(name)
    if checked.startswith(CLIENT_PREFIX) and "*" in checked:
        raise ValueError(f"{name!r} names several clients; fix: write one name, or '*' for each user and client")
    return checked


class QuotaSettings(Section):
    """A quota of repositories, or of users."""

    pattern: RepositoryPattern | None = Field(
        None, description="names of repositories, with * and **, whose content counts together"
    )
    user: Annotated[str, AfterValidator(_check_pusher)] | None = Field(
        None,
        description="name of a user whose pushes count; '*' means each user on its own. cert:CN=NAME is a client with "
        "a certificate, by the first name in it. The first quota that names a user applies to the user",
    )
    bytes: ByteSize | None = Field(
        None,
        ge=0,
        le=MOST_BYTES,
        description="most bytes, such as 200GiB; content counts once in each repository that holds it",
    )
    manifests: int | None = Field(None, ge=0, le=MOST_COUNT, description="most manifests")
    tags: int | None = Field(None, ge=0, le=MOST_COUNT, description="most tags")
    soft: Annotated[str, _PERCENT] = Field("80%", description="part of each limit from which pushes get a warning")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if (self.pattern is None) == (self.user is None):
            raise ValueError("a quota is for repositories or for users; fix: write either pattern: or user:")
        if not self._limits():
            raise ValueError("a quota needs a limit; fix: write at least one of bytes:, manifests: and tags:")
        return self

    def quota(self) -> Quota:
        """Return the quota that this section describes."""
        pattern = None if self.pattern is None else NamePattern(self.pattern)
        from mirror.records.lifecycle.quotas import Quota

        return Quota(self._limits(), int(self.soft.removesuffix("%")) / 100, pattern, self.user)

    def _limits(self) -> tuple[tuple[QuotaKind, int], ...]:
        from mirror.records.lifecycle.quotas import QuotaKind

        limits = {QuotaKind.BYTES: self.bytes, QuotaKind.MANIFESTS: self.manifests, QuotaKind.TAGS: self.tags}
        return tuple((kind, int(limit)) for kind, limit in limits.items() if limit is not None)
