"""Derived copies: a plugin's copy with other defaults, made beside the original from the same layers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.plugin.build.derivation import DerivedPlugin, derive
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint.config_checks import check_secrets
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.records.derivations import Derivation, Derivations
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.port import Reader
from mirror.registry.streams import single_chunk
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.graph.places import CopyDestination


class LayerFactsReader(Protocol):
    """Reader of facts about stored layers. Bounds the number of layers read at the same time."""

    async def facts(self, repository: Repository, digest: Digest) -> LayerFacts:
        """Read the facts of a layer. Raises BlobUnknown if the repository does not hold the layer."""
        ...


@dataclass(frozen=True, slots=True)
class DerivedCopyMaker:
    """Maker of copies with changes, and the services used.

    Attributes:
        name: name of the maker, for example ``rule contiv`` or ``user root``.
        ledger: records of derivations, which receive each copy.
        layers: reader of facts about layers, needed for changes with ``fix``.
        now: function that returns the current time.
    """

    name: str
    ledger: Derivations
    layers: LayerFactsReader
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Derived:
    """Result of a derivation.

    Attributes:
        digest: digest of the copy, or of the original if nothing had to be changed.
        changed: differences from the original, one line each.
        advice: advice of the destination for the manifest of the copy, and a warning about secrets in its config.
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
    """Make a plugin's copy in the repository of the original, record the derivation, then tag the copy.

    A tagged copy always has a record of its derivation. No layer moves. Layers are only read for changes with ``fix``.

    Args:
        destination: repository of original and copy.
        original: digest of the original.
        tags: tags for the copy.
        changes: changes to apply.
        source: origin of the original, for the record.
        maker: maker of the copy.

    Raises:
        MirrorError: any error of :func:`mirror.plugin.build.derivation.derive` or of the registry. Nothing is tagged.
    """
    registry, repository = destination.registry, destination.repository
    manifest = await registry.get_manifest(repository, original)
    config = await _config(registry, repository, manifest)
    # A first attempt without facts of layers reports invalid changes before any layer is read.
    await in_thread(derive, manifest, config, changes)
    facts = await _facts(maker.layers, repository, manifest) if changes.fix else None
    plugin = await in_thread(derive, manifest, config, changes, facts)
    if not plugin.changed:
        await registry.put_manifest(repository, manifest, tags)
        return Derived(original, ())
    await _put_config(destination, plugin)
    # The order matters: manifest, record, tag. A crash in between leaves an untagged copy, never a tag without a
    # record (ADR 12).
    with coming_from(ContentSource("", repository, original)):
        advice = await registry.put_manifest(repository, plugin.manifest)
    made = Derivation(source, original, maker.name, maker.now(), changes.to_json(), plugin.changed)
    await maker.ledger.record_derivation(plugin.manifest.digest, made)
    await registry.put_manifest(repository, plugin.manifest, tags)
    secret = await in_thread(_advice_about_secrets, plugin.config)
    return Derived(plugin.manifest.digest, plugin.changed, (*advice, *secret))


async def try_changes(reader: Reader, repository: Repository, manifest: Manifest, changes: DerivationChanges) -> None:
    """Raise the errors of :func:`derive_beside` which are known without reading layers."""
    await in_thread(derive, manifest, await _config(reader, repository, manifest), changes)


def _advice_about_secrets(config: bytes) -> tuple[str, ...]:
    return tuple(finding.advice for finding in check_secrets(PluginConfig.parse(config)))


async def _config(reader: Reader, repository: Repository, manifest: Manifest) -> bytes:
    if manifest.config is None or not manifest.is_plugin:
        return b""  # ``derive`` refuses a manifest that is no plugin, whatever the config
    return (await read_plugin_config(reader, repository, manifest.config.digest, manifest.config.size_bytes)).require()


async def _facts(layers: LayerFactsReader, repository: Repository, manifest: Manifest) -> dict[Digest, LayerFacts]:
    # Foreign layers, which the manifest locates by URLs, need not be stored here.
    stored = {blob.digest for blob in manifest.blobs}
    wanted = {layer.digest: None for layer in manifest.layers if layer.digest in stored}
    return {digest: await layers.facts(repository, digest) for digest in wanted}


async def _put_config(destination: CopyDestination, plugin: DerivedPlugin) -> None:
    upload = await destination.registry.begin_upload(destination.repository)
    await upload.append(single_chunk(plugin.config))
    await upload.commit(Digest.of(plugin.config))
