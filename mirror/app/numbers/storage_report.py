"""Report on the storage, for ``GET /api/v1/storage`` and ``plugin-mirror stats``: one section for each part.

A new part adds its function to :data:`SECTIONS`. The function returns plain values for JSON, or None if the part is not
in use. ``mirror.cli.storage.stats_output`` has a function that prints the section.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Final, TypeAlias, TypeVar

from mirror.app.services import Services, open_services
from mirror.app.storage.collecting import collection_rules
from mirror.app.storage.integrity.scrubbing import scrub_report
from mirror.app.storage.quota_wiring import as_json, quota_rules
from mirror.oci.timestamps import machine_time
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import FreedBytes
from mirror.settings import Settings

Value = TypeVar("Value")

StorageSection: TypeAlias = Callable[[Services], Awaitable[object]]

#: Most repositories and most tags that the report lists.
_LISTED: Final = 100


async def _content(services: Services) -> object:
    return asdict(await services.store.records.numbers.content())


async def _repositories(services: Services) -> object:
    return [asdict(each) for each in await services.store.records.numbers.largest(_LISTED)]


async def _pulls(services: Services) -> object:
    return [
        {
            "name": each.repository,
            "target": each.target,
            "pulls": each.pulls,
            "last_pulled_at": machine_time(each.pulled_at),
        }
        for each in await services.store.records.numbers.most_pulled(_LISTED)
    ]


async def _traffic(services: Services) -> object:
    return [
        {"upstream": source.upstream, "rule": source.rule, **asdict(each), "saved_bytes": each.saved_bytes}
        for source, each in (await services.store.records.traffic.all()).items()
    ]


async def _collection(services: Services) -> object:
    rules = collection_rules(services.settings)
    waiting = await services.store.records.reviews.waiting(rules.grace)
    return {
        "waiting": _by_cause(waiting.reviews),
        "due": waiting.due,
        "overdue": waiting.overdue,
        "often_tried": waiting.often_tried,
        "doomed": asdict(waiting.doomed),
        "freed": {cause: asdict(freed) for cause, freed in _by_cause(waiting.freed).items()},
        "freed_in_all": asdict(sum(waiting.freed.values(), FreedBytes())),
    }


async def _budget(services: Services) -> object:
    if not services.settings.proxy:
        return None
    limits, record = services.settings.pull_through.keep.limits(), await services.store.records.pulled_contents.record()
    last = record.last_emergency_at
    return {
        "used_bytes": record.used_bytes,
        "budget_bytes": limits.size_bytes,
        "unused_for_seconds": None if limits.unused_for is None else int(limits.unused_for.total_seconds()),
        "tags": record.tags,
        "counted_at": None if record.counted_at is None else machine_time(record.counted_at),
        "evicted": {"tags": record.evicted_tags, "size_bytes": record.evicted_bytes},
        "emergencies": record.emergencies,
        "last_emergency_at": None if last is None else machine_time(last),
    }


async def _quotas(services: Services) -> object:
    rules = quota_rules(services.settings)
    return [as_json(usage) for usage in await services.store.records.quotas.usages(rules)] if rules.quotas else None


async def _scrub(services: Services) -> object:
    return (await scrub_report(services.store)).to_json()


async def _backup(services: Services) -> object:
    last = await services.store.records.backups.last_backup()
    if last is None:
        return None
    return asdict(last) | {"created": machine_time(last.created), "finished": machine_time(last.finished)}


def _by_cause(values: Mapping[ReviewCause, Value]) -> dict[str, Value]:
    return {cause.value: values[cause] for cause in ReviewCause if cause in values}


#: The sections of the report by name, in the order of ``plugin-mirror stats``.
SECTIONS: Final[Mapping[str, StorageSection]] = {
    "content": _content,
    "repositories": _repositories,
    "traffic": _traffic,
    "pulls": _pulls,
    "budget": _budget,
    "collection": _collection,
    "quotas": _quotas,
    "scrub": _scrub,
    "backup": _backup,
}


async def storage_report(services: Services) -> Mapping[str, object]:
    """Return the report as plain values. Reads whole indexes of the catalog. Raises CatalogFault."""
    return {name: await read(services) for name, read in SECTIONS.items()}


async def stored_report(settings: Settings) -> Mapping[str, object]:
    """Return the report on a data folder. Raises ConfigurationFault, StorageFault as :func:`open_services`."""
    async with open_services(settings, only_reads=True) as services:
        return await storage_report(services)
