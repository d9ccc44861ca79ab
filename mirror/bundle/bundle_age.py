"""The age of a bundle: what a person is told about an old one, and when it is refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mirror.bundle.bundle_errors import BundleUntrusted
from mirror.oci.timestamps import machine_time, rounded_span

#: Clocks may differ by this much before anybody is told.
_CLOCKS_DIFFER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """Limits for the age of bundles.

    Attributes:
        warned_after: age from which a bundle is used with a warning.
        refused_after: age from which a bundle is refused; None to use a bundle of any age.
    """

    warned_after: timedelta = timedelta(days=30)
    refused_after: timedelta | None = None


def judge_age(created: datetime, now: datetime, limits: AgeLimits) -> str | None:
    """Return a warning about the age of a bundle that is about to be used; None if there is nothing to say.

    Args:
        created: time of creation in the statement.
        now: the current time here.
        limits: the limits of this site.

    Raises:
        BundleUntrusted: the bundle is older than the limits allow.
    """
    age = now - created
    if limits.refused_after is not None and age > limits.refused_after:
        raise BundleUntrusted(
            f"the bundle is {rounded_span(age)} old ({machine_time(created)}), and bundles.max_age refuses bundles "
            f"older than {rounded_span(limits.refused_after)}; fix: bring a newer bundle, or raise bundles.max_age",
            age_seconds=age.total_seconds(),
        )
    return age_warning(created, now, limits)


def foreseen_age(created: datetime, now: datetime, limits: AgeLimits) -> tuple[str, ...]:
    """Return what an import would say about the age of a bundle. Arguments are those of :func:`judge_age`."""
    try:
        warning = judge_age(created, now, limits)
    except BundleUntrusted as error:
        return (f"an import refuses this bundle: {error}",)
    return () if warning is None else (warning,)


def age_warning(created: datetime, now: datetime, limits: AgeLimits) -> str | None:
    """Return a warning about the age of a bundle; None if there is nothing to say.

    Whoever carries bundles can hold back a new one, and no signature shows that. Only the age does.

    Args:
        created: time of creation in the statement.
        now: the current time here.
        limits: the limits of this site.
    """
    age = now - created
    if age > limits.warned_after:
        return f"the bundle is {rounded_span(age)} old ({machine_time(created)}); a newer one may have been held back"
    if -age > _CLOCKS_DIFFER:
        return (
            f"the bundle was made {rounded_span(-age)} in the future ({machine_time(created)}): the clock of this "
            "machine or that of its maker is wrong"
        )
    return None
