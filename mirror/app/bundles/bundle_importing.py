"""Import of a bundle into the local store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mirror.app.bundles.bundle_trusting import named_keys, recorded_keys
from mirror.app.mirroring import existing_store
from mirror.app.services import Services, has_data_folder, open_services
from mirror.bundle.bundle_age import judge_age
from mirror.bundle.format.bundle_head import BundleHead, read_head
from mirror.bundle.format.byte_source import ByteSource
from mirror.bundle.importing.assumed_bundles import first_delta_warnings, require_assumed_bundles
from mirror.bundle.importing.bundle_import import ImportDestination, dry_run_result, import_bundle
from mirror.bundle.importing.import_plan import ImportPlan, Receiver, plan_import
from mirror.bundle.importing.import_result import ImportResult
from mirror.bundle.importing.import_review import review_content
from mirror.bundle.importing.import_source import ImportSource
from mirror.bundle.parts.kept_source import KeptSource
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.reader import BundleReader
from mirror.bundle.trust.trust_decision import SerialVerdict, Trust, judge_place, judge_signatures
from mirror.lifecycle.content_holding import holding
from mirror.oci import Digest, Repository
from mirror.oci.name_mapping import NameMapping
from mirror.records.bundle_trust import StreamState
from mirror.records.lifecycle.content_holders import HolderPurpose
from mirror.records.sync_runs import MirroredTag, TagOutcome
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.sync.rule import MirrorRule
from mirror.sync.rules.rule_order import RuleOrder
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import Progress

_CLOCK = SystemClock()
#: Folder in the data folder for bytes of bundles in parts whose import is not complete.
_KEPT = "bundles"
_NOT_JUDGED = "plugins are checked and judged by the admission policy when they are imported, not in a dry run"


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Bundle to import, and the way to import it.

    Attributes:
        path: the bundle, the table of its parts, or a part.
        folders: further folders with parts.
        public_keys: files with public keys that this import trusts.
        unsigned: True to accept a bundle that no trusted key has signed.
        mappings: mappings of names in the bundle to names in the store.
        allow_rollback: serial of a bundle to accept in spite of the state of its stream.
    """

    path: Path
    folders: Sequence[Path] = ()
    public_keys: Sequence[Path] = ()
    unsigned: bool = False
    mappings: Sequence[NameMapping] = ()
    allow_rollback: int | None = None


async def import_into_store(settings: Settings, request: ImportRequest, progress: Progress) -> ImportResult:
    """Import a bundle. A server may be running on the same data folder.

    Args:
        settings: location of the store, mirror rules, checks and admission policy.
        request: the bundle.
        progress: receiver of the progress.

    Raises:
        BundleUntrusted: no trusted key has signed the bundle, or its serial or age does not allow the use.
        BundleInvalid: the file is not a bundle, is damaged, or its report is wrong.
        BundleIncomplete: a part is missing, or content or an earlier bundle that the bundle assumes to be here.
        ConfigurationFault: the file or a key cannot be read, or the mappings do not fit.
        StorageFault: the store failed.
    """
    file = await open_source(request.path, request.folders)
    if not has_data_folder(settings.storage.path):
        await _trust(await read_head(file), request, settings, None)  # a refused bundle makes no data folder
    async with open_services(settings) as services:
        store = services.store
        records, source = store.records, await _import_source(file, settings, store)
        head = source.bundle.head
        trust = await _trust(head, request, settings, store)
        await records.bundle_trust.record_successors(trust.key_sets)
        judge, known = _judge(head, request, trust), await records.bundle_trust.find_stream(head.statement.stream)
        verdict = judge(known)
        plan = await _plan(source, request, settings, store)
        require_assumed_bundles(head.statement, known, allow_rollback=request.allow_rollback)
        if verdict is SerialVerdict.SAME and plan.changes_nothing:
            result = dry_run_result(source, plan)
        else:
            await _keep_ranges(source, plan)
            destination = ImportDestination(
                services.checked(store),
                records.bundle_imports,
                records.absent,
                BlobLocks(store.downloads),
                partial(_why_withheld, services),
            )
            stream = _state_after(head, trust.root_for(known)), judge
            detail = f"{head.statement.stream} {head.statement.serial}"
            held = {(name.local.repository, None) for name in plan.names}
            # Also between the drives of a bundle in parts: blobs wait here for manifests that come with the next one.
            async with holding(store.records.holders, HolderPurpose.IMPORT, detail, held, goes_on=True):
                result = await import_bundle(source, plan, stream, destination, progress)
        if isinstance(source.bundle.source, KeptSource):
            await source.bundle.source.forget()
        return replace(result, warnings=(*trust.warnings, *_serial_warnings(head, verdict, known)))


async def dry_run_import(settings: Settings, request: ImportRequest) -> ImportResult:
    """Return the result that :func:`import_into_store` would have, without writing anything.

    Raises the errors of :func:`import_into_store`. Refusals by the plugin checks, by the admission policy and by people
    are not foreseen, and a warning says so.
    """
    file = await open_source(request.path, request.folders)
    async with existing_store(settings) as store:
        source = await _import_source(file, settings, store)
        head = source.bundle.head
        trust = await _trust(head, request, settings, store)
        known = trust.after_resets(await store.records.bundle_trust.find_stream(head.statement.stream))
        verdict = _judge(head, request, trust)(known)
        plan = await _plan(source, request, settings, store)
        require_assumed_bundles(head.statement, known, allow_rollback=request.allow_rollback)
        result = dry_run_result(source, plan)
        warnings = (*trust.warnings, *_serial_warnings(head, verdict, known))
        if settings.admission.is_on and result.counts[TagOutcome.COPIED]:
            warnings += (_NOT_JUDGED,)
        return replace(result, warnings=warnings)


async def _import_source(file: ByteSource, settings: Settings, store: Store) -> ImportSource:
    if isinstance(file, PartsSource):
        file = await KeptSource.open(file, settings.storage.path / _KEPT)
    return ImportSource(BundleReader(await read_head(file), file), store, store.records.bundle_contents)


async def _keep_ranges(source: ImportSource, plan: ImportPlan) -> None:
    """Keep what the run with the next drive needs: the documents, and content that ends in a part of another drive."""
    bundle = source.bundle
    if not isinstance(bundle.source, KeptSource) or not bundle.source.missing(0, bundle.source.size_bytes):
        return
    await bundle.source.keep(0, plan.needed.head_bytes)
    for blob in plan.needed.blobs:
        placed = bundle.head.layout.blob(blob.digest)
        if placed is not None and source.missing_parts(blob.digest):
            await bundle.source.keep(placed.start_bytes, placed.end_bytes - placed.start_bytes)


async def _trust(head: BundleHead, request: ImportRequest, settings: Settings, store: Store | None) -> Trust:
    recorded = () if store is None else await recorded_keys(store.records.bundle_trust)
    trusted = (*recorded, *await named_keys(request.public_keys))
    trust = judge_signatures(head.envelope, head.key_sets, trusted, unsigned=request.unsigned)
    age = judge_age(head.statement.created, _CLOCK.now(), settings.bundles.limits())
    return trust if age is None else replace(trust, warnings=(*trust.warnings, age))


def _state_after(head: BundleHead, root: Digest | None) -> StreamState:
    statement, now = head.statement, _CLOCK.now()
    return StreamState(statement.stream, statement.serial, head.envelope.digest, statement.created, now, root)


def _judge(head: BundleHead, request: ImportRequest, trust: Trust) -> Callable[[StreamState | None], SerialVerdict]:
    return partial(judge_place, head, trust, allow_rollback=request.allow_rollback)


async def _plan(source: ImportSource, request: ImportRequest, settings: Settings, store: Store) -> ImportPlan:
    rules = [section.rule() for section in settings.mirrors]

    def holding(brought: MirroredTag, coming: MirroredTag) -> str:
        # A rule that is not configured comes last, and so does a bundle.
        names = (NameMapping(coming.source.name, coming.repository.name),)
        own = MirrorRule(coming.rule, coming.upstream, names)
        holder = RuleOrder.of(rules, own, coming.source, coming.repository).holder(brought)
        return "" if holder is None else holder.name

    receiver = Receiver(store, store.records.sync_runs, store.records.absent, holding)
    plan = await plan_import(source, request.mappings, receiver, _CLOCK.now())
    return replace(plan, privileges=await review_content(source, plan, store))


async def _why_withheld(services: Services, repository: Repository, digest: Digest) -> str:
    """Return the reason for which hosts do not get an imported plugin. Empty if they do."""
    store = services.store
    manifest = await store.get_manifest(repository, digest)
    admission = await services.judge.withheld(store, repository, manifest) if manifest.may_be_plugin else None
    return "" if admission is None else admission.sentence


def _serial_warnings(head: BundleHead, verdict: SerialVerdict, known: StreamState | None) -> tuple[str, ...]:
    statement = head.statement
    # A sender without a store does not count its bundles, and names none before.
    if verdict is not SerialVerdict.GAP or known is None or statement.previous is None:
        return first_delta_warnings(statement, known)
    return (
        f"bundle {statement.serial} of stream {statement.stream} follows bundle {known.serial} here: the bundles "
        "between them were not imported, and this bundle has everything that it needs without them",
    )
