"""Predictions from facts about a host: each check with the facts that decide it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mirror.hosts.checks.file_checks import needed_paths
from mirror.hosts.checks.host_check import (
    Forecast,
    HostCheck,
    HostPrediction,
    Outcome,
    Step,
    done,
    problem,
    unknown,
    warning,
)
from mirror.hosts.checks.host_checks import check_host
from mirror.hosts.checks.host_facts import HostFacts, HostFiles, PathKind, RegistryAnswer
from mirror.hosts.checks.wanted_plugin import WantedPlugin, with_settings
from mirror.hosts.engine_answers import read_info, read_plugins, read_version
from mirror.hosts.insecure_registries import may_use_http
from mirror.oci import Digest
from mirror.plugin.findings.config_findings import ENTRYPOINT_EMPTY, NETWORK_TYPE, TYPE_UNKNOWN, TYPES_MISSING
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.findings.manifest_findings import LAYERS_MISSING, MANIFEST_OCI
from mirror.plugin.lint.config_checks import check_config
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.rootfs.platform import Platform
from tests.support.rootfs import config
from tests.unit.hosts.content import INFO, PLUGIN, VERSION

OWN_NAME = Finding("own-name", Severity.WARNING, "judged with the intended name", "all", "", "")
DIGEST, OTHER = Digest.of(b"manifest"), Digest.of(b"other")
MIB = 1024 * 1024
FILES = HostFiles(
    paths={"/srv": PathKind.FOLDER},
    kernel="6.1.0",
    has_modules=True,
    file_systems=frozenset({"ext4"}),
    emulated=frozenset(),
    data_root_options=frozenset({"rw"}),
    free_bytes=100 * MIB,
    digests={},
)
FACTS = HostFacts(
    version=read_version(VERSION | {"Version": "29.3.1"}),
    info=read_info(INFO | {"SecurityOptions": []}),
    plugins=(),
    registry=RegistryAnswer(DIGEST),
    files=FILES,
)


def wanted(*findings: Finding, **members: Any) -> WantedPlugin:
    """Return a plugin with these findings of lint, whose config has some members more than one that works."""
    view = replace(view_plugin(PluginContent(config(**members), None)), findings=findings)
    return WantedPlugin(
        remote="mirror:5000/acme/x:1",
        source="mirror:5000/acme/x:1 --plain-http",
        host="mirror:5000",
        name="acme/x:1",
        digest=DIGEST,
        by_digest=False,
        size_bytes=MIB,
        view=replace(view, platform=Platform("linux", "amd64"), platform_by="its programs"),
        settings={},
    )


def mount(**members: Any) -> dict[str, Any]:
    bound = {"Name": "m", "Source": "/srv", "Destination": "/m", "Type": "bind", "Options": ["rbind"]}
    return {"Mounts": [bound | members]}


def device(path: str | None, *settable: str) -> dict[str, Any]:
    return {"Linux": {"Devices": [{"Name": "d", "Path": path, "Settable": list(settable)}]}}


def unusual(facts: HostFacts, plugin: WantedPlugin) -> list[HostCheck]:
    """Return the checks that are not ok."""
    return [check for check in check_host(facts, plugin).checks if check.outcome is not Outcome.OK]


def only(facts: HostFacts, plugin: WantedPlugin) -> tuple[str, Outcome, Step | None, str]:
    """Return name, outcome, step and fix of the only check that is not ok."""
    (found,) = unusual(facts, plugin)
    return found.name, found.outcome, found.step, found.fix


def test_a_sound_plugin_on_a_sound_host_will_do() -> None:
    report = check_host(FACTS, wanted(**mount(), Linux={"Capabilities": ["CAP_SYS_MODULE"]}))
    assert unusual(FACTS, wanted(**mount())) == []
    assert set(report.forecasts.values()) == {Forecast.YES}
    assert not report.has_problems
    names = [check.name for check in report.checks]
    assert names == ["registry", "engine", "cve", "name", "platform", "runtime", "data-root", "mounts", "modules"]


@pytest.mark.parametrize(
    ("checks", "forecasts"),
    [
        ((), "yes yes yes"),
        ((problem("x", Step.INSTALL, "", ""),), "no no no"),
        ((problem("x", Step.ENABLE, "", ""),), "yes no no"),
        ((warning("x", Step.ENABLE, ""),), "yes unsure unsure"),
        ((unknown("x", Step.FIND, ""), warning("x", None, "")), "yes yes unsure"),
        ((done("x", Step.INSTALL, "", ""), problem("x", Step.INSTALL, "", "")), "done yes yes"),
        (
            (done("x", Step.ENABLE, "", ""), unknown("x", Step.ENABLE, ""), warning("x", Step.FIND, "")),
            "done done unsure",
        ),
        ((unknown("x", Step.INSTALL, ""), problem("x", Step.FIND, "", "")), "unsure unsure no"),
    ],
)
def test_a_step_needs_the_steps_before_it(checks: tuple[HostCheck, ...], forecasts: str) -> None:
    report = HostPrediction(checks)
    assert " ".join(forecast.name.lower() for forecast in report.forecasts.values()) == forecasts


def test_plain_http_is_told_with_the_lines_for_the_daemon() -> None:
    said = 'Get "https://mirror:5000/v2/": http: server gave HTTP response to HTTPS client'
    info = replace(FACTS.info, insecure_hosts=("other:5000",), insecure_networks=("10.0.0.0/8", "127.0.0.0/8"))
    name, outcome, step, fix = only(replace(FACTS, info=info, registry=RegistryAnswer(None, said)), wanted())
    assert (name, outcome, step) == ("registry", Outcome.PROBLEM, Step.INSTALL)
    assert '{"insecure-registries": ["other:5000", "10.0.0.0/8", "mirror:5000"]}' in fix


@pytest.mark.parametrize(
    ("answer", "outcome", "fix"),
    [
        (RegistryAnswer(OTHER), Outcome.WARNING, "same registry"),
        (RegistryAnswer(None), Outcome.UNKNOWN, ""),
        (RegistryAnswer(None, "unauthorized: authentication required"), Outcome.WARNING, "docker login mirror:5000"),
        (RegistryAnswer(None, "x509: unknown authority"), Outcome.PROBLEM, "/etc/docker/certs.d/mirror:5000/ca.crt"),
        (RegistryAnswer(None, "denied: the policy forbids it"), Outcome.PROBLEM, "the operator of mirror:5000"),
        (RegistryAnswer(None, "dial tcp: no such host"), Outcome.PROBLEM, "reachable from the host"),
    ],
)
def test_the_answer_of_the_registry_decides(answer: RegistryAnswer, outcome: Outcome, fix: str) -> None:
    (found,) = unusual(replace(FACTS, registry=answer), wanted())
    assert (found.name, found.outcome, found.step) == ("registry", outcome, Step.INSTALL)
    assert fix in found.fix


@pytest.mark.parametrize(
    ("host", "addresses", "insecure"),
    [
        ("mirror:5000", (), True),
        ("other:5000", ("127.0.0.1",), True),
        ("other:5000", ("10.1.1.1", "::1", "fe80::1%eth0", "odd"), False),
    ],
)
def test_engines_use_http_for_listed_hosts_and_networks(host: str, addresses: tuple[str, ...], insecure: bool) -> None:
    info = replace(FACTS.info, insecure_networks=("127.0.0.0/8", "odd"))
    assert may_use_http(info, host, addresses) is insecure


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("29.3.1", set()),
        ("26.1.5+dfsg1", {"cve"}),
        ("20.10.24+dfsg1", {"cve"}),
        ("17.03.2-ce", {"lint"}),
        ("dev", {"engine", "cve"}),
    ],
)
def test_the_version_of_the_engine_decides(version: str, names: set[str]) -> None:
    facts = replace(FACTS, version=replace(FACTS.version, version=version))
    # Engines read manifests of OCI's type since 18.06.
    found = {check.name for check in unusual(facts, wanted(MANIFEST_OCI()))}
    assert found - {"warnings"} == names


def test_the_privilege_that_is_never_compared_is_named() -> None:
    facts = replace(FACTS, version=replace(FACTS.version, version="26.1.5"))
    (found,) = unusual(facts, wanted(Network={"Type": "host"}))
    assert (found.step, "network: [host]" in found.text) == (None, True)


@pytest.mark.parametrize(
    ("version", "crashes"),
    [("20.10.24", True), ("23.0.9", True), ("23.0.10", False), ("24.0.9", True), ("25.0.2", True), ("25.0.3", False)],
)
def test_a_digest_crashes_some_engines(version: str, crashes: bool) -> None:
    facts = replace(FACTS, version=replace(FACTS.version, version=version))
    found = [check.step for check in unusual(facts, replace(wanted(), by_digest=True)) if check.name == "reference"]
    assert found == ([Step.INSTALL] if crashes else [])


def test_errors_of_lint_are_problems_of_their_step() -> None:
    plugin = wanted(LAYERS_MISSING(), ENTRYPOINT_EMPTY(), TYPES_MISSING())
    assert [(check.name, check.outcome, check.step) for check in unusual(FACTS, plugin)] == [
        ("lint", Outcome.PROBLEM, step) for step in Step
    ]
    assert "engine" not in {check.name for check in check_host(FACTS, plugin).checks}


def test_warnings_of_lint_are_told_with_their_step() -> None:
    guess = Finding("program-missing", Severity.WARNING, "/x is missing", "all", "enabling fails after 13 s", "add it")
    plugin = wanted(guess, TYPE_UNKNOWN(name="x/1"), NETWORK_TYPE(name="bridge"), OWN_NAME)
    found = unusual(FACTS, plugin)
    assert [(check.outcome, check.step) for check in found] == [
        (Outcome.WARNING, Step.ENABLE),
        (Outcome.WARNING, Step.FIND),
        (Outcome.WARNING, None),
    ]
    assert found[0].text == "/x is missing: enabling fails after 13 s"
    assert (found[2].text, found[2].fix) == (
        "lint warns of network-type",
        "plugin-mirror lint mirror:5000/acme/x:1 --plain-http",
    )
    assert unusual(FACTS, wanted(replace(guess, engines="before 17.05"))) == []


def test_findings_about_a_default_do_not_hold_for_a_setting() -> None:
    relative = mount(Source="srv", Settable=["source"])
    plugin = wanted(*check_config(config(**relative)), **relative)
    assert {check.name for check in unusual(FACTS, plugin)} == {"lint"}
    assert unusual(FACTS, replace(plugin, settings={"m": "/srv"})) == []
    spoilt = replace(wanted(**mount(Settable=["source"])), settings={"m": "srv"})
    assert {check.name for check in unusual(FACTS, spoilt)} == {"lint"}


def installed(**members: Any) -> HostFacts:
    return replace(FACTS, plugins=read_plugins([PLUGIN | {"Name": "acme/x:1"} | members]))


def test_a_taken_name_is_told_from_the_same_plugin() -> None:
    name, outcome, step, fix = only(installed(Enabled=True), wanted())
    assert (name, outcome, step) == ("name", Outcome.PROBLEM, Step.INSTALL)
    assert fix.startswith(
        "docker plugin disable acme/x:1 && docker plugin upgrade acme/x:1 mirror:5000/acme/x:1, or use another --alias"
    )
    told = {
        "with other layers": unusual(installed(), wanted()),
        "with the same layers": unusual(installed(), wanted(rootfs=PLUGIN["Config"]["rootfs"])),
        f"with digest {OTHER}": unusual(
            replace(installed(), files=replace(FILES, digests={"a" * 64: OTHER})), wanted()
        ),
    }
    assert {text: found[0].text for text, found in told.items()} == {
        text: f"acme/x:1 is already installed, {text}" for text in told
    }
    same = replace(FILES, digests={"a" * 64: DIGEST})
    disabled, enabled = replace(installed(), files=same), replace(installed(Enabled=True), files=same)
    assert only(disabled, wanted()) == ("name", Outcome.DONE, Step.INSTALL, "docker plugin enable acme/x:1")
    assert only(enabled, wanted()) == ("name", Outcome.DONE, Step.ENABLE, "")


def test_a_copy_of_a_running_plugin_is_told() -> None:
    layers = {"rootfs": PLUGIN["Config"]["rootfs"]}
    assert only(installed(Name="other:1", Enabled=True), wanted(**layers))[:3] == ("copy", Outcome.WARNING, None)
    assert unusual(installed(Name="other:1"), wanted(**layers)) == []


def test_a_name_of_the_engine_itself_is_never_used() -> None:
    assert only(FACTS, replace(wanted(), name="local:latest"))[:3] == ("name", Outcome.WARNING, Step.FIND)
    assert unusual(FACTS, replace(wanted(), name="local:1")) == []


@pytest.mark.parametrize(
    ("host", "emulated", "plugin", "outcome"),
    [
        ("amd64", (), "amd64", Outcome.OK),
        ("amd64", (), "arm64", Outcome.PROBLEM),
        ("amd64", ("arm64",), "arm64", Outcome.WARNING),
        ("amd64", (), "386", Outcome.WARNING),
        ("amd64", (), None, Outcome.UNKNOWN),
    ],
)
def test_the_platform_decides(host: str, emulated: tuple[str, ...], plugin: str | None, outcome: Outcome) -> None:
    facts = replace(FACTS, files=replace(FILES, emulated=frozenset(emulated)))
    facts = replace(facts, version=replace(FACTS.version, architecture=host))
    sound = wanted()
    platform = None if plugin is None else Platform("linux", plugin)
    checks = check_host(facts, replace(sound, view=replace(sound.view, platform=platform))).checks
    assert [check.outcome for check in checks if check.name == "platform"] == [outcome]


def test_windows_has_no_plugins() -> None:
    facts = replace(FACTS, version=replace(FACTS.version, os="windows"))
    assert only(facts, wanted())[:3] == ("platform", Outcome.PROBLEM, Step.INSTALL)


def test_special_engines_are_told() -> None:
    rootless = replace(FACTS, info=replace(FACTS.info, security_options=("name=rootless",)))
    assert only(rootless, wanted())[:3] == ("rootless", Outcome.WARNING, None)
    assert only(rootless, wanted(**mount()))[:3] == ("rootless", Outcome.WARNING, Step.ENABLE)
    remapped = replace(FACTS, info=replace(FACTS.info, security_options=("name=userns",)))
    assert only(remapped, wanted())[:3] == ("userns", Outcome.WARNING, None)
    other = replace(FACTS, info=replace(FACTS.info, default_runtime="runsc"))
    assert only(other, wanted())[:3] == ("runtime", Outcome.UNKNOWN, Step.ENABLE)
    absent = replace(FACTS, info=replace(FACTS.info, runtime_answers=False))
    assert only(absent, wanted())[:3] == ("runtime", Outcome.PROBLEM, Step.ENABLE)


@pytest.mark.parametrize(
    ("files", "step"),
    [
        ({"data_root_options": frozenset({"noexec"})}, Step.ENABLE),
        ({"data_root_options": frozenset({"ro"})}, Step.INSTALL),
        ({"free_bytes": MIB}, Step.INSTALL),
    ],
)
def test_the_data_root_must_take_and_run_the_plugin(files: dict[str, Any], step: Step) -> None:
    facts = replace(FACTS, files=replace(FILES, **files))
    assert only(facts, wanted())[:3] == ("data-root", Outcome.PROBLEM, step)


@pytest.mark.parametrize(
    ("members", "kind", "name", "outcome", "fix"),
    [
        (mount(Source="/a b"), PathKind.MISSING, "mounts", Outcome.PROBLEM, "mkdir -p '/a b'"),
        (mount(Source="/run/x.sock"), PathKind.MISSING, "mounts", Outcome.PROBLEM, "start the service"),
        (mount(Source="/etc/x.conf"), PathKind.MISSING, "mounts", Outcome.PROBLEM, "create the file"),
        (mount(Source="/root/x"), PathKind.HIDDEN, "mounts", Outcome.UNKNOWN, "run as root"),
        (device("/dev/fuse"), PathKind.MISSING, "devices", Outcome.PROBLEM, "modprobe fuse"),
        (device("/dev/kvm"), PathKind.MISSING, "devices", Outcome.PROBLEM, "modprobe kvm_intel || modprobe kvm_amd"),
        (device("/dev/nbd3"), PathKind.MISSING, "devices", Outcome.PROBLEM, "modprobe nbd"),
        (mount(Source="/dev/fuse"), PathKind.MISSING, "mounts", Outcome.PROBLEM, "modprobe fuse"),
        (device("/dev/xyz"), PathKind.MISSING, "devices", Outcome.PROBLEM, "load the module"),
        (device("/etc/hostname"), PathKind.OTHER, "devices", Outcome.PROBLEM, "path of a device"),
    ],
)
def test_paths_must_exist(members: dict[str, Any], kind: PathKind, name: str, outcome: Outcome, fix: str) -> None:
    plugin = wanted(**members)
    assert plugin.config is not None
    (path,) = needed_paths(plugin.config)
    found = only(replace(FACTS, files=replace(FILES, paths={path: kind})), plugin)
    assert found[:3] == (name, outcome, Step.ENABLE)
    assert fix in found[3]


def test_a_folder_of_devices_is_accepted() -> None:
    facts = replace(FACTS, files=replace(FILES, paths={"/dev/net": PathKind.FOLDER}))
    assert unusual(facts, wanted(**device("/dev/net"))) == []


def test_modules_and_file_systems_must_be_there() -> None:
    bare = replace(FACTS, files=replace(FILES, has_modules=False))
    assert only(bare, wanted(Linux={"Capabilities": ["CAP_SYS_MODULE"]}))[:2] == ("modules", Outcome.WARNING)
    found = only(FACTS, wanted(**mount(Type="nfs", Options=[])))
    assert (found[0], found[3]) == ("file-system", "modprobe nfs")
    for kind in ("ext4", "none", "bind"):
        assert unusual(FACTS, wanted(**mount(Type=kind, Options=[]))) == []


def test_a_remote_file_system_is_unknown() -> None:
    facts = replace(FACTS, files=None, unseen="the engine is reached over TCP")
    (found,) = unusual(facts, wanted(**mount(), **device("/dev/fuse")))
    assert (found.name, found.outcome) == ("files", Outcome.UNKNOWN)
    assert found.text == "the engine is reached over TCP, and the plugin needs /srv, /dev/fuse"


def test_settings_must_be_set_and_known() -> None:
    # The engine mounts a folder of its own for an empty source, and looks for a device with an empty path.
    assert unusual(FACTS, wanted(**mount(Source="", Settable=["source"]))) == []
    empty = wanted(**device("", "path"))
    assert only(FACTS, empty)[:3] == ("settings", Outcome.PROBLEM, Step.ENABLE)
    facts = replace(FACTS, files=replace(FILES, paths={"/dev/fuse": PathKind.DEVICE}))
    for key in ("d", "d.path"):
        assert unusual(facts, replace(empty, settings={key: "/dev/fuse"})) == []
    (found,) = unusual(facts, replace(empty, settings={"d": "/dev/fuse", "other": "1"}))
    assert "other is not a setting" in found.text


@pytest.mark.parametrize("members", [mount(Source=None, Settable=["source"]), device(None, "path")])
def test_null_can_never_be_set(members: dict[str, Any]) -> None:
    for settings in ({}, {"m": "/srv"}, {"d.path": "/dev/fuse"}):
        found = unusual(FACTS, replace(wanted(**members), settings=settings))
        assert "engines set none where the config has null" in found[-1].text
        assert found[-1].outcome is Outcome.PROBLEM


def test_a_plugin_must_know_its_own_name() -> None:
    plugin = wanted(Env=[{"Name": "plugin_name", "Value": "acme/y:1", "Settable": ["value"]}])
    name, outcome, step, fix = only(FACTS, plugin)
    assert (name, outcome, step) == ("own-name", Outcome.WARNING, Step.FIND)
    assert fix == "--set plugin_name=acme/x:1 or --alias acme/y:1"
    assert unusual(FACTS, replace(plugin, name="acme/y:1")) == []
    assert unusual(FACTS, replace(plugin, settings={"plugin_name": "acme/x:1"})) == []
    assert only(FACTS, wanted(Env=[{"Name": "DRIVER_NAME", "Value": "y"}]))[3] == "--alias y"


def test_settings_change_the_config_as_engines_do() -> None:
    members = mount(Settable=["source"]) | device("", "path") | {"Args": {"Name": "args", "Settable": ["value"]}}
    whole = config(**members, Env=[{"Name": "log.level", "Value": "1", "Settable": ["value"]}])
    given = {"m.source": "/new", "d": "/dev/kvm", "args": "-a  b", "log.level.value": "2"}
    changed = with_settings(whole, given)
    assert changed.mounts[0].source == "/new"
    assert changed.devices[0].path == "/dev/kvm"
    assert changed.args.value == ("-a", "", "b")
    assert changed.env[0].value == "2"
    assert with_settings(whole, {}) == whole


def test_a_setting_changes_only_the_item_that_engines_change() -> None:
    both = config(Env=[{"Name": "m", "Value": "1", "Settable": ["value"]}], **mount(Settable=["source"]))
    changed = with_settings(both, {"m": "2"})
    assert (changed.env[0].value, changed.mounts) == ("2", both.mounts)
    fixed = config(**mount())
    assert with_settings(fixed, {"m": "/new"}) == fixed
