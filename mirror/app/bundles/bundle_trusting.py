"""Trusted keys of a command about bundles: those that it names, and those that the data folder records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirror.app.services import has_data_folder, open_store
from mirror.bundle.trust.key_set import SignedKeySet
from mirror.bundle.trust.signing_key_files import load_verifying_key
from mirror.bundle.trust.trust_decision import TrustedKeys
from mirror.oci.errors import StorageFault
from mirror.records.bundle_trust import BundleTrust
from mirror.settings import Settings


async def trusted_keys(settings: Settings, public_keys: Sequence[Path]) -> tuple[TrustedKeys, ...]:
    """Return the keys that a command without an open store trusts. A missing data folder records none.

    Args:
        settings: ``storage.path`` is the data folder.
        public_keys: files with public keys that this command trusts.

    Raises:
        ConfigurationFault: a file has no public key.
        StorageFault: the data folder cannot be read, and no public key is named.
    """
    named = await named_keys(public_keys)
    try:
        if not has_data_folder(settings.storage.path.expanduser()):
            return named
        async with open_store(settings, only_reads=True) as store:
            return (*await recorded_keys(store.records.bundle_trust), *named)
    except StorageFault:
        # A person who names a key need not have access to the data folder of a server.
        if named:
            return named
        raise


async def named_keys(public_keys: Sequence[Path]) -> tuple[TrustedKeys, ...]:
    """Return the chains that begin with public keys in files. Raises ConfigurationFault if a file has none."""
    return tuple([TrustedKeys.of_key(await load_verifying_key(path)) for path in public_keys])


async def recorded_keys(records: BundleTrust) -> tuple[TrustedKeys, ...]:
    """Return the newest key set of each chain that the data folder records, the chain trusted first in front."""
    newest = {
        each.root: TrustedKeys(
            each.root, SignedKeySet.parse(each.envelope, f"the recorded key set {each.version}").key_set, recorded=True
        )
        for each in await records.list_key_sets()
    }
    return tuple(newest.values())
