"""Counts of what quotas refuse and warn of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from mirror.oci.errors import QuotaExceeded
from mirror.records.lifecycle.quotas import Account, Push, QuotaKind
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot

_LOG = structlog.get_logger(__name__)
_REFUSED: Final = "plugin_mirror_quota_refusals_total"
_PASSED: Final = "plugin_mirror_quota_soft_limits_passed_total"


def quota_families(names: Iterable[str]) -> tuple[MetricFamily, MetricFamily]:
    """Return the metrics of quotas with these names."""
    series = [(name,) for name in names]
    return (
        MetricFamily(_REFUSED, "Pushes refused because a quota had no room.", MetricKind.COUNTER, ("quota",), series),
        MetricFamily(_PASSED, "Pushes that passed the soft limit of a quota.", MetricKind.COUNTER, ("quota",), series),
    )


class QuotaCounter:
    """Counts and logs in a serving process.

    Args:
        slot: the shared memory of the process.
        names: names of the quotas.
    """

    def __init__(self, slot: WorkerSlot, names: Iterable[str]) -> None:
        listed = tuple(names)
        refused, passed = quota_families(listed)
        self._refused = {name: slot.counter(refused, name) for name in listed}
        self._passed = {name: slot.counter(passed, name) for name in listed}

    def refuse(self, push: Push, error: QuotaExceeded) -> None:
        """Count a refused push."""
        account = next(account for account in push.accounts if account.scope == error.detail["quota"])
        self._refused[account.quota.name].add()
        _LOG.info("push refused by a quota", user=push.user or "", **error.detail)

    def accept(self, push: Push) -> None:
        """Count and log the soft limits that an accepted push has passed."""
        for account, kind in push.passed:
            self._pass(account, kind)
        push.passed.clear()

    def _pass(self, account: Account, kind: QuotaKind) -> None:
        self._passed[account.quota.name].add()
        limit = dict(account.quota.limits)[kind]
        _LOG.warning(
            "quota nearly used",
            quota=account.scope,
            kind=kind.value,
            limit=limit,
            soft_limit=account.quota.soft * limit,
        )
