"""Check of the signatures of a bundle from which a command reads one plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# Commands make a check before they know whether they read a bundle, so what checks is imported late.
if TYPE_CHECKING:
    from mirror.bundle.format.bundle_head import BundleHead
    from mirror.settings import Settings


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Check of a bundle from which one plugin is read.

    Attributes:
        public_keys: files with public keys that are trusted beside those in the data folder; empty for no check.
        note: receives a sentence for the operator if nothing was checked.
    """

    public_keys: Sequence[Path] = ()
    note: Callable[[str], None] = lambda _: None

    async def apply(self, settings: Settings, head: BundleHead, path: Path) -> None:
        """Check the signatures of a bundle.

        Raises:
            BundleUntrusted: no trusted key has signed the bundle.
            ConfigurationFault: a file has no public key.
        """
        if self.public_keys:
            from mirror.app.bundles.bundle_trusting import trusted_keys
            from mirror.bundle.trust.trust_decision import judge_signatures

            trusted = await trusted_keys(settings, self.public_keys)
            judge_signatures(head.envelope, head.key_sets, trusted, unsigned=False)
        elif head.envelope.signatures:
            self.note(
                f"the signature of {path} was not checked; fix: name the public key of its sender with --key F.pub"
            )
        else:
            self.note(f"{path} is not signed")
