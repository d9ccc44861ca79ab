"""Making a plugin's copy with other defaults beside it: the same layers, another configuration and manifest."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.plugin.build.derivation import DerivationChanges, DerivedPlugin, derive
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.records.derivations import Derivation, Derivations
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.port import Reader
from mirror.registry.streams import single_chunk
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.copy_engine import CopyDestination


class LayerFactsReader(Protocol):
    """Gives facts of stored layers; it bounds how many are read at a time."""

    async def facts(self, repository: Repository, digest: Digest) -> LayerFacts:
        """Read the facts of a layer. Raises BlobUnknown."""
        ...


@dataclass(frozen=True, slots=True)
class DerivedCopyMaker:
    """Maker of copies with changes, and what it works with.

    Attributes:
        name: who: ``rule contiv``, ``user root``.
        ledger: told of each copy.
        layers: asked about layers, where something is to be mended.
        now: the time of day.
    """

    name: str
    ledger: Derivations
    layers: LayerFactsReader
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Derived:
    """A copy that was made.

    Attributes:
        digest: the copy's; the original's where nothing had to be changed.
        changed: what is different from the original, one line each.
        advice: what the destination had to say of it.
    """

    digest: Digest
    changed: tuple[str, ...]
    advice: tuple[str, ...] = ()


async def derive_beside(
    destination: CopyDestination,
    original: Digest,
    tags: Collection[Tag],
    changes: DerivationChanges,
    *,
    source: str,
    maker: DerivedCopyMaker,
) -> Derived:
    """Make a plugin's copy in the repository that holds it, note how it came about, then tag it.

    A copy never has a tag without that note. No layer moves; where something is to be mended, they are read.

    Args:
        destination: the repository.
        original: the plugin's digest.
        tags: what the copy is tagged with.
        changes: what is to be different.
        source: where the original is from, for the note.
        maker: who makes it.

    Raises:
        As :func:`mirror.plugin.build.derivation.derive`, and whatever the registry raises. Nothing is tagged then.
    """
    registry, repository = destination.registry, destination.repository
    manifest = await registry.get_manifest(repository, original)
    config = await _config(registry, repository, manifest)
    await in_thread(derive, manifest, config, changes)  # what is wrong with the changes is told before layers are read
    facts = await _facts(maker.layers, repository, manifest) if changes.fix else None
    plugin = await in_thread(derive, manifest, config, changes, facts)
    if not plugin.changed:
        await registry.put_manifest(repository, manifest, tags)
        return Derived(original, ())
    await _put_config(destination, plugin)
    advice = await registry.put_manifest(repository, plugin.manifest)
    made = Derivation(source, original, maker.name, maker.now(), changes.to_json(), plugin.changed)
    await maker.ledger.record_derivation(plugin.manifest.digest, made)
    await registry.put_manifest(repository, plugin.manifest, tags)
    return Derived(plugin.manifest.digest, plugin.changed, advice)


async def try_changes(reader: Reader, repository: Repository, manifest: Manifest, changes: DerivationChanges) -> None:
    """Raise as :func:`derive_beside` would, as far as that is known without the layers."""
    await in_thread(derive, manifest, await _config(reader, repository, manifest), changes)


async def _config(reader: Reader, repository: Repository, manifest: Manifest) -> bytes:
    if manifest.config is None or not manifest.is_plugin:
        return b""  # it is refused for what it is
    return (await read_plugin_config(reader, repository, manifest.config.digest)).require()


async def _facts(layers: LayerFactsReader, repository: Repository, manifest: Manifest) -> dict[Digest, LayerFacts]:
    stored = {blob.digest for blob in manifest.blobs}
    wanted = {layer.digest: None for layer in manifest.layers if layer.digest in stored}
    return {digest: await layers.facts(repository, digest) for digest in wanted}


async def _put_config(destination: CopyDestination, plugin: DerivedPlugin) -> None:
    upload = await destination.registry.begin_upload(destination.repository)
    await upload.append(single_chunk(plugin.config))
    await upload.commit(Digest.of(plugin.config))
