"""The complete report of a plugin: engines, risks, platform, and the order of findings."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings import manifest_findings as table
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.lint.engine_support import engine_verdicts
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.rootfs.platform import Platform
from tests.support.rootfs import SOCKET, config, elf, file, rootfs


def finding(engines: str, severity: Severity = Severity.ERROR, code: str = "x") -> Finding:
    return Finding(code, severity, "text", engines, "seen", "fix")


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], [("1.13 to 29", True)]),
        ([finding("all")], [("1.13 to 29", False)]),
        ([finding("none")], [("1.13 to 29", True)]),
        ([finding("since 20.10")], [("1.13 to 19.03", True), ("20.10 to 29", False)]),
        ([finding("up to 28")], [("1.13 to 28", False), ("29", True)]),
        ([finding("before 18.06")], [("1.13 to 18.03", False), ("18.06 to 29", True)]),
        ([finding("19.03")], [("1.13 to 18.09", True), ("19.03", False), ("20.10 to 29", True)]),
        ([finding("all", Severity.WARNING)], [("1.13 to 29", True)]),
        ([finding("all", Severity.HINT)], [("1.13 to 29", True)]),
        ([table.DIFF_IDS_COMPRESSED()], [("1.13 to 19.03", False), ("20.10 to 29", True)]),
        ([table.INDEX(), table.DIFF_IDS_WRONG()], [("1.13 to 19.03", False), ("20.10 to 29", False)]),
    ],
)
def test_engines(findings: list[Finding], expected: list[tuple[str, bool]]) -> None:
    assert [(verdict.engines, verdict.works) for verdict in engine_verdicts(findings)] == expected


def risks(**members: Any) -> list[str]:
    return [risk for _, risk in view_plugin(PluginContent(config(**members), None)).privileges]


def mount(source: str, *options: str) -> dict[str, Any]:
    return {"Mounts": [{"Source": source, "Destination": "/m", "Options": list(options)}]}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"Network": {"Type": "host"}}, "the host's own network"),
        ({"Network": {"Type": "none"}}, "only the loopback"),
        ({"IpcHost": True}, "shares memory"),
        ({"PidHost": True}, "every process of the host"),
        (mount("/"), "every file of the host: as good as root"),
        (mount("/", "ro"), "reads every file of the host: also its secrets"),
        (mount("/var/run/docker.sock"), "controls the engine"),
        (mount("/var/run"), "including the engine's own"),
        (mount("/etc"), "as good as root"),
        (mount("/etc", "ro"), "It reads /etc of the host"),
        (mount("/data/"), "It reads and writes /data of the host"),
        (mount("/proc"), "the host's kernel"),
        (mount(""), "no source"),
        ({"Linux": {"Devices": [{"Path": "/dev/fuse"}]}}, "the device /dev/fuse"),
        ({"Linux": {"AllowAllDevices": True}}, "every device"),
        ({"Linux": {"Capabilities": ["CAP_SYS_MODULE", "CAP_NEW"]}}, "kernel. CAP_NEW: "),
    ],
)
def test_each_privilege_is_said_in_words(members: dict[str, Any], said: str) -> None:
    (risk,) = risks(**members)
    assert said in risk
    assert risk.endswith(".")


def content(machine: int, **members: Any) -> PluginContent:
    return PluginContent(
        config(**members), rootfs(file("bin/driver", elf(machine) + SOCKET.encode()), names=[SOCKET.encode()])
    )


@pytest.mark.parametrize(
    ("machine", "tag", "platform", "by", "codes"),
    [
        (183, "1.0-arm64", "linux/arm64", "its programs", []),
        (62, "1.0-arm64", "linux/amd64", "its programs", ["platform-wrong"]),
        (62, "1.0", "linux/amd64", "its programs", []),
        (62, None, "linux/amd64", "its programs", []),
        (0x9999, "1.0-arm-v7", "linux/arm/v7", "its tag", ["platform-unknown"]),
    ],
)
def test_the_platform(machine: int, tag: str | None, platform: str, by: str, codes: list[str]) -> None:
    found = view_plugin(content(machine), tag)
    assert (str(found.platform), found.platform_by) == (platform, by)
    assert [one.code for one in found.findings] == codes


def test_programs_say_no_variant_and_tags_do() -> None:
    arm = PluginContent(config(), rootfs(file("bin/driver", elf(40, wide=False))))
    found = view_plugin(arm, "latest-armv7")
    assert (str(found.platform), found.platform_by) == ("linux/arm/v7", "its programs and its tag")


def test_the_hosts_win_over_the_tag() -> None:
    found = view_plugin(content(62), "arm64", Platform("linux", "amd64"))
    assert found.findings == ()
    assert view_plugin(content(183), "arm64", Platform("linux", "amd64")).has_errors


def test_the_worst_comes_first_and_none_floods_the_rest() -> None:
    many = {
        "Linux": {"Capabilities": [f"X{number}" for number in range(1000)]},
        "WorkDir": "x",
        **mount("/srv/data", "bind"),
    }
    found = view_plugin(PluginContent(config(**many), None, (table.SEVERAL_LAYERS(count=2),)))
    severities = [one.severity for one in found.findings]
    assert severities == sorted(severities, key=list(Severity).index)
    assert [one.code for one in found.findings].count("capability-unknown") == 10
    assert found.findings[0].code == "work-dir-relative"


def test_without_a_config_there_is_little_to_see() -> None:
    found = view_plugin(PluginContent(None, None, (table.CONFIG_UNREADABLE(reason="no"),)), "arm64")
    assert (found.privileges, found.settings, found.has_errors) == ((), (), True)


def test_an_empty_config_is_looked_at() -> None:
    found = view_plugin(PluginContent(PluginConfig.parse(b"{}"), rootfs()))
    assert [one.code for one in found.findings] == ["entrypoint-empty", "socket-empty", "types-missing"]
