"""``plugin-mirror quota``: how much of the quotas is used."""

from __future__ import annotations

from typing import Any

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import RESULTS, print_list
from mirror.cli.terminal.tables import print_table
from mirror.records.lifecycle.quotas import QuotaKind


def ls(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List the quotas with what is used of them.

    Content counts once in each repository that holds it. What a deletion has
    left behind does not count, even before its bytes are removed. A quota of
    each user has a line for each user who has pushed.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.services import open_store
    from mirror.app.storage.quota_wiring import as_json, quota_rules

    settings = settings_of(config, data)

    async def read() -> list[dict[str, Any]]:
        async with open_store(settings, only_reads=True) as store:
            return [as_json(usage) for usage in await store.records.quotas.usages(quota_rules(settings))]

    print_list(
        run_to_the_end(read()),
        print_quotas,
        "no quotas; fix: to limit pushes, write quotas: in the configuration",
        as_json=json,
    )


def print_quotas(found: list[dict[str, Any]]) -> None:
    """Print quotas with what is used of them."""
    rows = []
    for usage in found:
        for kind in QuotaKind:
            limit, used = usage["limits"][kind.value], usage["used"][kind.value]
            if limit is None:
                continue
            state = "full" if used >= limit else "nearly full" if used >= usage["soft"] * limit else ""
            rows.append((usage["account"], kind.shown(limit), kind.shown(used), state))
    print_table(RESULTS, ("QUOTA", "LIMIT", "USED", ""), rows, right=["LIMIT", "USED"])
