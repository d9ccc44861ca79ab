from __future__ import annotations

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import (
    ConfigurationFault,
    ManifestUnknown,
    RepositoryUnknown,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Page
from mirror.sync.job import run_rule
from mirror.sync.rule import MirrorRule
from mirror.transfer.progress import Outcome
from mirror.transfer.select import TagSelection
from mirror.wire.pagination import PageRequest
from tests.unit.transfer.content import hold, plugin

THERE, HERE = Repository("store/contiv/v2plugin"), Repository("contiv/v2plugin")
CONFIG, OLD, NEW = b"{}\n", b"old layer", b"new layer, longer"
BETA3, BETA4 = plugin(CONFIG, OLD), plugin(CONFIG, NEW)
RULE = MirrorRule.parse("contiv", f"hub/{THERE}", HERE.name)


class Upstream(DelegatingRegistry):
    """Notes what it is asked, and refuses what it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.asked: list[str] = []
        self.broken: dict[Digest, Exception] = {}
        self.page_limit: int | None = None

    async def resolve(self, repository: Repository, target: Tag | Digest) -> object:  # type: ignore[override]
        self.asked.append(f"resolve {target}")
        return await super().resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        self.asked.append("get")
        manifest = await super().get_manifest(repository, target)
        if manifest.digest in self.broken:
            raise self.broken[manifest.digest]
        return manifest

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        self.asked.append("list")
        return await super().list_tags(repository, PageRequest(self.page_limit, page.last))

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        self.asked.append("catalog")
        return await super().list_repositories(PageRequest(self.page_limit, page.last))


class Told:
    """Progress as a list of lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, label: str) -> None:
        self.lines.append(label)

    def expect(self, total_bytes: int) -> None:
        self.lines[-1] += f" {total_bytes} bytes"

    def advance(self, size_bytes: int) -> None:
        pass

    def done(self, outcome: Outcome, reason: str = "") -> None:
        self.lines[-1] += f" {outcome}" + (f": {reason}" if reason else "")


@pytest.fixture
async def upstream() -> Upstream:
    made = Upstream()
    await hold(made, THERE, [CONFIG, OLD], [BETA3], "1.0.0-beta.3", "latest")
    await hold(made, THERE, [NEW], [BETA4], "1.0.0-beta.4")
    made.asked.clear()
    return made


@pytest.fixture
def here() -> MemoryRegistry:
    return MemoryRegistry()


async def test_what_is_selected_is_copied_newest_first(upstream: Upstream, here: MemoryRegistry) -> None:
    told = Told()
    result = await run_rule(RULE, upstream, here, told)
    assert [(str(each.tag), each.outcome) for each in result.tags] == [
        ("1.0.0-beta.4", Outcome.COPIED),
        ("1.0.0-beta.3", Outcome.COPIED),
        ("latest", Outcome.COPIED),
    ]
    assert told.lines == [
        "contiv/v2plugin:1.0.0-beta.4 20 bytes copied",
        "contiv/v2plugin:1.0.0-beta.3 9 bytes copied",
        "contiv/v2plugin:latest 0 bytes copied",
    ]
    assert (result.succeeded, result.moved_bytes) == (True, len(CONFIG + OLD + NEW))
    assert (await here.get_manifest(HERE, Tag("1.0.0-beta.3"))).content == BETA3.content


async def test_a_second_run_copies_nothing_and_reads_no_manifest(upstream: Upstream, here: MemoryRegistry) -> None:
    await run_rule(RULE, upstream, here, Told())
    upstream.asked.clear()
    told = Told()
    result = await run_rule(RULE, upstream, here, told)
    assert (len(result.copied), len(result.unchanged), result.moved_bytes) == (0, 3, 0)
    assert upstream.asked == ["list", "resolve 1.0.0-beta.4", "resolve 1.0.0-beta.3", "resolve latest"]
    assert told.lines[-1] == "contiv/v2plugin:latest unchanged"


async def test_a_moved_tag_is_copied_again(upstream: Upstream, here: MemoryRegistry) -> None:
    await run_rule(RULE, upstream, here, Told())
    await upstream.put_manifest(THERE, BETA4, [Tag("latest")])
    result = await run_rule(RULE, upstream, here, Told())
    assert [str(each.tag) for each in result.copied] == ["latest"]
    assert (await here.resolve(HERE, Tag("latest"))).digest == BETA4.digest


async def test_only_the_tags_that_the_rule_selects(upstream: Upstream, here: MemoryRegistry) -> None:
    rule = MirrorRule.parse("contiv", f"hub/{THERE}", HERE.name, TagSelection(include=("1.0.0-beta.*",), newest=1))
    result = await run_rule(rule, upstream, here, Told())
    assert [str(each.tag) for each in result.tags] == ["1.0.0-beta.4"]
    with pytest.raises(ManifestUnknown):
        await here.resolve(HERE, Tag("latest"))


async def test_a_tag_that_fails_does_not_stop_the_others(upstream: Upstream, here: MemoryRegistry) -> None:
    upstream.broken[BETA4.digest] = UpstreamRefused("not for you")
    told = Told()
    result = await run_rule(RULE, upstream, here, told)
    assert [each.outcome for each in result.tags] == [Outcome.FAILED, Outcome.COPIED, Outcome.COPIED]
    assert not result.succeeded
    assert isinstance(result.failed[0].error, UpstreamRefused)
    assert told.lines[0] == "contiv/v2plugin:1.0.0-beta.4 failed: not for you"
    upstream.broken.clear()
    result = await run_rule(RULE, upstream, here, Told())
    assert (len(result.copied), len(result.unchanged)) == (1, 2)


async def test_a_repository_that_is_not_there(upstream: Upstream, here: MemoryRegistry) -> None:
    rule = MirrorRule.parse("typo", "hub/store/contiv/plugin", "x")
    told = Told()
    result = await run_rule(rule, upstream, here, told)
    assert isinstance(result.failed[0].error, RepositoryUnknown)
    assert result.failed[0].tag is None
    assert told.lines == ["x failed: no repository store/contiv/plugin is here"]


async def test_a_plain_name_needs_no_catalog_and_a_pattern_does(upstream: Upstream, here: MemoryRegistry) -> None:
    await hold(upstream, Repository("store/acme/x"), [CONFIG, OLD], [BETA3], "1")
    await hold(upstream, Repository("other/y"), [CONFIG, OLD], [BETA3], "1")
    upstream.asked.clear()
    await run_rule(RULE, upstream, here, Told())
    assert "catalog" not in upstream.asked
    result = await run_rule(MirrorRule.parse("all", "hub/store/*/*", "*/*"), upstream, here, Told())
    assert upstream.asked.count("catalog") == 1
    assert {each.repository.name for each in result.tags} == {"acme/x", "contiv/v2plugin"}


async def test_lists_are_read_to_their_end(upstream: Upstream, here: MemoryRegistry) -> None:
    await hold(upstream, Repository("store/acme/x"), [CONFIG, OLD], [BETA3], "1", "2", "3")
    upstream.page_limit = 1
    result = await run_rule(MirrorRule.parse("all", "hub/store/**", "**"), upstream, here, Told())
    assert len(result.copied) == 6


async def test_a_pattern_that_matches_nothing_is_told(upstream: Upstream, here: MemoryRegistry) -> None:
    result = await run_rule(MirrorRule.parse("none", "hub/nowhere/*", "*"), upstream, here, Told())
    assert isinstance(result.error, ConfigurationFault)
    assert "none of the 1 repositories that hub lists matches nowhere/*" in str(result.error)


async def test_a_catalog_that_is_not_given(here: MemoryRegistry) -> None:
    class Closed(Upstream):
        async def list_repositories(self, page: PageRequest) -> Page[Repository]:
            raise UpstreamUnreachable("gone")

    result = await run_rule(MirrorRule.parse("all", "hub/**", "**"), Closed(), here, Told())
    assert isinstance(result.error, UpstreamUnreachable)
    assert not result.succeeded
