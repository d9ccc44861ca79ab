import json
from datetime import UTC, datetime, timedelta

import pytest

from mirror.authoring.inspect import inspect, provenance
from mirror.authoring.signatures import HeldSignature, SignatureSummary
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ManifestUnknown, UpstreamRefused
from mirror.oci.media_types import OCI_MANIFEST
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.plugin.findings import manifest_findings as table
from mirror.plugin.findings.finding import Severity
from mirror.records.sync_runs import MirroredTag, RunStep
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Page
from mirror.registry.streams import single_chunk
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold, plugin
from tests.support.plugins import put_plugin

CREATED = "org.opencontainers.image.created"
NAME, TAG = Repository("acme/driver"), Tag("1.0")


async def stored(config, config_type=media_types.DOCKER_PLUGIN_CONFIG, said_bytes=None):
    registry = MemoryRegistry()
    upload = await registry.begin_upload(NAME)
    await upload.append(single_chunk(config))
    held = await upload.commit(Digest.of(config))
    described = Descriptor(config_type, held.digest, said_bytes or held.size_bytes)
    body = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST, "config": described.to_json(), "layers": []}
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    await registry.put_manifest(NAME, manifest, [TAG])
    return registry, manifest


CONFIG = {
    "network": {"type": "host"},
    "linux": {"devices": [{"name": "state", "path": "", "settable": ["path"]}]},
    "env": [{"name": "DEBUG", "value": "0", "settable": ["value"]}],
}


async def test_a_plugin_is_read():
    registry, manifest = await stored(json.dumps(CONFIG).encode())
    found = await inspect(registry, NAME, TAG)
    assert (found.kind, found.manifest) == ("plugin", manifest)
    assert [(str(privilege), risk[:5]) for privilege, risk in found.plugin.privileges] == [
        ("network: [host]", "It is"),
        ("device: []", "It re"),
    ]
    assert [setting.key for setting in found.plugin.settings] == ["DEBUG", "state"]


@pytest.mark.parametrize(
    ("config_type", "kind"),
    [
        (media_types.DOCKER_IMAGE_CONFIG, "image"),
        (media_types.OCI_IMAGE_CONFIG, "image"),
        ("application/vnd.acme.thing", "artifact"),
    ],
)
async def test_other_kinds(config_type, kind):
    registry, _ = await stored(b"{}", config_type)
    found = await inspect(registry, NAME, TAG)
    assert (found.kind, found.plugin) == (kind, None)


@pytest.mark.parametrize("content", [b'{"Env": "A=b"}', b" " * (MAX_CONFIG_BYTES + 1)])
async def test_a_config_that_cannot_be_read(content):
    registry, _ = await stored(content)
    found = await inspect(registry, NAME, TAG)
    assert (found.kind, found.plugin.config, found.plugin.privileges) == ("plugin", None, ())
    assert [finding.code for finding in found.findings] == ["layers-missing", "config-unreadable"]


async def test_what_nobody_has_looked_at_shows_what_it_can():
    registry, _ = await stored(b"{}", said_bytes=7)
    codes = [finding.code for finding in (await inspect(registry, NAME, TAG)).findings]
    assert codes == ["layers-missing", "size-wrong", "entrypoint-empty", "socket-empty", "types-missing"]


@pytest.mark.parametrize("known", [(), (table.DIFF_IDS_COMPRESSED(),)])
async def test_what_was_found_before_is_shown(known):
    asked = []

    async def recorded(digest):
        asked.append(digest)
        return known

    registry, manifest = await stored(b"{}")
    found = (await inspect(registry, NAME, TAG, recorded)).findings
    assert [finding for finding in found if finding.severity is not Severity.ERROR] == list(known)
    assert "layers-missing" not in [finding.code for finding in found]
    assert asked == [manifest.digest]


async def test_what_is_not_there():
    registry, _ = await stored(b"{}")
    with pytest.raises(ManifestUnknown):
        await inspect(registry, NAME, Tag("absent"))


async def test_what_refers_to_it_is_told():
    registry = MemoryRegistry()
    plugin = await put_plugin(registry)
    signed = await put_plugin(registry, {"Description": "x"}, tag=Tag(f"sha256-{plugin.digest.hex}.sig"))
    subject = {"subject": plugin.descriptor.to_json(), "artifactType": "application/spdx+json"}
    about = await put_plugin(registry, {"Description": "y"}, tag=Tag("sbom"), **subject)
    found = await inspect(registry, NAME, TAG)
    assert [(one.what, one.digest, one.tag and one.tag.name) for one in found.signatures] == [
        ("cosign signature", signed.digest, f"sha256-{plugin.digest.hex}.sig"),
        ("application/spdx+json", about.digest, None),
    ]


async def test_all_pages_of_what_refers_to_it_are_read(monkeypatch):
    registry = MemoryRegistry()
    plugin = await put_plugin(registry)
    listed = [
        Descriptor(OCI_MANIFEST, Digest.of(b"%d" % number), 1, "application/sbom", {CREATED: created})
        for number, created in enumerate(["2026-03-01T12:00:00Z", "2026-03-01 14:00:00.123456789+01:00", "yesterday"])
    ]
    asked = []

    async def one_by_one(repository, digest, artifact_type, page):
        asked.append(page.last)
        position = len(asked) - 1
        return Page((listed[position],), more=position < 2)

    monkeypatch.setattr(registry, "list_referrers", one_by_one)
    found = (await inspect(registry, NAME, TAG)).signatures
    assert found is not None
    assert [one.digest for one in found] == [one.digest for one in listed]
    assert [one.created and one.created.hour for one in found] == [12, 13, None]
    assert asked == [None, str(listed[0].digest), str(listed[1].digest)]
    assert plugin.digest not in {one.digest for one in found}


def test_many_that_refer_to_it_are_summarised():
    begun = datetime(2026, 3, 1, tzinfo=UTC)
    many = [
        HeldSignature(
            "signature" if number % 3 else "sbom",
            Digest.of(b"%d" % number),
            created=None if number % 2 else begun + timedelta(seconds=number),
        )
        for number in range(5000)
    ]
    summary = SignatureSummary.of(many, 3)
    assert (summary.total, summary.kinds) == (5000, (("signature", 3333), ("sbom", 1667)))
    assert summary.newest == (many[4998], many[4996], many[4994])
    assert SignatureSummary.of([], 3) == SignatureSummary(0, (), ())


async def test_a_registry_that_does_not_say_what_refers_to_it(monkeypatch):
    async def refuse(*_):
        raise UpstreamRefused("no")

    registry = MemoryRegistry()
    await put_plugin(registry)
    monkeypatch.setattr(registry, "list_referrers", refuse)
    assert (await inspect(registry, NAME, TAG)).signatures is None


async def test_layers_are_read_where_somebody_waits_for_it():
    registry = MemoryRegistry()
    await put_plugin(registry)
    found = await inspect(registry, NAME, TAG, progress=SilentProgress())
    assert (str(found.plugin.platform), found.plugin.platform_by) == ("linux/amd64", "its programs")
    assert (await inspect(registry, NAME, TAG)).plugin.platform is None


async def test_a_plugin_has_its_upstream_until_a_client_pushes_it(tmp_path):
    manifest = plugin(b"{}", b"layer")
    async with Store.open(tmp_path / "data") as store:
        runs, now = store.records.sync_runs, datetime(2026, 5, 6, tzinfo=UTC)
        with working_for("rule"):
            await hold(store, NAME, [b"{}", b"layer"], [manifest], TAG.name)
        row = MirroredTag(NAME, TAG, "rule", "hub", NAME, manifest.digest, manifest.digest, now)
        await runs.record(await runs.begin_run("rule"), [RunStep(mirrored=row)])
        found = await inspect(store, NAME, TAG)
        assert (await provenance(store.records.origins, runs, found)).upstream == "hub"
        await store.put_manifest(NAME, manifest, [TAG])
        assert await provenance(store.records.origins, runs, found) is None
