"""New names for stored content on every registry: through the port, and without moving bytes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirror.authoring.tag import Named, tag
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, ManifestUnknown
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.records.derivations import Derivation
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.registry.upload import Upload
from mirror.transfer.derive_copy import DerivedCopyMaker, derive_beside
from mirror.transfer.graph.places import CopyDestination
from tests.support.builders import hold, index, plugin

THERE, HERE = Repository("store/contiv/v2plugin"), Repository("contiv/v2plugin")
CONFIG, LAYER = b'{"Env": [{"Name": "role", "Value": "master"}], "unknown": 1}', b"a layer"
PLUGIN = plugin(CONFIG, LAYER)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class MovesNothing(DelegatingRegistry):
    """A registry that refuses every blob."""

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        raise AssertionError(f"something moves to {repository}")


class Ledger:
    def __init__(self) -> None:
        self.noted: dict[Digest, Derivation] = {}

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        self.noted[digest] = derivation

    async def derivation(self, digest: Digest) -> Derivation | None:
        return self.noted.get(digest)


async def read(registry: Registry, repository: Repository, blob: Descriptor) -> bytes:
    async with registry.open_blob(repository, blob.digest) as opened:
        return b"".join([chunk async for chunk in opened])


async def test_another_name_has_the_same_digest_and_content(registry: Registry) -> None:
    await hold(registry, THERE, [CONFIG, LAYER], [PLUGIN], "1.0")
    named = await tag(MovesNothing(registry), THERE, Tag("1.0"), HERE, Tag("stable"))
    assert named == Named(PLUGIN.digest, None)
    assert (await registry.get_manifest(HERE, Tag("stable"))).content == PLUGIN.content
    assert [await read(registry, HERE, blob) for blob in PLUGIN.blobs] == [CONFIG, LAYER]


async def test_a_tag_that_is_there_moves(registry: Registry) -> None:
    other = plugin(b"{}", LAYER)
    await hold(registry, HERE, [CONFIG, LAYER], [PLUGIN], "1.0")
    await hold(registry, HERE, [b"{}"], [other], "2.0")
    assert await tag(registry, HERE, other.digest, HERE, Tag("1.0")) == Named(other.digest, PLUGIN.digest)
    assert (await registry.resolve(HERE, Tag("1.0"))).digest == other.digest


async def test_an_index_brings_its_members(registry: Registry) -> None:
    whole = index(PLUGIN.descriptor)
    await hold(registry, THERE, [CONFIG, LAYER], [PLUGIN, whole], "1.0")
    await tag(MovesNothing(registry), THERE, Tag("1.0"), HERE, Tag("1.0"))
    assert (await registry.get_manifest(HERE, PLUGIN.digest)).content == PLUGIN.content


async def test_signatures_follow(registry: Registry) -> None:
    signature = plugin(b'{"signature": 1}', LAYER)
    await hold(registry, THERE, [CONFIG, LAYER], [PLUGIN], "1.0")
    follower = f"sha256-{PLUGIN.digest.hex}.sig"
    await hold(registry, THERE, [b'{"signature": 1}'], [signature], follower)
    await tag(registry, THERE, Tag("1.0"), HERE, Tag("1.0"))
    assert (await registry.resolve(HERE, Tag(follower))).digest == signature.digest


async def test_what_is_not_there_and_names_that_are_kept(registry: Registry) -> None:
    await hold(registry, THERE, [CONFIG, LAYER], [PLUGIN], "1.0")
    with pytest.raises(ManifestUnknown):
        await tag(registry, THERE, Tag("2.0"), HERE, Tag("1.0"))
    with pytest.raises(ConfigurationFault, match="reserved for referrers of that digest"):
        await tag(registry, THERE, Tag("1.0"), HERE, Tag(f"sha256-{PLUGIN.digest.hex}"))


async def test_a_copy_with_changes_is_made_beside_the_original(registry: Registry) -> None:
    await hold(registry, HERE, [CONFIG, LAYER], [PLUGIN])
    ledger, changes = Ledger(), DerivationChanges(env={"role": "worker"})
    maker = DerivedCopyMaker("rule contiv", ledger, SharedLayerReader(DEFAULT_LIMITS).of(registry), lambda: NOW)
    made = await derive_beside(
        CopyDestination(registry, HERE), PLUGIN.digest, [Tag("1.0")], changes, source="hub/x", maker=maker
    )
    copy = await registry.get_manifest(HERE, Tag("1.0"))
    assert copy.digest == made.digest != PLUGIN.digest
    assert copy.layers == PLUGIN.layers
    assert copy.config is not None
    config = PluginConfig.parse(await read(registry, HERE, copy.config))
    assert [env.value for env in config.env] == ["worker"]
    assert ledger.noted == {
        copy.digest: Derivation(
            "hub/x",
            PLUGIN.digest,
            "rule contiv",
            NOW,
            {"env": {"role": "worker"}},
            ('env role: "master" -> "worker"',),
        )
    }
    assert (await registry.get_manifest(HERE, PLUGIN.digest)).content == PLUGIN.content


async def test_a_copy_without_a_difference_is_the_original(registry: Registry) -> None:
    await hold(registry, HERE, [CONFIG, LAYER], [PLUGIN])
    ledger = Ledger()
    made = await derive_beside(
        CopyDestination(MovesNothing(registry), HERE),
        PLUGIN.digest,
        [Tag("1.0")],
        DerivationChanges(env={"role": "master"}),
        source="hub/x",
        maker=DerivedCopyMaker("user root", ledger, SharedLayerReader(DEFAULT_LIMITS).of(registry), lambda: NOW),
    )
    assert (made.digest, made.changed, ledger.noted) == (PLUGIN.digest, (), {})
    assert (await registry.resolve(HERE, Tag("1.0"))).digest == PLUGIN.digest
