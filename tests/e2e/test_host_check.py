"""Predictions of `host check` compared with what an engine does when the plugin is installed and enabled."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.harness import plugins, trixie
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.far_line import FarLine
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.support.rootfs import elf

pytestmark = pytest.mark.e2e

Config = dict[str, Any]
STEPS = ("will_install", "will_enable", "will_be_found")


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


UNSET = mount(Source=None, Settable=["source"])
FAILS = ("yes", "no")
CASES = {
    "good": Case(),
    "folder": Case(FAILS, mount(Source="/nope"), engine_says="stat /nope: no such file", told="/nope is missing"),
    "device": Case(FAILS, device("/dev/nope"), engine_says='"/dev/nope": no such file', told="/dev/nope is missing"),
    "file": Case(FAILS, device("/etc/hostname"), engine_says="not a device node", told="/etc/hostname is not a device"),
    "devices": Case(change=device("/dev/net")),
    "emptied": Case(FAILS, device("", "path"), engine_says='custom device ""', told="device d must be set"),
    "machine": Case(FAILS, program=elf(183), engine_says="no such file", told="linux/arm64 (from its programs)"),
    "unset": Case(FAILS, UNSET, engine_says="mount source is not specified", told="mount m must be set"),
    "set": Case(change=UNSET, settings=("m=/tmp",)),
    "set-wrong": Case(FAILS, UNSET, ("m=/nope",), engine_says="stat /nope: no such file", told="/nope is missing"),
    "unknown": Case(FAILS, settings=("nope=1",), engine_says='setting "nope" not found', told="nope is not a setting"),
    "taken": Case(("no", "no"), engine_says="already exists", told="is already installed, with digest"),
}


@contextmanager
def packed(mirror: Mirror, name: str, case: Case) -> Iterator[str]:
    """Pack the plugin of a case, and yield its reference."""
    with TemporaryDirectory() as place:
        folder = plugins.volume_plugin(Path(place) / "plugin")
        config = json.loads((folder / "config.json").read_bytes()) | (case.change or {})
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "rootfs/unique").write_text(name)
        if case.program is not None:
            (folder / "rootfs/volume-driver").write_bytes(case.program)
        plugin_mirror("pack", str(folder), "-t", f"{mirror.host}/host/{name}:1")
    yield f"{mirror.host}/host/{name}:1"


def check(engine: Engine, reference: str, *options: str) -> dict[str, Any]:
    """Return what the program predicts."""
    done = plugin_mirror("host", "check", reference, "--socket", str(engine.socket), *options, "--json", check=False)
    assert done.exit_code in {0, 1}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == int("no" in {found[step] for step in STEPS})
    return found


@dataclass(frozen=True)
class Outcome:
    """Prediction for a plugin, and what the engine did."""

    predicted: dict[str, Any]
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
def outcomes(old_engine: Engine, mirror: Mirror) -> dict[str, Outcome]:
    """Check, install and enable each plugin. They run at the same time, since engines wait 13 s for a socket."""
    taken = CASES["good"]
    with packed(mirror, "other", taken) as reference:
        old_engine.docker("plugin", "install", "--disable", "--alias", "taken:1", reference)

    def attempt(name: str) -> Outcome:
        case = CASES[name]
        with packed(mirror, name, case) as reference:
            options = [word for setting in case.settings for word in ("--set", setting)]
            predicted = check(old_engine, reference, "--alias", f"{name}:1", *options)
            grant = ("--disable", "--grant-all-permissions", "--alias", f"{name}:1")
            install = old_engine.docker("plugin", "install", *grant, reference, *case.settings, check=False)
            if install.exit_code != 0 and not case.settings:
                return Outcome(predicted, ("no", "no"), install.stderr)
            if install.exit_code != 0:  # the engine keeps the plugin when a setting is refused
                return Outcome(predicted, ("yes", "no"), install.stderr)
            enable = old_engine.docker("plugin", "enable", f"{name}:1", check=False)
            return Outcome(predicted, ("yes", "yes" if enable.exit_code == 0 else "no"), enable.stderr)

    with ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(attempt, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_engine_does_what_was_predicted(name: str, outcomes: dict[str, Outcome]) -> None:
    case, found = CASES[name], outcomes[name]
    assert found.did == case.predicted
    assert (found.predicted["will_install"], found.predicted["will_enable"]) == case.predicted
    assert case.engine_says in found.said
    problems = [one["text"] for one in found.predicted["checks"] if one["outcome"] == "problem"]
    assert [case.told in text for text in problems] == [True] * (case.predicted != ("yes", "yes"))


def test_the_engine_finds_the_driver_under_its_local_name(old_engine: Engine, outcomes: dict[str, Outcome]) -> None:
    assert outcomes["good"].predicted["will_be_found"] == "yes"
    old_engine.docker("volume", "create", "-d", "good:1", "v")
    old_engine.docker("volume", "rm", "v")


def test_an_installed_plugin_is_known_by_its_digest(
    old_engine: Engine, mirror: Mirror, outcomes: dict[str, Outcome]
) -> None:
    found = check(old_engine, f"{mirror.host}/host/good:1", "--alias", "good:1")
    (name,) = [one for one in found["checks"] if one["check"] == "name"]
    assert name["text"] == "good:1 is already installed with this digest, and enabled"


def test_a_data_root_without_exec_is_predicted(mirror: Mirror) -> None:
    require(Engine.missing())
    with TemporaryDirectory(prefix="nx", dir="/tmp") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", place], check=True)
        try:
            with Engine(parent=Path(place)) as engine, packed(mirror, "noexec", Case()) as reference:
                found = check(engine, reference)
                assert [found[step] for step in STEPS] == ["yes", "no", "no"]
                told = engine.docker("plugin", "install", reference, check=False)
                assert "exec /volume-driver: permission denied" in told.stderr
        finally:
            subprocess.run(["umount", place], check=True)


def test_a_socket_of_another_user_is_local_trouble(old_engine: Engine, mirror: Mirror) -> None:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with packed(mirror, "good", CASES["good"]) as reference:
        done = run([*as_nobody, PROGRAM, "host", "check", reference, "--socket", str(old_engine.socket)], check=False)
        nowhere = plugin_mirror("host", "check", reference, "--socket", "/nope.sock", check=False)
    assert (done.exit_code, nowhere.exit_code) == (5, 3)
    assert "members of group docker only; fix: run this command as root" in done.stderr
    assert "no Docker Engine can be reached at /nope.sock" in nowhere.stderr


def test_plain_http_is_predicted_and_the_fix_holds(mirror: Mirror) -> None:
    require(Engine.missing(trixie.ENGINE_BINARIES))
    port = int(mirror.host.rpartition(":")[2])
    # Engines use HTTP in 127.0.0.0/8 by default, and not at ::1.
    with (
        FarLine(port, round_trip_seconds=0, address="::1") as line,
        Engine(binaries=trixie.ENGINE_BINARIES) as engine,
        packed(mirror, "good", CASES["good"]),
    ):
        reference = f"{line.host}/host/good:1"
        found = check(engine, reference)
        (registry,) = [one for one in found["checks"] if one["outcome"] == "problem"]
        assert [found[step] for step in STEPS] == ["no", "no", "no"]
        assert registry["text"].startswith(f"{line.host} speaks plain HTTP, and the engine insists on HTTPS")
        told = engine.docker("plugin", "install", reference, check=False)
        assert "server gave HTTP response to HTTPS client" in told.stderr
        assert [one["check"] for one in found["checks"] if one["outcome"] == "warning"] == ["cve"]

        lines = re.search(r"\{.*\}", registry["fix"])
        assert lines is not None
        (engine.folder / "daemon.json").write_text(lines[0])
        os.kill(int((engine.folder / "engine.pid").read_text()), signal.SIGHUP)
        wait_until(lambda: check(engine, reference)["will_install"] == "yes", "the engine, with its new list")
        engine.docker("plugin", "install", reference)
