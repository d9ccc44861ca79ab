"""Checks of a host that its engine alone decides: version, platform, runtime, and installed plugins. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from mirror.hosts.checks.host_check import HostCheck, Step, done, ok, problem, unknown, warning
from mirror.hosts.checks.host_facts import HostFacts
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.hosts.engine_api import InstalledPlugin
from mirror.oci.printable_text import printable, printable_ascii
from mirror.plugin.config.built_in_drivers import BUILT_IN_DRIVERS
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.lint.engine_support import EngineVerdict, engine_verdicts
from mirror.plugin.policy.engine_vulnerabilities import CRASH_BY_DIGEST, UNCOMPARED_PRIVILEGE, Exposure
from mirror.plugin.rootfs.platform import Platform

_NUMBER: Final = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?")
#: Codes of findings that checks of the host judge with more knowledge.
_JUDGED_ELSEWHERE: Final = frozenset(
    {"platform-wrong", "mount-source-missing", "device-path-missing", "device-path-empty", "own-name"}
)
#: Beginnings of the codes of findings that do not prevent enabling, but using the plugin.
_ABOUT_FINDING: Final = ("type", "protocol-scheme")
#: Codes about packing: engines cannot install such a plugin, or not completely.
_ABOUT_INSTALLING: Final = (
    *("manifest-", "layer", "files-missing", "size-wrong", "config-unreadable", "several-layers", "media-type"),
    *("diff-ids", "index", "plugin-withheld", "whiteouts", "hard-links-broken", "names-long"),
)
#: Architectures whose programs the kernel of another architecture usually runs as well.
_ALSO_RUN: Final = {("amd64", "386"), ("arm64", "arm")}
#: Runtimes that start plugins as runc does.
_LIKE_RUNC: Final = frozenset({"", "runc", "crun", "nvidia", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux"})


def engine_checks(facts: HostFacts, wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield the checks, in the order in which an install meets them."""
    yield from _support(facts, wanted)
    yield _vulnerability(facts, wanted)
    yield from _digest_reference(facts, wanted)
    yield from _name(facts, wanted)
    yield _platform(facts, wanted)
    yield _runtime(facts)
    yield from _namespaces(facts, wanted)


def any_engine_checks(wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield the findings of lint with the engines that they are about, for a host whose engine is unknown."""
    verdicts = engine_verdicts(wanted.findings)
    serious = dict.fromkeys(finding for verdict in verdicts for finding in verdict.reasons)
    for finding in serious:
        step, text = _step_of(finding), f"{finding.text}: {finding.seen}"
        if all(finding in verdict.reasons for verdict in verdicts):
            yield problem("lint", step, text, finding.fix)
        else:
            yield warning("lint", step, f"engines {finding.engines}: {text}", finding.fix)
    if not serious:
        yield ok("lint", f"engines {verdicts[0].first} to {verdicts[-1].last} have no known problem with the plugin")
    rest = (finding for finding in wanted.findings if finding.severity is Severity.WARNING and finding not in serious)
    yield from _named(rest, wanted.source)


def _support(facts: HostFacts, wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield the findings of lint that matter on this engine."""
    shown = f"Docker Engine {printable(facts.version.version, 40)}"
    findings = wanted.findings
    verdict = verdict_of(engine_verdicts(findings), facts.version.version)
    if verdict is None:
        yield unknown("engine", None, f"{shown} does not tell its release")
        reasons = [finding for finding in findings if finding.severity is Severity.ERROR]
    else:
        reasons = list(verdict.reasons)
    found = [
        problem("lint", _step_of(finding), f"{finding.text}: {finding.seen}", finding.fix)
        for finding in reasons
        if finding.code not in _JUDGED_ELSEWHERE
    ]
    if not found and verdict is not None:
        yield ok("engine", f"{shown} has no known problem with the plugin")
    yield from found
    rest = [finding for finding in findings if finding.severity is Severity.WARNING and finding not in reasons]
    yield from _warnings(rest, facts.version.version, wanted.source)


def _warnings(findings: Iterable[Finding], version: str, source: str) -> Iterator[HostCheck]:
    """Yield the warnings of lint that are about enabling or finding, and one line that names the others."""
    others = []
    for finding in findings:
        if finding.code in _JUDGED_ELSEWHERE:
            continue
        # The verdict about a single error tells which engines a finding is about.
        verdict = verdict_of(engine_verdicts([replace(finding, severity=Severity.ERROR)]), version)
        if verdict is not None and verdict.works:
            continue
        is_about_finding = finding.code.startswith(_ABOUT_FINDING)
        if is_about_finding or finding.seen.startswith("enabling fails"):
            step = Step.FIND if is_about_finding else Step.ENABLE
            yield warning("lint", step, f"{finding.text}: {finding.seen}", finding.fix)
        else:
            others.append(finding)
    yield from _named(others, source)


def _named(findings: Iterable[Finding], source: str) -> Iterator[HostCheck]:
    """Yield one line that names findings; none if there are none."""
    if codes := ", ".join(dict.fromkeys(finding.code for finding in findings)):
        yield warning("warnings", None, f"lint warns of {codes}", f"plugin-mirror lint {printable(source)}")


def verdict_of(verdicts: tuple[EngineVerdict, ...], version: str) -> EngineVerdict | None:
    """Return the verdict for the release of an engine version; None if the version tells no release."""
    number = _number(version)
    if number is None:
        return None
    known = [verdict for verdict in verdicts if tuple(int(part) for part in verdict.first.split(".")) <= number]
    return known[-1] if known else None


def _vulnerability(facts: HostFacts, wanted: WantedPlugin) -> HostCheck:
    flaw, version = UNCOMPARED_PRIVILEGE, facts.version.version
    exposure = flaw.exposure(version)
    if exposure is Exposure.UNAFFECTED:
        return ok("cve", f"the engine does not have {flaw.identifier}")
    if exposure is Exposure.UNKNOWN:
        shown = printable(version, 40)
        return unknown("cve", None, f"version {shown} does not tell if the engine has {flaw.identifier}", flaw.remedy)
    unchecked = wanted.view.never_compared
    about = "" if unchecked is None else f" (of this plugin: {printable_ascii(str(unchecked))})"
    return warning("cve", None, f"the engine has {flaw.identifier} and {flaw.effect}{about}", flaw.remedy)


def _digest_reference(facts: HostFacts, wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield a problem if the reference crashes the engine."""
    if wanted.by_digest and CRASH_BY_DIGEST.exposure(facts.version.version) is Exposure.AFFECTED:
        said = f"the daemon of this engine {CRASH_BY_DIGEST.effect}"
        yield problem("reference", Step.INSTALL, said, CRASH_BY_DIGEST.remedy)


def _name(facts: HostFacts, wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield checks of the local name, and of other installed plugins."""
    name = printable(wanted.name)
    same = next((plugin for plugin in facts.plugins if plugin.name == wanted.name), None)
    if same is not None:
        yield _taken(facts, wanted, same)
    elif wanted.name.removesuffix(":latest") in BUILT_IN_DRIVERS:
        builtin = wanted.name.removesuffix(":latest")
        yield warning(
            "name", Step.FIND, f"{builtin} is also the name of a driver of the engine itself", "use another --alias"
        )
    else:
        yield ok("name", f"no plugin is named {name}")
    layers = wanted.view.config.diff_ids if wanted.view.config is not None else ()
    for plugin in facts.plugins:
        if plugin.enabled and plugin is not same and layers and plugin.config.diff_ids == layers:
            yield warning(
                "copy",
                None,
                f"the same program runs already as {printable(plugin.name)}, so two of them may use one port or folder",
                f"docker plugin disable {printable(plugin.name)}",
            )


def _taken(facts: HostFacts, wanted: WantedPlugin, same: InstalledPlugin) -> HostCheck:
    name = printable(same.name)
    digest = facts.files.digests.get(same.plugin_id) if facts.files is not None else None
    layers = wanted.view.config.diff_ids if wanted.view.config is not None else ()
    if digest == wanted.digest and same.enabled:
        return done("name", Step.ENABLE, f"{name} is already installed with this digest, and enabled", "")
    if digest == wanted.digest:
        text = f"{name} is already installed with this digest, but disabled"
        return done("name", Step.INSTALL, text, f"docker plugin enable {name}")
    stop = f"docker plugin disable {name} && " if same.enabled else ""
    fix = f"{stop}docker plugin upgrade {name} {printable(wanted.remote)}, or use another --alias"
    if digest is not None:
        return problem("name", Step.INSTALL, f"{name} is already installed, with digest {digest}", fix)
    also = "with the same layers" if layers and same.config.diff_ids == layers else "with other layers"
    return problem("name", Step.INSTALL, f"{name} is already installed, {also}", fix)


def _platform(facts: HostFacts, wanted: WantedPlugin) -> HostCheck:
    host, runs_on = Platform(facts.version.os, facts.version.architecture), wanted.view.platform
    if host.os != "linux":
        return problem(
            "platform", Step.INSTALL, f"the engine is for {host}, and plugins need Linux", "use a Linux host"
        )
    if runs_on is None:
        return unknown("platform", Step.ENABLE, f"the platform of the plugin is unknown; the host is {host}")
    if host.covers(runs_on):
        return ok("platform", f"plugin and host are {runs_on}")
    told = f"the plugin is for {runs_on} (from {wanted.view.platform_by}), the host is {host}"
    if (host.architecture, runs_on.architecture) in _ALSO_RUN:
        return warning("platform", Step.ENABLE, f"{told}, which usually runs such programs")
    if facts.files is not None and runs_on.architecture in facts.files.emulated:
        return warning("platform", Step.ENABLE, f"{told}, which has an emulator for it")
    return problem("platform", Step.ENABLE, told, f"install the plugin for {host}")


def _runtime(facts: HostFacts) -> HostCheck:
    name = facts.info.default_runtime
    if name in _LIKE_RUNC and not facts.info.runtime_answers:
        return problem(
            "runtime",
            Step.ENABLE,
            f"the engine cannot start its default runtime {printable(name, 60) or 'runc'}",
            "install runc, or set default-runtime in daemon.json",
        )
    if name in _LIKE_RUNC:
        return ok("runtime", f"the default runtime is {printable(name, 60) or 'runc'}")
    return unknown(
        "runtime",
        Step.ENABLE,
        f"engines start plugins with the default runtime, which is {printable(name, 60)}",
        "if it is not like runc, set default-runtime to runc in daemon.json",
    )


def _namespaces(facts: HostFacts, wanted: WantedPlugin) -> Iterator[HostCheck]:
    """Yield warnings about user namespaces."""
    if facts.info.has_security_option("rootless"):
        config = wanted.view.config
        needs = config is not None and bool(config.mounts or config.devices or config.capabilities)
        yield warning(
            "rootless",
            Step.ENABLE if needs else None,
            "the engine is rootless: the plugin gets only what its user may use on the host",
            "use an engine of root for plugins that need devices, mounts or capabilities",
        )
    if facts.info.has_security_option("userns"):
        yield warning(
            "userns",
            None,
            "userns-remap is on: plugins run outside of it, so files on their volumes belong to other users than in "
            "containers",
        )


def _step_of(finding: Finding) -> Step:
    """Return the step that a finding prevents."""
    if finding.code.startswith(_ABOUT_INSTALLING):
        return Step.INSTALL
    return Step.FIND if finding.code.startswith(_ABOUT_FINDING) else Step.ENABLE


def _number(version: str) -> tuple[int, int, int] | None:
    match = _NUMBER.match(version)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 0))
