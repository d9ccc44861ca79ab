"""The checks of ``/readyz``."""

from __future__ import annotations

from typing import Final

from mirror.app.bundles.bundle_serving import ServedBundle
from mirror.server.api.health import Check
from mirror.store.registry import Store

#: Checks without which content can be read all the same, as on a full disk, or while the bucket is gone.
WRITE_CHECKS: Final = ("store", "space", "changes", "bucket")


def readiness_checks(store: Store, bundle: ServedBundle | None, *, is_read_only: bool) -> dict[str, Check]:
    """Return the checks of ``/readyz``."""
    monitoring = store.monitoring
    if bundle is not None:
        return {"bundle": bundle.probe, "catalog": monitoring.probe_catalog}
    if is_read_only:
        return {"store": monitoring.probe_reading, "catalog": monitoring.probe_catalog}
    return {
        "store": monitoring.probe_volume,
        "space": monitoring.require_room,
        "catalog": monitoring.probe_catalog,
        "changes": monitoring.probe_changes,
        "files": monitoring.probe_files,
        **({} if store.objects is None else {"bucket": store.objects.probe}),
    }
