"""`doctor` beside real engines: what it quotes is what the engine says, and its fixes hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins, trixie
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.far_line import FarLine
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.no_network import no_network
from tests.harness.packing import pack
from tests.harness.ports import free_port
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The system's engine."""
    require(Engine.missing())
    require(plugins.missing())
    with Engine() as running:
        yield running


@pytest.fixture(scope="module")
def held(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Reference of a plugin that the mirror has."""
    push(pack(plugins.volume_plugin(tmp_path_factory.mktemp("made"))), mirror.url, "doctor/held", "1")
    return f"{mirror.host}/doctor/held:1"


def doctor(engine: Engine, reference: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the checks."""
    done = plugin_mirror("doctor", reference, "--socket", str(engine.socket), "--json", check=False)
    checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    return done.exit_code, checks


def install(engine: Engine, reference: str) -> str:
    """Return what the engine says about an install that fails."""
    done = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference, check=False)
    assert done.exit_code != 0
    return done.stderr


def quoted_words(checks: list[dict[str, Any]]) -> list[str]:
    """Return the messages of engines that the first problem quotes."""
    first = next(check for check in checks if check["outcome"] == "problem")
    return re.findall(r'"([^"]+)"', first["text"])


def test_a_sound_plugin_has_no_problem(engine: Engine, held: str) -> None:
    code, checks = doctor(engine, held)
    assert [check for check in checks if check["outcome"] == "problem"] == []
    assert code == 0
    assert {"docker", "tcp", "http", "api", "manifest", "blobs", "registry", "engine"} <= {
        one["check"] for one in checks
    }


@pytest.mark.parametrize("path", ["doctor/none:1", "doctor/held:none"])
def test_what_is_missing_is_told_in_the_words_of_the_engine(
    path: str, engine: Engine, mirror: Mirror, held: str
) -> None:
    reference = f"{held.partition('/')[0]}/{path}"
    code, checks = doctor(engine, reference)
    assert code == 1
    said = install(engine, reference)
    assert any(words in said for words in quoted_words(checks))


def test_a_port_where_nobody_listens(engine: Engine) -> None:
    reference = f"127.0.0.1:{free_port()}/a/b:1"
    code, checks = doctor(engine, reference)
    assert code == 1
    assert all(words in install(engine, reference) for words in quoted_words(checks))


def test_plain_http_that_the_engine_refuses(mirror: Mirror, held: str) -> None:
    require(Engine.missing(trixie.ENGINE_BINARIES))
    port = int(mirror.host.rpartition(":")[2])
    # Engines use HTTP in 127.0.0.0/8 by default, and not at ::1.
    with FarLine(port, round_trip_seconds=0, address="::1") as line, Engine(binaries=trixie.ENGINE_BINARIES) as newer:
        reference = f"{line.host}/{held.partition('/')[2]}"
        code, checks = doctor(newer, reference)
        assert code == 1
        assert all(words in install(newer, reference) for words in quoted_words(checks))
        assert any("insecure-registries" in (check["fix"] or "") for check in checks)


def test_a_registry_mirror_is_asked_for_a_name_of_docker_hub(tmp_path: Path) -> None:
    require(Engine.missing(), plugins.missing())
    made = pack(plugins.volume_plugin(tmp_path, network="bridge"))
    with no_network(), Mirror() as mirror:
        push(made, mirror.url, "doctor/mirrored", "1")
        daemon_json = {"registry-mirrors": [mirror.url]}
        with Engine(daemon_json=daemon_json, own_etc={"docker/daemon.json": json.dumps(daemon_json)}) as engine:
            command = [PROGRAM, "doctor", "docker.io/doctor/mirrored:1", "--socket", str(engine.socket), "--json"]
            checks = json.loads(run([*engine.on_the_host, *command]).stdout)["checks"]
            assert [check["text"] for check in checks if check["check"] == "mirrors"] == [
                f"engines ask {mirror.host} first for doctor/mirrored:1, because of registry-mirrors in daemon.json, "
                f"and {mirror.host} has the plugin"
            ]
            # The engine agrees: nothing but the mirror can be reached here.
            engine.docker("plugin", "install", "--disable", "--grant-all-permissions", "doctor/mirrored:1")
        fix = next(check["fix"] for check in checks if check["check"] == "warnings")
        assert fix.startswith("plugin-mirror lint ")
        assert "network type 'bridge'" in plugin_mirror(*fix.split()[1:]).stdout


def test_people_get_lines_and_programs_json(engine: Engine, held: str, tmp_path: Path) -> None:
    done = plugin_mirror("doctor", held, "--socket", str(engine.socket), "--quick")
    first, *_, last = done.stdout.splitlines()
    assert first == f"the way of this host to {held}"
    assert last.startswith("will install: yes")
    assert done.stderr == ""
