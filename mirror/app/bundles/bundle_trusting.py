"""Trusted keys of a command about bundles: those that it names, and those that the data folder records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirror.app.services import has_data_folder, open_store
from mirror.bundle.trust.key_set import SignedKeySet
from mirror.bundle.trust.key_set_files import load_key_set
from mirror.bundle.trust.signing_key_files import load_verifying_key
from mirror.bundle.trust.trust_decision import TrustedKeys
from mirror.bundle.trust.trust_step import RecordedChain, TrustStep, judge_key_set, recorded_chains
from mirror.oci.errors import NotFound, StorageFault
from mirror.records.bundle_trust import BundleTrust, StreamState, TrustedKeySet
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
        if not has_data_folder(settings.storage.path):
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
    chains = recorded_chains(await records.list_key_sets())
    return tuple(TrustedKeys(chain.root, chain.newest, recorded=True, replaced=_all_key_ids(chain)) for chain in chains)


async def judge_file(settings: Settings, path: Path) -> tuple[SignedKeySet, TrustStep, TrustedKeySet]:
    """Return the key set in a file, the step that makes it trusted, and its record. Nothing is recorded.

    Raises:
        ConfigurationFault: the file has neither a key set nor a public key.
        BundleInvalid: the file has JSON that is not a key set.
        BundleUntrusted: too few keys have signed the key set.
        StorageFault: the data folder cannot be read.
    """
    signed = await load_key_set(path)
    if not has_data_folder(settings.storage.path):
        return signed, *judge_key_set(signed, ())
    async with open_store(settings, only_reads=True) as store:
        chains = recorded_chains(await store.records.bundle_trust.list_key_sets())
    return signed, *judge_key_set(signed, chains)


async def record_step(settings: Settings, step: TrustStep, record: TrustedKeySet) -> None:
    """Record a key set as trusted. The data folder is created if it does not exist.

    Raises:
        StorageFault: the data folder cannot be written.
    """
    async with open_store(settings) as store:
        if step is TrustStep.FIRST:
            await store.records.bundle_trust.record_root(record)
        else:
            await store.records.bundle_trust.record_successors([record])


async def remove_chain(settings: Settings, text: str) -> RecordedChain:
    """Trust the keys of a chain no longer.

    Args:
        settings: ``storage.path`` is the data folder.
        text: first hexadecimal digits of the fingerprint of the chain, of its newest key set, or of a key of that set.

    Raises:
        NotFound: no chain or several ones fit.
        ConfigurationFault: there is no data folder.
        StorageFault: the data folder cannot be written.
    """
    async with open_store(settings, must_exist=True) as store:
        records = store.records.bundle_trust
        chains = recorded_chains(await records.list_key_sets())
        fitting = [chain for chain in chains if any(each.startswith(text) for each in _fingerprints(chain))]
        if len(fitting) != 1:
            which = f"{len(fitting)} trusted chains have" if fitting else "no trusted key has"
            raise NotFound(
                f"{which} a fingerprint that begins with {text}; "
                "fix: 'plugin-mirror bundle trust --list' shows the fingerprints"
            )
        await records.remove_root(fitting[0].root)
        return fitting[0]


async def read_trust(settings: Settings) -> tuple[tuple[RecordedChain, ...], Sequence[StreamState]]:
    """Return the trusted chains, and the states of all streams. A missing data folder has none of both."""
    if not has_data_folder(settings.storage.path):
        return (), ()
    async with open_store(settings, only_reads=True) as store:
        records = store.records.bundle_trust
        return recorded_chains(await records.list_key_sets()), await records.list_streams()


def _fingerprints(chain: RecordedChain) -> set[str]:
    return {chain.root.hex, chain.newest.digest.hex, *chain.newest.key_ids}


def _all_key_ids(chain: RecordedChain) -> frozenset[str]:
    return frozenset(key_id for key_set in chain.key_sets for key_id in key_set.key_ids)
