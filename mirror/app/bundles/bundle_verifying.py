"""Command ``bundle verify``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mirror.app.bundles.bundle_opening import open_bundle
from mirror.app.bundles.bundle_trusting import trusted_keys
from mirror.bundle.bundle_age import foreseen_age
from mirror.bundle.format.bundle_head import BundleHead
from mirror.bundle.trust.trust_decision import Trust, judge_signatures
from mirror.bundle.verification import verify_bytes
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle of which every byte is as its statement says.

    Attributes:
        head: the documents.
        trust: the outcome of the check of signatures.
        warnings: sentences about the signatures, and about the age of the bundle.
    """

    head: BundleHead
    trust: Trust
    warnings: tuple[str, ...]


async def verify_bundle(
    settings: Settings,
    path: Path,
    progress: Progress,
    *,
    folders: Sequence[Path] = (),
    public_keys: Sequence[Path] = (),
    unsigned: bool = False,
) -> VerifiedBundle:
    """Check the signatures of a bundle, and then every byte.

    Args:
        settings: limits for the age of bundles. ``storage.path`` is the data folder, whose recorded keys are trusted.
            The folder need not exist.
        path: the bundle, the table of its parts, or a part.
        progress: receiver of the bytes read.
        folders: further folders with parts.
        public_keys: files with public keys that are trusted too.
        unsigned: True to check the bytes also if no trusted key has signed the bundle.

    Raises:
        BundleUntrusted: no trusted key has signed the bundle.
        BundleInvalid: the file is not a bundle, or bytes differ from its statement.
        BundleIncomplete: parts are missing.
        ConfigurationFault: the file or a key cannot be opened.
    """
    bundle = await open_bundle(path, folders)
    # The signatures come first: they take a moment, and the bytes may take an hour.
    trusted = await trusted_keys(settings, public_keys)
    trust = judge_signatures(bundle.head.envelope, bundle.head.key_sets, trusted, unsigned=unsigned)
    await verify_bytes(bundle.head, bundle.source, progress)
    age = foreseen_age(bundle.head.statement.created, SystemClock().now(), settings.bundles.limits())
    return VerifiedBundle(bundle.head, trust, (*trust.warnings, *age))
