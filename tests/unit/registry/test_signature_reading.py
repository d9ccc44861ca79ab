"""Tests of the reading of signatures from a registry."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Tag
from mirror.oci.errors import UpstreamUnreachable
from mirror.registry import signature_reading
from mirror.registry.memory import MemoryRegistry
from mirror.registry.signature_reading import checked_signatures, read_signatures
from mirror.signing.signature_formats import COSIGN_ARTIFACT, MOST_DOCUMENT_BYTES, SIMPLE_SIGNING, StoredSignature
from mirror.wire.referrers_fallback import fallback_tag
from tests.support.builders import ABSENT
from tests.support.plugins import NAME, put_plugin
from tests.support.signing import BUNDLE, KEY, SIGNED_AT, attach, bundle, layer, payload, simple_layer, statement


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
async def plugin(registry: MemoryRegistry) -> Manifest:
    return await put_plugin(registry)


async def found(registry: Any, plugin: Manifest) -> list[tuple[str, str | None]]:
    """Return what was found: the format, and the reason why it cannot be read."""
    return [
        (each.what.rpartition(" ")[0], each.stored if isinstance(each.stored, str) else None)
        for each in await read_signatures(registry, NAME, plugin.digest)
    ]


async def test_nothing(registry: MemoryRegistry, plugin: Manifest) -> None:
    assert await found(registry, plugin) == []


async def test_each_format(registry: MemoryRegistry, plugin: Manifest) -> None:
    content, new = payload(plugin.digest), bundle(statement(plugin.digest))
    under_tag = await attach(registry, plugin, {content: simple_layer(content)}, None, NAME)
    await attach(registry, plugin, {content: simple_layer(content)}, COSIGN_ARTIFACT, NAME)
    await attach(registry, plugin, {new: layer(new, BUNDLE)}, BUNDLE, NAME)
    first, *others = await read_signatures(registry, NAME, plugin.digest)
    assert first.what == f"cosign signature {str(under_tag.digest)[:19]}"
    assert sorted(other.what[:16] for other in others) == ["Sigstore bundle ", "cosign signature"]
    for each in (first, *others):
        assert isinstance(each.stored, StoredSignature)
        assert each.stored.read(each.stored.payload).digests == {plugin.digest}


async def test_several_signatures_under_one_tag(registry: MemoryRegistry, plugin: Manifest) -> None:
    contents = [payload(plugin.digest, name) for name in ("a", "b")]
    await attach(registry, plugin, {content: simple_layer(content) for content in contents}, None, NAME)
    assert await found(registry, plugin) == [("cosign signature", None)] * 2


async def test_other_referrers_are_no_signatures(registry: MemoryRegistry, plugin: Manifest) -> None:
    await attach(registry, plugin, {b"sbom": layer(b"sbom", "application/spdx+json")}, "application/spdx+json", NAME)
    assert await found(registry, plugin) == []


async def test_signatures_of_notation_are_not_verified(registry: MemoryRegistry, plugin: Manifest) -> None:
    kind = "application/vnd.cncf.notary.signature"
    await attach(registry, plugin, {b"jws": layer(b"jws", "application/jose+json")}, kind, NAME)
    assert await found(registry, plugin) == [("notation signature", "signatures of notation are not verified")]


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ({}, "its manifest has no signature of a known format"),
        ({b"x": layer(b"x", "text/plain")}, "its manifest has no signature of a known format"),
        ({b"x": layer(b"x", SIMPLE_SIGNING)}, "it has no signature, or one that is too long"),
        ({b"x": layer(b"x", BUNDLE)}, "the bundle is not JSON: look at line 1, column 1"),
        (
            {bytes(MOST_DOCUMENT_BYTES + 1): layer(bytes(MOST_DOCUMENT_BYTES + 1), SIMPLE_SIGNING)},
            f"it is larger than {MOST_DOCUMENT_BYTES} bytes",
        ),
        (
            {bytes(MOST_DOCUMENT_BYTES + 1): Descriptor(BUNDLE, Digest.of(bytes(MOST_DOCUMENT_BYTES + 1)), 1)},
            f"it is larger than {MOST_DOCUMENT_BYTES} bytes",
        ),
    ],
)
async def test_what_is_none(
    registry: MemoryRegistry, plugin: Manifest, layers: dict[bytes, Descriptor], why: str
) -> None:
    await attach(registry, plugin, layers, COSIGN_ARTIFACT, NAME)
    assert await found(registry, plugin) == [("cosign signature", why)]


async def test_a_manifest_that_is_too_large(registry: MemoryRegistry, plugin: Manifest) -> None:
    content = payload(plugin.digest)
    many = Descriptor(SIMPLE_SIGNING, Digest.of(content), len(content), annotations={"a": "b" * 300_000})
    await attach(registry, plugin, {content: many}, None, NAME)
    assert await found(registry, plugin) == [("cosign signature", "its manifest is larger than 262144 bytes")]


async def test_content_that_is_missing(registry: MemoryRegistry, plugin: Manifest) -> None:
    class Lacking(MemoryRegistry):
        async def get_manifest(self, repository: Any, target: Any) -> Manifest:
            if target == plugin.digest or isinstance(target, Tag):
                return await super().get_manifest(repository, target)
            return await super().get_manifest(repository, ABSENT)

    lacking = Lacking()
    await put_plugin(lacking)
    await attach(lacking, plugin, {}, COSIGN_ARTIFACT, NAME)
    ((_, why),) = await found(lacking, plugin)
    assert why is not None
    assert str(ABSENT) in why


async def test_an_upstream_that_fails_is_told_and_passes(registry: MemoryRegistry, plugin: Manifest) -> None:
    class Failing(MemoryRegistry):
        async def resolve(self, repository: Any, target: Any) -> Descriptor:
            raise UpstreamUnreachable("hub does not answer")

    failing = Failing()
    await put_plugin(failing)
    content = payload(plugin.digest)
    await attach(failing, plugin, {content: simple_layer(content)}, COSIGN_ARTIFACT, NAME)
    tagged, referrer = await checked_signatures(failing, NAME, plugin.digest, [KEY.public], SIGNED_AT)
    assert tagged.problem == "cannot be read: an upstream could not be asked for it"
    assert tagged.is_temporary
    assert referrer.problem is None


async def test_bounds(registry: MemoryRegistry, plugin: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [payload(plugin.digest, name) for name in "abcd"]
    for content in contents:
        await attach(registry, plugin, {content: simple_layer(content)}, COSIGN_ARTIFACT, NAME)
    monkeypatch.setattr(signature_reading, "MOST_MANIFESTS", 3)
    assert (await found(registry, plugin))[3:] == [("a further", "more than 3 manifests with signatures")]
    monkeypatch.setattr(signature_reading, "MOST_SIGNATURES", 2)
    assert (await found(registry, plugin))[2:] == [("a further", "more than 2 signatures")]


async def test_a_signature_of_other_content_is_not_looked_at(registry: MemoryRegistry, plugin: Manifest) -> None:
    other = await put_plugin(registry, {"Description": "other"}, tag=Tag("other"))
    content = payload(plugin.digest)
    await attach(registry, other, {content: simple_layer(content)}, COSIGN_ARTIFACT, NAME)
    assert await found(registry, plugin) == []
    assert fallback_tag(plugin.digest) != fallback_tag(other.digest)
