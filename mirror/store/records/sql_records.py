"""All records of a store."""

from __future__ import annotations

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
from mirror.store.store_services import StoreServices


class SqlRecords:
    """The records that a store keeps beside content, one attribute for each kind.

    Args:
        services: the catalog and the other services of the store.
    """

    def __init__(self, services: StoreServices) -> None:
        self.absent = SqlAbsentContent(services)
        self.admissions = SqlAdmissions(services)
        self.backups = SqlBackups(services)
        self.bundle_contents = SqlBundleContents(services)
        self.bundle_exports = SqlBundleExports(services)
        self.bundle_imports = SqlBundleImports(services)
        self.bundle_trust = SqlBundleTrust(services)
        self.changes = SqlChanges(services)
        self.damage = SqlDamage(services)
        self.deliveries = SqlDeliveries(services)
        self.deletions = SqlDeletions(services)
        self.derivations = SqlDerivations(services)
        self.findings = SqlFindings(services)
        self.pins = SqlPins(services)
        self.plugins = SqlHeldPlugins(services)
        self.holders = SqlHolders(services)
        self.hosts = SqlHosts(services)
        self.incomplete = SqlIncompleteManifests(services)
        self.numbers = SqlStorageNumbers(services)
        self.long_work = SqlLongWork(services)
        self.origins = SqlOrigins(services)
        self.pulled_contents = SqlPulledContents(services)
        self.pulls = SqlPulls(services)
        self.pushed_tags = SqlPushedTags(services)
        self.quotas = SqlQuotas(services)
        self.readings = SqlReadings(services)
        self.reviews = SqlReviews(services)
        self.traffic = SqlTraffic(services)
        self.scrubs = SqlScrubStates(services)
        self.users = SqlUsers(services)
        self.verdicts = SqlVerdicts(services)
        self.arrivals = SqlArrivals(services)
        self.decisions = SqlDecisions(services, self.plugins)
        self.tag_owners = SqlTagOwners(services)
        self.sync_runs = SqlSyncRuns(services, self.tag_owners)
