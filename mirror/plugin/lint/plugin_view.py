"""The view of a plugin: everything that its config and root filesystem tell, in one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import Privilege
from mirror.plugin.config.risks import privileges_with_risks
from mirror.plugin.config.settable import Setting, list_settings
from mirror.plugin.lint.config_checks import check_config
from mirror.plugin.lint.engine_support import EngineVerdict, engine_verdicts
from mirror.plugin.lint.findings import Finding, Severity
from mirror.plugin.lint.rootfs_checks import IntendedPlatform, check_rootfs
from mirror.plugin.policy.engine_vulnerabilities import never_compared
from mirror.plugin.rootfs.platform import Platform, platform_from_tag
from mirror.plugin.rootfs.root_filesystem import Rootfs, platform_of

#: Findings of one code that are told: a config may have ten thousand mounts.
_MOST_ALIKE: Final = 10
_ORDER: Final = list(Severity)


@dataclass(frozen=True, slots=True)
class PluginContent:
    """The content that was read of a plugin, wherever it lies.

    Attributes:
        config: its configuration; None where no engine could read it.
        rootfs: its root filesystem; None where it was not, or could not be, read.
        findings: what is wrong with how it is packed.
    """

    config: PluginConfig | None
    rootfs: Rootfs | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginView:
    """A plugin.

    Attributes:
        config: its configuration; None where no engine could read it.
        platform: what it runs on, where that is known.
        platform_by: what says so, such as ``its programs``.
        privileges: what an engine asks for before it installs it, each with what it means for the host.
        settings: what a host may set.
        findings: what is wrong with it, the worst first.
        engines: which engines it works on, as far as is known.
    """

    config: PluginConfig | None
    platform: Platform | None
    platform_by: str
    privileges: tuple[tuple[Privilege, str], ...]
    settings: tuple[Setting, ...]
    findings: tuple[Finding, ...]
    engines: tuple[EngineVerdict, ...]

    @property
    def never_compared(self) -> Privilege | None:
        """The privilege that engines with CVE-2026-33997 install whether it was granted or not; None: there is none."""
        return never_compared([privilege for privilege, _ in self.privileges])

    @property
    def has_errors(self) -> bool:
        """True where any finding is an error."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def view_plugin(content: PluginContent, tag: str | None = None, hosts: Platform | None = None) -> PluginView:
    """Look at a plugin from all sides.

    Args:
        content: what was read.
        tag: the tag that it goes by.
        hosts: the platform of the hosts that it is meant for; without it, what the tag says.
    """
    said = None if tag is None else platform_from_tag(tag)
    meant = None if said is None else IntendedPlatform(said.platform, f"the tag, with {said.used!r}, says")
    if hosts is not None:
        meant = IntendedPlatform(hosts, "the hosts are")
    found = tuple(_alike(sorted(_findings(content, meant), key=lambda one: _ORDER.index(one.severity))))
    runs_on, by = _platform(content, None if said is None else said.platform)
    config = content.config
    return PluginView(
        config=config,
        platform=runs_on,
        platform_by=by,
        privileges=() if config is None else tuple(privileges_with_risks(config)),
        settings=() if config is None else list_settings(config),
        findings=found,
        engines=engine_verdicts(found),
    )


def _findings(content: PluginContent, meant: IntendedPlatform | None) -> Iterator[Finding]:
    yield from content.findings
    if content.config is not None:
        yield from check_config(content.config)
        if content.rootfs is not None:
            yield from check_rootfs(content.config, content.rootfs, meant)


def _alike(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield each finding once, and of one kind not more than :data:`_MOST_ALIKE`."""
    count: Counter[str] = Counter()
    for finding in dict.fromkeys(findings):
        count[finding.code] += 1
        if count[finding.code] <= _MOST_ALIKE:
            yield finding


def _platform(content: PluginContent, tagged: Platform | None) -> tuple[Platform | None, str]:
    read = None
    if content.config is not None and content.rootfs is not None:
        read = platform_of(content.config, content.rootfs)
    if read is None:
        return tagged, "" if tagged is None else "its tag"
    if tagged is not None and not read.variant and read.covers(tagged):
        return replace(read, variant=tagged.variant), "its programs and its tag" if tagged.variant else "its programs"
    return read, "its programs"
