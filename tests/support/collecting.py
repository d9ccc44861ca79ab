"""Collection for tests: a store on a settable clock, and everything decided at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from mirror.lifecycle.collector import CollectionResult, Collector
from mirror.oci import Digest, Manifest, Repository
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import CollectionRules, Grace, ReviewKind
from mirror.store.catalog import review_rows
from mirror.store.registry import Store
from tests.support.clocks import HandClock

#: Untagged manifests go as other content does.
RULES = CollectionRules(Grace(), untagged_default=timedelta(0))


async def collect_now(store: Store, clock: HandClock, rules: CollectionRules = RULES) -> CollectionResult:
    """Decide every review once, and remove all bytes that nothing needs, as ``gc --grace 0s --untagged 0s`` does."""
    clock.advance(seconds=1)  # a run begins later than what it decides
    return await Collector(store.records.reviews, rules, store.uploads.repositories, clock).collect_now()


async def review(
    store: Store, kind: ReviewKind, repository: Repository | None, *digests: Digest, clock: HandClock
) -> None:
    """Queue reviews, as a change does that may have left the content without a user."""
    name = "" if repository is None else repository.name
    await store.services.catalog.write_uncached(
        lambda connection: review_rows.review(
            connection, kind, name, map(str, digests), ReviewCause.DELETED, now=clock.now()
        )
    )


def kept_bytes(folder: Path) -> set[Digest]:
    """Return the digests of all files among the blobs of a data folder."""
    files = (path for path in (folder / "blobs").rglob("*") if path.is_file())
    return {Digest(path.parent.parent.name, path.name) for path in files}


def content_of(*manifests: Manifest) -> set[Digest]:
    """Return the digests of manifests and of the blobs that they name."""
    return {one for manifest in manifests for one in (manifest.digest, *(blob.digest for blob in manifest.blobs))}
