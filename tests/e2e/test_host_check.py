"""Predictions of `host check` compared with what an engine does when the plugin is installed and enabled."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from mirror.app.hosts.host_checking import HostQuestion, check_reference
from mirror.hosts.checks.host_check import HostCheck, HostPrediction
from mirror.hosts.engine_address import EngineAddress
from mirror.oci import Reference
from mirror.settings import load
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness import plugins, trixie
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.far_line import FarLine
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.packing import pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.support.rootfs import elf

pytestmark = pytest.mark.e2e

Config = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A plugin, and what is predicted for it.

    Attributes:
        change: members that replace those of the working driver's config.
        predicted: predictions for installing and enabling.
        settings: settings that are given at the install.
        program: content that replaces the driver.
        engine_says: part of the engine's message.
        told: part of the check's text that says the same.
    """

    predicted: tuple[str, str] = ("yes", "yes")
    change: Config | None = None
    settings: tuple[str, ...] = ()
    program: bytes | None = None
    engine_says: str = ""
    told: str = ""


def mount(**members: Any) -> Config:
    whole = {"Name": "m", "Source": "/tmp", "Destination": "/m", "Type": "bind", "Options": ["rbind"]}
    return {"Mounts": [whole | members]}


def device(path: str, *settable: str) -> Config:
    return {"Linux": {"Devices": [{"Name": "d", "Path": path, "Settable": list(settable)}]}}


NULL, EMPTY = mount(Source=None, Settable=["source"]), mount(Source="", Settable=["source"])
FAILS = ("yes", "no")
CASES = {
    "good": Case(),
    "folder": Case(FAILS, mount(Source="/nope"), engine_says="stat /nope: no such file", told="/nope is missing"),
    "device": Case(FAILS, device("/dev/nope"), engine_says='"/dev/nope": no such file', told="/dev/nope is missing"),
    "file": Case(FAILS, device("/etc/hostname"), engine_says="not a device node", told="/etc/hostname is not a device"),
    "devices": Case(change=device("/dev/net")),
    "emptied": Case(FAILS, device("", "path"), engine_says='custom device ""', told="device d has no path until"),
    "machine": Case(FAILS, program=elf(183), engine_says="no such file", told="linux/arm64 (from its programs)"),
    "null": Case(FAILS, NULL, engine_says="mount source is not specified", told="mount m has no source"),
    "null-set": Case(FAILS, NULL, ("m=/tmp",), engine_says="config has no mount source", told="config has null"),
    "empty": Case(change=EMPTY),
    "set": Case(change=EMPTY, settings=("m=/tmp",)),
    "set-wrong": Case(FAILS, EMPTY, ("m=/nope",), engine_says="stat /nope: no such file", told="/nope is missing"),
    "unknown": Case(FAILS, settings=("nope=1",), engine_says='setting "nope" not found', told="nope is not a setting"),
    "taken": Case(("no", "no"), engine_says="already exists", told="is already installed, with digest"),
}


def pushed(mirror: Mirror, name: str, case: Case, folder: Path) -> str:
    """Push the plugin of a case, and return its reference."""
    made = plugins.volume_plugin(folder / name)
    config = json.loads((made / "config.json").read_bytes()) | (case.change or {})
    (made / "config.json").write_text(json.dumps(config))
    (made / "rootfs/unique").write_text(name)
    if case.program is not None:
        (made / "rootfs/volume-driver").write_bytes(case.program)
    push(pack(made), mirror.url, f"host/{name}", "1")
    return f"{mirror.host}/host/{name}:1"


def check(engine: Engine, reference: str, alias: str | None = None, *settings: str) -> HostPrediction:
    """Return what is predicted."""
    asked = HostQuestion(
        Reference.parse(reference),
        EngineAddress(engine.socket),
        alias and Reference.parse(alias),
        dict(setting.split("=") for setting in settings),
    )
    _, _, report = asyncio.run(check_reference(load(None, {}), asked, SilentProgress()))
    return report


def words(report: HostPrediction) -> list[str]:
    return [forecast.value for forecast in report.forecasts.values()]


def problems(report: HostPrediction) -> list[HostCheck]:
    return [one for one in report.checks if one.outcome.value == "problem"]


@dataclass(frozen=True)
class Attempt:
    """Prediction for a plugin, and what the engine did: the exit codes as words, and its message."""

    predicted: HostPrediction
    did: tuple[str, str]
    said: str


@pytest.fixture(scope="module")
def old_engine() -> Iterator[Engine]:
    """The system's engine."""
    require(Engine.missing())
    require(plugins.missing())
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def attempts(old_engine: Engine, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    """Check, install and enable each plugin. They run at the same time, since engines wait 13 s for a socket."""
    folder = tmp_path_factory.mktemp("plugins")
    other = pushed(mirror, "other", Case(), folder)
    old_engine.docker("plugin", "install", "--disable", "--alias", "taken:1", other)

    def attempt(name: str) -> Attempt:
        case, alias = CASES[name], f"{name}:1"
        reference = pushed(mirror, name, case, folder)
        predicted = check(old_engine, reference, alias, *case.settings)
        grant = ("--disable", "--grant-all-permissions", "--alias", alias)
        install = old_engine.docker("plugin", "install", *grant, reference, *case.settings, check=False)
        if install.exit_code != 0:
            # The engine keeps a plugin whose setting it refuses.
            return Attempt(predicted, ("yes" if case.settings else "no", "no"), install.stderr)
        enable = old_engine.docker("plugin", "enable", alias, check=False)
        return Attempt(predicted, ("yes", "yes" if enable.exit_code == 0 else "no"), enable.stderr)

    with ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(attempt, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_engine_does_what_was_predicted(name: str, attempts: dict[str, Attempt]) -> None:
    case, found = CASES[name], attempts[name]
    assert found.did == case.predicted
    assert tuple(words(found.predicted)[:2]) == case.predicted
    assert case.engine_says in found.said
    told = [case.told in one.text for one in problems(found.predicted)]
    assert any(told) == (case.predicted != ("yes", "yes"))


def test_the_engine_finds_the_driver_under_its_local_name(old_engine: Engine, attempts: dict[str, Attempt]) -> None:
    assert words(attempts["good"].predicted) == ["yes", "yes", "yes"]
    old_engine.docker("volume", "create", "-d", "good:1", "v")
    old_engine.docker("volume", "rm", "v")


def test_an_installed_plugin_is_known_by_its_digest(
    old_engine: Engine, mirror: Mirror, attempts: dict[str, Attempt]
) -> None:
    assert attempts["good"].did == ("yes", "yes")
    prediction = check(old_engine, f"{mirror.host}/host/good:1", "good:1")
    assert words(prediction) == ["done already", "done already", "yes"]
    assert "good:1 is already installed with this digest, and enabled" in [one.text for one in prediction.checks]


def test_a_data_root_without_exec_is_predicted(mirror: Mirror, tmp_path: Path) -> None:
    require(Engine.missing())
    require(plugins.missing())
    reference = pushed(mirror, "noexec", Case(), tmp_path)
    with TemporaryDirectory(prefix="nx", dir="/tmp") as place:
        run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", place])
        try:
            with Engine(parent=Path(place)) as engine:
                assert words(check(engine, reference)) == ["yes", "no", "no"]
                told = engine.docker("plugin", "install", reference, check=False)
                assert "exec /volume-driver: permission denied" in told.stderr
        finally:
            run(["umount", place])


def test_the_program_prints_its_prediction(old_engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    reference = pushed(mirror, "printed", Case(change=device("/dev/nope")), tmp_path)
    command = ["host", "check", reference, "--socket", str(old_engine.socket)]
    people, programs = plugin_mirror(*command, check=False), plugin_mirror(*command, "--json", check=False)
    assert (people.exit_code, programs.exit_code) == (1, 1)
    assert people.stdout.splitlines()[-1] == "will install: yes, will enable: no, will be found: no"
    found = json.loads(programs.stdout)
    assert [found[step] for step in ("will_install", "will_enable", "will_be_found")] == ["yes", "no", "no"]
    assert found["engine"] == old_engine.version()
    (missing,) = [one for one in found["checks"] if one["outcome"] == "problem"]
    assert (missing["check"], missing["step"], missing["text"]) == (
        "devices",
        "enable",
        "/dev/nope is missing on the host",
    )
    # The socket is open for its owner and group only.
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    refused = run([*as_nobody, PROGRAM, *command], check=False)
    assert refused.exit_code == 5
    assert "members of group docker only; fix: run this command as root" in refused.stderr


def test_plain_http_is_predicted_and_the_fix_holds(mirror: Mirror, tmp_path: Path) -> None:
    require(Engine.missing(trixie.ENGINE_BINARIES))
    require(plugins.missing())
    pushed(mirror, "good", Case(), tmp_path)
    port = int(mirror.host.rpartition(":")[2])
    # Engines use HTTP in 127.0.0.0/8 by default, and not at ::1.
    with FarLine(port, round_trip_seconds=0, address="::1") as line, Engine(binaries=trixie.ENGINE_BINARIES) as engine:
        reference = f"{line.host}/host/good:1"
        report = check(engine, reference)
        assert words(report) == ["no", "no", "no"]
        (found,) = problems(report)
        assert found.text.startswith(f"{line.host} speaks plain HTTP, and the engine insists on HTTPS")
        assert [one.name for one in report.checks if one.outcome.value == "warning"] == ["cve"]
        told = engine.docker("plugin", "install", reference, check=False)
        assert "server gave HTTP response to HTTPS client" in told.stderr

        lines = re.search(r"\{.*\}", found.fix)
        assert lines is not None
        (engine.folder / "daemon.json").write_text(lines[0])
        os.kill(int((engine.folder / "engine.pid").read_text()), signal.SIGHUP)
        wait_until(lambda: words(check(engine, reference))[0] == "yes", "the engine, with its new list")
        engine.docker("plugin", "install", reference)
