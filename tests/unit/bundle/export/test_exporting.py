"""Export of bundles from registries in memory: the bytes, what is in them, and what is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleFault, BundleInvalid
from mirror.bundle.delta.delta_base import DeltaBase
from mirror.bundle.export import exporting
from mirror.bundle.export.exporting import export_bundle, plan_export
from mirror.bundle.format import bundle_head
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.statement import NameOrigin, Notes, Since
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, Denied, ManifestUnknown, StorageDamaged
from mirror.oci.platform_selection import PlatformSelection
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Registry
from mirror.transfer.graph.content_choice import ContentChoice
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.ranges import RangeRequest
from tests.support.builders import hold, manifest_of
from tests.support.bundles import CREATED, build, named, small_plugin
from tests.support.export_requests import HERE, export_request, source_of

LARGE = bytes(range(256)) * 4096 * 3  # three hops


async def store(registry: Registry, manifest: Manifest, blobs: list[bytes], *tags: str) -> Manifest:
    await hold(registry, HERE, blobs, [manifest], *tags)
    return manifest


async def stored_plugin(registry: Registry, tag: str, *layers: bytes) -> tuple[Manifest, list[bytes]]:
    manifest, blobs = small_plugin(*layers, Description=tag)
    await store(registry, manifest, blobs, tag)
    return manifest, blobs


async def names_of(file: Path) -> dict[str, Digest]:
    head = await read_head(await FileSource.open(file))
    return {str(each): each.descriptor.digest for each in head.names}


async def blobs_of(file: Path) -> set[Digest]:
    head = await read_head(await FileSource.open(file))
    return {placed.member.digest for placed in head.layout.blobs()}


@pytest.mark.parametrize("layers", [(), (LARGE, b"x"), (b"",)], ids=["small", "large", "empty layer"])
async def test_the_bytes_are_those_of_the_format(tmp_path: Path, layers: tuple[bytes, ...]) -> None:
    registry = MemoryRegistry()
    manifest, blobs = await stored_plugin(registry, "1.0", *layers)
    origin = NameOrigin("hub/contiv/v2plugin", CREATED)

    done = await export_bundle(export_request(tmp_path / "f.tar", source_of(registry, origin=origin)), SilentProgress())

    head = await read_head(await FileSource.open(done.output))
    notes = Notes({"contiv/v2plugin:1.0": origin})
    built = build({"contiv/v2plugin:1.0": manifest}, blobs, notes=notes, report=head.report)
    assert done.output.read_bytes() == built.content
    assert (done.statement, done.size_bytes) == (built.envelope.digest, len(built.content))
    assert [path.name for path in tmp_path.iterdir()] == ["f.tar"]


async def test_content_that_several_names_share_is_written_once(tmp_path: Path) -> None:
    first, second = MemoryRegistry(), MemoryRegistry()
    await stored_plugin(first, "1.0", LARGE)
    await stored_plugin(second, "2.0", LARGE)

    done = await export_bundle(
        export_request(tmp_path / "f.tar", source_of(first), source_of(second, "2.0")), SilentProgress()
    )

    assert len(done.names) == 2
    assert done.size_bytes < 2 * len(LARGE)


async def test_referrers_and_their_referrers_come_along(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    plugin, _ = await stored_plugin(registry, "1.0")
    signature = manifest_of({"config": plugin.config.to_json(), "layers": [], "subject": plugin.descriptor.to_json()})  # type: ignore[union-attr]
    attestation = manifest_of(
        {"config": plugin.config.to_json(), "layers": [], "subject": signature.descriptor.to_json()}  # type: ignore[union-attr]
    )
    beside = manifest_of({"config": plugin.config.to_json(), "layers": [], "annotations": {"by": "cosign"}})  # type: ignore[union-attr]
    for manifest in (signature, attestation):
        await store(registry, manifest, [])
    await store(registry, beside, [], f"sha256-{plugin.digest.hex}.sig")

    done = await export_bundle(export_request(tmp_path / "f.tar", source_of(registry)), SilentProgress())

    assert await names_of(done.output) == {
        "contiv/v2plugin:1.0": plugin.digest,
        f"contiv/v2plugin@{signature.digest}": signature.digest,
        f"contiv/v2plugin@{attestation.digest}": attestation.digest,
        f"contiv/v2plugin:sha256-{plugin.digest.hex}.sig": beside.digest,
    }


async def test_a_choice_of_platforms_leaves_members_out_and_says_so(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    members = [await stored_plugin(registry, name) for name in ("amd64", "arm64")]
    described = [
        {**manifest.descriptor.to_json(), "platform": {"os": "linux", "architecture": name}}
        for name, (manifest, _) in zip(("amd64", "arm64"), members, strict=True)
    ]
    index = manifest_of({"manifests": described}, "application/vnd.oci.image.index.v1+json")
    await store(registry, index, [], "1.0")
    choice = ContentChoice(PlatformSelection.parse(["linux/arm64"]))

    done = await export_bundle(export_request(tmp_path / "f.tar", source_of(registry), choice=choice), SilentProgress())

    amd64, arm64 = (manifest.digest for manifest, _ in members)
    assert {arm64, index.digest} <= await blobs_of(done.output)
    assert amd64 not in await blobs_of(done.output)
    head = await read_head(await FileSource.open(done.output))
    (absent,) = head.statement.notes.absent
    assert (absent["repository"], absent["manifest"], absent["digest"]) == (str(HERE), str(index.digest), str(amd64))
    assert absent["detail"] == "linux/amd64"


async def test_a_delta_leaves_out_what_the_receiver_has(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    kept, kept_blobs = await stored_plugin(registry, "1.0", LARGE)
    new, new_blobs = await stored_plugin(registry, "2.0", LARGE, b"new layer")
    held = frozenset({kept.digest, *(Digest.of(blob) for blob in kept_blobs)})
    base = DeltaBase(Since(serial=3), held, {str(named("contiv/v2plugin:1.0", kept)): kept.digest})
    wanted = export_request(tmp_path / "f.tar", source_of(registry), source_of(registry, "2.0"), base=base)

    done = await export_bundle(wanted, SilentProgress())

    assert await names_of(done.output) == {"contiv/v2plugin:2.0": new.digest}
    assert await blobs_of(done.output) == {new.digest, Digest.of(new_blobs[0]), Digest.of(b"new layer")}
    assert (await read_head(await FileSource.open(done.output))).statement.since == Since(serial=3)


async def test_a_delta_does_not_name_what_is_withheld(tmp_path: Path) -> None:
    class Withholding(MemoryRegistry):
        async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
            raise Denied("wants too much")

    allowed, withheld = MemoryRegistry(), Withholding()
    plugin, _ = await stored_plugin(allowed, "1.0")
    await stored_plugin(withheld, "2.0")
    wanted = source_of(allowed), source_of(withheld, "2.0", required=False)
    base = DeltaBase(Since(serial=3), frozenset(), {})

    done = await export_bundle(export_request(tmp_path / "f.tar", *wanted, base=base), SilentProgress())

    assert await names_of(done.output) == {"contiv/v2plugin:1.0": plugin.digest}
    assert done.left_out == ("contiv/v2plugin:2.0 is left out: wants too much",)


async def test_a_delta_of_nothing_is_a_small_bundle(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    plugin, blobs = await stored_plugin(registry, "1.0")
    held = frozenset({plugin.digest, *(Digest.of(blob) for blob in blobs)})
    base = DeltaBase(Since(serial=3), held, {"contiv/v2plugin:1.0": plugin.digest})

    done = await export_bundle(export_request(tmp_path / "f.tar", source_of(registry), base=base), SilentProgress())

    assert (done.names, done.blobs) == ((), 0)
    assert done.size_bytes <= 64 * 1024


async def test_a_missing_name_that_was_asked_for_stops_the_export(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    await stored_plugin(registry, "1.0")

    with pytest.raises(ManifestUnknown):
        await export_bundle(
            export_request(tmp_path / "f.tar", source_of(registry), source_of(registry, "9")), SilentProgress()
        )

    assert not list(tmp_path.iterdir())


async def test_a_missing_name_of_a_group_is_left_out_with_a_note(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    await stored_plugin(registry, "1.0")
    sources = source_of(registry), source_of(registry, "9", required=False)

    done = await export_bundle(export_request(tmp_path / "f.tar", *sources), SilentProgress())

    assert [note.partition(" ")[0] for note in done.left_out] == ["contiv/v2plugin:9"]


async def test_one_name_with_two_contents_is_refused(tmp_path: Path) -> None:
    first, second = MemoryRegistry(), MemoryRegistry()
    await stored_plugin(first, "1.0")
    await stored_plugin(second, "1.0", b"other layer")

    with pytest.raises(ConfigurationFault, match="two contents"):
        await export_bundle(export_request(tmp_path / "f.tar", source_of(first), source_of(second)), SilentProgress())


async def test_an_export_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleFault, match="nothing to export"):
        await export_bundle(
            export_request(tmp_path / "f.tar", source_of(MemoryRegistry(), required=False)), SilentProgress()
        )


async def test_damaged_content_is_never_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = MemoryRegistry()
    _, blobs = await stored_plugin(registry, "1.0", LARGE)
    held = registry._repositories[HERE].blobs
    monkeypatch.setitem(held, Digest.of(blobs[1]), LARGE[:-1] + b"?")

    with pytest.raises(StorageDamaged, match="another digest"):
        await export_bundle(export_request(tmp_path / "f.tar", source_of(registry)), SilentProgress())

    assert not (tmp_path / "f.tar").exists()


async def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    await stored_plugin(registry, "1.0", LARGE)
    wanted = export_request(tmp_path / "f.tar", source_of(registry))

    planned = await plan_export(wanted)

    assert not list(tmp_path.iterdir())
    assert planned == await export_bundle(wanted, SilentProgress())


async def test_a_bundle_that_no_reader_accepts_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = MemoryRegistry()
    await stored_plugin(registry, "1.0")
    monkeypatch.setattr(bundle_head, "_MOST_DOCUMENTS_BYTES", 1000)

    with pytest.raises(BundleInvalid, match="the documents are larger"):
        await export_bundle(export_request(tmp_path / "f.tar", source_of(registry)), SilentProgress())

    assert not list(tmp_path.iterdir())


class AtOnce(DelegatingRegistry):
    """A registry that counts how many of its blobs are open at the same time."""

    def __init__(self, inner: MemoryRegistry) -> None:
        super().__init__(inner)
        self.opened = self.most = 0

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        async with super().open_blob(repository, digest, part, size_bytes) as blob:
            self.opened += 1
            self.most = max(self.most, self.opened)
            yield blob
            self.opened -= 1


@pytest.mark.parametrize("removable", [True, False])
async def test_on_removable_media_blobs_are_written_in_turn_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removable: bool
) -> None:
    monkeypatch.setattr(exporting, "is_removable", lambda _: removable)
    registry = AtOnce(MemoryRegistry())
    await stored_plugin(registry, "1.0", LARGE, LARGE + b"2", LARGE + b"3")

    done = await export_bundle(export_request(tmp_path / "f.tar", source_of(registry)), SilentProgress())
    asked = export_request(tmp_path / "f.tar", source_of(registry), verify_written=not removable)

    assert done.is_verified is removable
    assert registry.most == 1 or not removable
    assert (await export_bundle(asked, SilentProgress())).is_verified is not removable
