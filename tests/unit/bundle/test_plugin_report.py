"""The report of a bundle: its facts, and reports that say something else than the content."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.report import plugin_report as module
from mirror.bundle.report.content_facts import ContentFacts
from mirror.bundle.report.plugin_report import plugin_report, read_report, report_differences, write_report
from mirror.oci import Digest, Manifest, Tag
from mirror.oci.errors import MirrorError
from mirror.registry.memory import MemoryRegistry
from tests.support.builders import ABSENT, index, push_image
from tests.support.plugins import NAME, TAG, put_plugin

HOST = {"Network": {"Type": "host"}, "Env": [{"Name": "PASSWORD", "Value": "s3cret", "Settable": ["value"]}]}


def named(manifest: Manifest, tag: Tag = TAG) -> NamedManifest:
    return NamedManifest(NAME, tag, manifest.descriptor)


async def test_a_plugin_is_reported_with_privileges_and_settings_and_without_secrets():
    registry = MemoryRegistry()
    manifest = await put_plugin(registry, HOST)
    report = await plugin_report(registry, [named(manifest), named(manifest, Tag("again"))])
    facts = read_report(report)[manifest.digest]
    assert (facts.kind, facts.privileges) == ("plugin", (("network", "host"),))
    assert facts.size_bytes == manifest.size_bytes + manifest.content_size_bytes
    assert [key for key, _ in facts.settings] == ["PASSWORD"]
    assert b"s3cret" not in report


async def test_the_same_content_gives_the_same_bytes():
    reports = []
    for names in ([1, 2], [2, 1]):
        registry = MemoryRegistry()
        held = {1: await put_plugin(registry), 2: await put_plugin(registry, HOST, tag=Tag("2"))}
        reports.append(await plugin_report(registry, [named(held[each]) for each in names]))
    assert reports[0] == reports[1]


async def test_a_plugin_without_a_readable_config_has_no_known_privileges():
    registry = MemoryRegistry()
    manifest = await put_plugin(registry, {"Network": "host"})
    facts = read_report(await plugin_report(registry, [named(manifest)]))[manifest.digest]
    assert facts.privileges is None
    assert ("config-unreadable", "error") in facts.findings


async def test_the_members_of_an_index_are_reported_as_far_as_they_are_there():
    registry = MemoryRegistry()
    member = await push_image(registry, "member", repository=NAME)
    whole = index(
        replace(member.descriptor, platform={"os": "linux", "architecture": "arm64"}),
        replace(member.descriptor, digest=ABSENT, platform={"os": "linux", "architecture": "s390x"}),
    )
    registry_of_part = PartOf(registry, whole)
    facts = read_report(await plugin_report(registry_of_part, [named(whole)]))
    assert facts.keys() == {whole.digest, member.digest}
    assert (facts[whole.digest].kind, facts[member.digest].kind) == ("index", "artifact")
    assert facts[whole.digest].platforms == ("linux/arm64", "linux/s390x")
    assert facts[whole.digest].members == (member.digest,)


async def test_content_that_is_elsewhere_is_not_reported():
    registry = MemoryRegistry()
    absent = await put_plugin(MemoryRegistry())
    assert read_report(await plugin_report(registry, [named(absent)])) == {}


async def test_a_report_that_says_something_else_than_the_content_is_noticed():
    registry = MemoryRegistry()
    manifest, other = await put_plugin(registry, HOST), await put_plugin(registry, tag=Tag("2"))
    found = read_report(await plugin_report(registry, [named(manifest), named(other)]))
    assert report_differences(found, found) == ()
    harmless = {**found, manifest.digest: replace(found[manifest.digest], asked=())}
    (line,) = report_differences(harmless, found)
    assert str(manifest.digest) in line


async def test_findings_of_another_version_and_content_of_one_side_are_no_difference():
    registry = MemoryRegistry()
    manifest = await put_plugin(registry, HOST)
    found = read_report(await plugin_report(registry, [named(manifest)]))
    facts = found[manifest.digest]
    for other in (
        replace(facts, findings=(("new-code", "hint"),)),
        replace(facts, privileges=(("network, with a new word", "host"),)),
        replace(facts, privileges=None, asked=()),
    ):
        assert report_differences({manifest.digest: other}, found) == ()
        assert report_differences(found, {manifest.digest: other}) == ()
    assert report_differences({}, found) == report_differences(found, {}) == ()


@pytest.mark.parametrize(("limit", "most"), [("MOST_REPORT_BYTES", 1000), ("MOST_VALUES", 150)])
def test_a_report_has_as_much_as_readers_accept(monkeypatch: pytest.MonkeyPatch, limit: str, most: int):
    monkeypatch.setattr(module, limit, most)
    facts = {Digest.of(b"%d" % number): ContentFacts("plugin", number) for number in range(100)}
    report = write_report(facts)
    assert 500 < len(report) <= 1000
    assert read_report(report).keys() == set(sorted(facts)[: len(read_report(report))])


texts = st.text(max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ContentFacts("plugin", 1).to_json()]), json_values))
def test_a_changed_report_raises_only_errors_of_the_tree(changes: dict[str, object]):
    facts = ContentFacts(
        "plugin", 1, ("linux/arm64",), (ABSENT,), (("network", "host"),), (("A", None),), (("a", "b"),)
    )
    value = {"format": 1, "manifests": {str(ABSENT): {**facts.to_json(), **changes}}}
    try:
        read_report(json.dumps(value).encode())
    except MirrorError as error:
        assert isinstance(error, BundleInvalid)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b"{", b'{"format":1,"manifests":{"x":{}}}', b'{"format":1,"manifests":[]}']
)
def test_other_bytes_are_no_report(content: bytes):
    with pytest.raises(BundleInvalid):
        read_report(content)


def test_a_bundle_without_a_report_has_no_facts():
    assert read_report(b"") == {}


class PartOf:
    """A registry with one more manifest, whose members it may lack."""

    def __init__(self, registry: MemoryRegistry, manifest: Manifest) -> None:
        self._registry = registry
        self._manifest = manifest
        self.open_blob = registry.open_blob

    async def get_manifest(self, repository: object, target: object) -> Manifest:
        if target == self._manifest.digest:
            return self._manifest
        return await self._registry.get_manifest(repository, target)  # type: ignore[arg-type]
