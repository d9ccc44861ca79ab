"""View of a plugin: all information from its config and root filesystem in one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import Privilege
from mirror.plugin.config.risks import privileges_with_risks
from mirror.plugin.config.settable import Setting, list_settings
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.lint.config_checks import check_config
from mirror.plugin.lint.engine_support import EngineVerdict, engine_verdicts
from mirror.plugin.lint.name_checks import check_own_name
from mirror.plugin.lint.rootfs_checks import check_rootfs
from mirror.plugin.lint.start_checks import IntendedPlatform
from mirror.plugin.policy.engine_vulnerabilities import never_compared
from mirror.plugin.rootfs.platform import Platform, platform_from_tag
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.startup.plugin_platform import platform_of

#: Most findings of one code that are shown: a config may have ten thousand mounts.
_MOST_ALIKE: Final = 10
_ORDER: Final = list(Severity)


@dataclass(frozen=True, slots=True)
class PluginContent:
    """Content of a plugin that was read from a registry, folder or file.

    Attributes:
        config: configuration; None if no engine could read the config.
        rootfs: root filesystem; None if not read, or not readable.
        findings: findings about the packing.
    """

    config: PluginConfig | None
    rootfs: Rootfs | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginView:
    """All information about a plugin.

    Attributes:
        config: configuration; None if no engine could read the config.
        platform: platform of the plugin; None if unknown.
        platform_by: source of the platform, such as ``its programs``.
        privileges: privileges that an engine asks for before an install, each with its risk for the host.
        settings: settings that a host may set.
        findings: findings, the most severe first.
        engines: support by engine releases, as far as known.
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
        """The privilege that engines with CVE-2026-33997 never compare with those granted; None if there is none."""
        return never_compared([privilege for privilege, _ in self.privileges])

    @property
    def has_errors(self) -> bool:
        """True if any finding is an error."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def view_plugin(
    content: PluginContent, tag: str | None = None, hosts: Platform | None = None, *, name: str | None = None
) -> PluginView:
    """Return all information about a plugin.

    Args:
        content: content that was read.
        tag: tag of the plugin.
        hosts: platform of the hosts for which the plugin is intended; None takes the platform that the tag names.
        name: local name of the plugin, see :func:`mirror.plugin.config.own_name.local_name`; None if unknown.
    """
    said = None if tag is None else platform_from_tag(tag)
    meant = None if said is None else IntendedPlatform(said.platform, f"the tag, with {said.used!r}, says")
    if hosts is not None:
        meant = IntendedPlatform(hosts, "the hosts are")
    found = tuple(_alike(sorted(_findings(content, meant, name), key=lambda one: _ORDER.index(one.severity))))
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


def _findings(content: PluginContent, meant: IntendedPlatform | None, name: str | None) -> Iterator[Finding]:
    """Yield the findings about the packing, then those about the config, the name and the root filesystem."""
    yield from content.findings
    if content.config is not None:
        yield from check_config(content.config)
        yield from check_own_name(content.config, name)
        if content.rootfs is not None:
            yield from check_rootfs(content.config, content.rootfs, meant)


def _alike(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield each finding once, and at most :data:`_MOST_ALIKE` of one code."""
    count: Counter[str] = Counter()
    for finding in dict.fromkeys(findings):
        count[finding.code] += 1
        if count[finding.code] <= _MOST_ALIKE:
            yield finding


def _platform(content: PluginContent, tagged: Platform | None) -> tuple[Platform | None, str]:
    """Return the platform of a plugin and the source of this knowledge."""
    read = None
    if content.config is not None and content.rootfs is not None:
        read = platform_of(content.config, content.rootfs)
    if read is None:
        return tagged, "" if tagged is None else "its tag"
    # ELF does not tell the variant of arm, but a tag may.
    if tagged is not None and not read.variant and read.covers(tagged):
        return replace(read, variant=tagged.variant), "its programs and its tag" if tagged.variant else "its programs"
    return read, "its programs"
