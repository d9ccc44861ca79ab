"""The command ``bundle show``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from mirror.app.bundles.bundle_opening import open_bundle
from mirror.app.bundles.bundle_trusting import named_keys, recorded_keys
from mirror.app.services import has_data_folder, open_store
from mirror.bundle.bundle_age import foreseen_age
from mirror.bundle.bundle_errors import BundleIncomplete, BundleUntrusted
from mirror.bundle.format.bundle_head import BundleHead
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.importing.assumed_bundles import require_assumed_bundles
from mirror.bundle.importing.import_source import ImportSource
from mirror.bundle.reader import BundleReader
from mirror.bundle.report.content_changes import KnownFacts, NameChange, compare_names
from mirror.bundle.report.content_facts import ContentFacts
from mirror.bundle.report.plugin_report import add_facts, read_report, report_differences
from mirror.bundle.trust.trust_decision import SerialVerdict, Trust, judge_place, judge_signatures
from mirror.oci import Digest
from mirror.records.bundle_contents import HeldContent
from mirror.records.bundle_trust import StreamState
from mirror.registry.port import Reader
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store

_NOTHING: Final = HeldContent(frozenset(), {}, {})


@dataclass(frozen=True, slots=True)
class ShownBundle:
    """Information about a bundle.

    Attributes:
        head: documents of the bundle.
        size_bytes: size of the bundle.
        at: time of the look at the bundle.
        trust: outcome of the check of signatures.
        known: state of the stream in the local store; None if it has none, or there is no data folder.
        verdict: place of the bundle in its stream; None if an import would refuse it.
        changes: change of each name, new and grown privileges first.
        is_compared: True if there is a local store to compare with.
        warnings: sentences for the operator.
    """

    head: BundleHead
    size_bytes: int
    at: datetime
    trust: Trust
    known: StreamState | None
    verdict: SerialVerdict | None
    changes: tuple[NameChange, ...]
    is_compared: bool
    warnings: tuple[str, ...]


async def show_bundle(
    settings: Settings, path: Path, folders: Sequence[Path] = (), public_keys: Sequence[Path] = ()
) -> ShownBundle:
    """Return the contents of a bundle, compared with the local store if there is one.

    Args:
        settings: location of the store.
        path: the bundle, the table of its parts, or a part.
        folders: further folders with parts.
        public_keys: files with public keys that are trusted too. If there are any, a trusted key must have signed.

    Raises:
        BundleFault: the file is not a bundle, is incomplete, differs from its statement, or is not signed by a trusted
            key although keys are named.
        ConfigurationFault: a file cannot be read.
        StorageFault: the store cannot be read.
    """
    async with AsyncExitStack() as stack:
        reader = await open_bundle(path, folders)
        store: Store | None = None
        if has_data_folder(settings.storage.path):
            store = await stack.enter_async_context(open_store(settings, only_reads=True))
        head, recorded = reader.head, () if store is None else await recorded_keys(store.records.bundle_trust)
        trusted = (*recorded, *await named_keys(public_keys))
        trust = judge_signatures(head.envelope, head.key_sets, trusted, unsigned=not public_keys)
        known = None if store is None else await store.records.bundle_trust.find_stream(head.statement.stream)
        held = _NOTHING if store is None else await store.records.bundle_contents.held_content()
        facts = await _facts(reader, store, held)
        now = SystemClock().now()
        age = foreseen_age(head.statement.created, now, settings.bundles.limits())
        verdict, refusal = _verdict(head, trust, known, compares=store is not None)
        return ShownBundle(
            head,
            reader.source.size_bytes,
            now,
            trust,
            known,
            verdict,
            compare_names(head.names, held.names, facts),
            store is not None,
            (*trust.warnings, *refusal, *age, *report_differences(facts.reported, facts.found)),
        )


async def _facts(bundle: BundleReader, store: Store | None, held: HeldContent) -> KnownFacts:
    """Return the facts about the content of the bundle, and about what the store holds in the same repositories."""
    reader: Reader = bundle if store is None else ImportSource(bundle, store, store.records.bundle_contents)
    names = bundle.head.names
    found: dict[Digest, ContentFacts] = {}
    for named in names:
        await add_facts(found, reader, named.repository, named.descriptor.digest)
    if store is not None:
        for digest, holder in (await store.records.bundle_contents.holders(_former(held, names))).items():
            await add_facts(found, store, holder, digest)
    return KnownFacts(found, read_report(bundle.head.report))


def _former(held: HeldContent, names: Iterable[NamedManifest]) -> set[Digest]:
    """Return the digests of the tags that the store holds in the repositories of the bundle."""
    repositories = {named.repository.name for named in names}
    # A name with a digest compares with nothing but itself.
    return {digest for name, digest in held.names.items() if "@" not in name and name.partition(":")[0] in repositories}


def _verdict(
    head: BundleHead, trust: Trust, known: StreamState | None, *, compares: bool
) -> tuple[SerialVerdict | None, list[str]]:
    """Return the place of the bundle in its stream, and the reason for which an import would refuse it."""
    state = trust.after_resets(known)
    try:
        verdict = judge_place(head, trust, state)
        if compares:
            require_assumed_bundles(head.statement, state)
        return verdict, []
    except (BundleUntrusted, BundleIncomplete) as error:
        return None, [f"an import refuses this bundle: {error}"]
