"""All records of a store, of which each kind is imported at its first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mirror.store.store_services import StoreServices

if TYPE_CHECKING:
    from mirror.store.collection.sql_holders import SqlHolders
    from mirror.store.collection.sql_reviews import SqlReviews
    from mirror.store.records.admission.sql_admissions import SqlAdmissions
    from mirror.store.records.admission.sql_arrivals import SqlArrivals
    from mirror.store.records.admission.sql_decisions import SqlDecisions
    from mirror.store.records.admission.sql_held_plugins import SqlHeldPlugins
    from mirror.store.records.admission.sql_verdicts import SqlVerdicts
    from mirror.store.records.bundles.sql_bundle_contents import SqlBundleContents
    from mirror.store.records.bundles.sql_bundle_exports import SqlBundleExports
    from mirror.store.records.bundles.sql_bundle_imports import SqlBundleImports
    from mirror.store.records.bundles.sql_bundle_trust import SqlBundleTrust
    from mirror.store.records.changes.sql_changes import SqlChanges
    from mirror.store.records.changes.sql_deliveries import SqlDeliveries
    from mirror.store.records.integrity.sql_damage import SqlDamage
    from mirror.store.records.integrity.sql_scrub_states import SqlScrubStates
    from mirror.store.records.lifecycle.sql_backups import SqlBackups
    from mirror.store.records.lifecycle.sql_deletions import SqlDeletions
    from mirror.store.records.lifecycle.sql_long_work import SqlLongWork
    from mirror.store.records.lifecycle.sql_pulls import SqlPulls
    from mirror.store.records.pulled.sql_pulled_contents import SqlPulledContents
    from mirror.store.records.quotas.sql_quotas import SqlQuotas
    from mirror.store.records.sql_absent_content import SqlAbsentContent
    from mirror.store.records.sql_derivations import SqlDerivations
    from mirror.store.records.sql_findings import SqlFindings
    from mirror.store.records.sql_hosts import SqlHosts
    from mirror.store.records.sql_incomplete_manifests import SqlIncompleteManifests
    from mirror.store.records.sql_origins import SqlOrigins
    from mirror.store.records.sql_readings import SqlReadings
    from mirror.store.records.sql_storage_numbers import SqlStorageNumbers
    from mirror.store.records.sql_sync_runs import SqlSyncRuns
    from mirror.store.records.sql_tag_owners import SqlTagOwners
    from mirror.store.records.sql_traffic import SqlTraffic
    from mirror.store.records.sql_users import SqlUsers
    from mirror.store.records.tags.sql_pins import SqlPins
    from mirror.store.records.tags.sql_pushed_tags import SqlPushedTags

#: The class of each kind, as ``MODULE:CLASS`` below ``mirror.store``.
_CLASSES: Final = {
    "absent": "records.sql_absent_content:SqlAbsentContent",
    "admissions": "records.admission.sql_admissions:SqlAdmissions",
    "backups": "records.lifecycle.sql_backups:SqlBackups",
    "bundle_contents": "records.bundles.sql_bundle_contents:SqlBundleContents",
    "bundle_exports": "records.bundles.sql_bundle_exports:SqlBundleExports",
    "bundle_imports": "records.bundles.sql_bundle_imports:SqlBundleImports",
    "bundle_trust": "records.bundles.sql_bundle_trust:SqlBundleTrust",
    "changes": "records.changes.sql_changes:SqlChanges",
    "damage": "records.integrity.sql_damage:SqlDamage",
    "deliveries": "records.changes.sql_deliveries:SqlDeliveries",
    "deletions": "records.lifecycle.sql_deletions:SqlDeletions",
    "derivations": "records.sql_derivations:SqlDerivations",
    "findings": "records.sql_findings:SqlFindings",
    "pins": "records.tags.sql_pins:SqlPins",
    "plugins": "records.admission.sql_held_plugins:SqlHeldPlugins",
    "holders": "collection.sql_holders:SqlHolders",
    "hosts": "records.sql_hosts:SqlHosts",
    "incomplete": "records.sql_incomplete_manifests:SqlIncompleteManifests",
    "numbers": "records.sql_storage_numbers:SqlStorageNumbers",
    "long_work": "records.lifecycle.sql_long_work:SqlLongWork",
    "origins": "records.sql_origins:SqlOrigins",
    "pulled_contents": "records.pulled.sql_pulled_contents:SqlPulledContents",
    "pulls": "records.lifecycle.sql_pulls:SqlPulls",
    "pushed_tags": "records.tags.sql_pushed_tags:SqlPushedTags",
    "quotas": "records.quotas.sql_quotas:SqlQuotas",
    "readings": "records.sql_readings:SqlReadings",
    "reviews": "collection.sql_reviews:SqlReviews",
    "traffic": "records.sql_traffic:SqlTraffic",
    "scrubs": "records.integrity.sql_scrub_states:SqlScrubStates",
    "users": "records.sql_users:SqlUsers",
    "verdicts": "records.admission.sql_verdicts:SqlVerdicts",
    "arrivals": "records.admission.sql_arrivals:SqlArrivals",
    "decisions": "records.admission.sql_decisions:SqlDecisions",
    "tag_owners": "records.sql_tag_owners:SqlTagOwners",
    "sync_runs": "records.sql_sync_runs:SqlSyncRuns",
}
#: Kinds that need others, which are further arguments.
_NEEDED: Final = {"decisions": ("plugins",), "sync_runs": ("tag_owners",)}


def import_records() -> None:
    """Import all kinds of records. A server does so before it makes its processes, which then share the memory."""
    for row in _CLASSES.values():
        import_module(f"mirror.store.{row.partition(':')[0]}")


class SqlRecords:
    """The records that a store keeps beside content, one attribute for each kind.

    A command uses few of them, and to import all takes longer than what most commands do.

    Args:
        services: the catalog and the other services of the store.
    """

    absent: SqlAbsentContent
    admissions: SqlAdmissions
    backups: SqlBackups
    bundle_contents: SqlBundleContents
    bundle_exports: SqlBundleExports
    bundle_imports: SqlBundleImports
    bundle_trust: SqlBundleTrust
    changes: SqlChanges
    damage: SqlDamage
    deliveries: SqlDeliveries
    deletions: SqlDeletions
    derivations: SqlDerivations
    findings: SqlFindings
    pins: SqlPins
    plugins: SqlHeldPlugins
    holders: SqlHolders
    hosts: SqlHosts
    incomplete: SqlIncompleteManifests
    numbers: SqlStorageNumbers
    long_work: SqlLongWork
    origins: SqlOrigins
    pulled_contents: SqlPulledContents
    pulls: SqlPulls
    pushed_tags: SqlPushedTags
    quotas: SqlQuotas
    readings: SqlReadings
    reviews: SqlReviews
    traffic: SqlTraffic
    scrubs: SqlScrubStates
    users: SqlUsers
    verdicts: SqlVerdicts
    arrivals: SqlArrivals
    decisions: SqlDecisions
    tag_owners: SqlTagOwners
    sync_runs: SqlSyncRuns

    def __init__(self, services: StoreServices) -> None:
        self._services = services

    if not TYPE_CHECKING:  # no other attributes exist

        def __getattr__(self, name: str) -> Any:
            if name not in _CLASSES:
                raise AttributeError(f"there are no records called {name!r}")
            module, _, kind = _CLASSES[name].partition(":")
            needed = (getattr(self, other) for other in _NEEDED.get(name, ()))
            records = getattr(import_module(f"mirror.store.{module}"), kind)(self._services, *needed)
            setattr(self, name, records)  # found without this method from now on
            return records
