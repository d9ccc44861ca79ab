"""Tests of the harness with real programs."""

import json
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import plugins, skopeo
from tests.harness.command import CommandFailedError
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import PLUGIN_SOCKETS, Engine, engine_release
from tests.harness.far_line import FarLine
from tests.harness.held_line import HeldLine
from tests.harness.leftovers import mounts_below, processes_naming
from tests.harness.packing import MANIFEST_TYPE, legacy_manifest, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e


def fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": MANIFEST_TYPE})
    with urllib.request.urlopen(request, timeout=120) as response:
        content: bytes = response.read()
        return content


def test_client_and_daemon_are_both_of_the_release_asked_for(engine: Engine, binaries: Path | None) -> None:
    versions = json.loads(engine.docker("version", "--format", "{{json .}}").stdout)
    release = f"{engine_release(binaries)}."
    assert versions["Client"]["Version"].startswith(release)
    assert versions["Server"]["Version"].startswith(release)
    assert versions["Client"]["ApiVersion"] == versions["Server"]["ApiVersion"]


def test_a_packed_plugin_is_what_the_engine_would_have_pushed(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    folder = plugins.contiv_plugin(tmp_path / "contiv")
    reference = f"{registry.host}/packed/by-engine:1"
    engine.docker("plugin", "create", reference, str(folder))
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)
    base = f"{registry.url}/v2/packed/by-engine"
    manifest = fetch(f"{base}/manifests/1")
    config = fetch(f"{base}/blobs/{json.loads(manifest)['config']['digest']}")

    def without_engine(text: bytes) -> bytes:
        """Remove the parts that depend on the engine: its version, the wrong diff id, digests and sizes."""
        text = re.sub(rb'"DockerVersion":"[^"]*",', b"", text)
        return re.sub(rb'"sha256:[0-9a-f]{64}"|"size":\d+', b"#", text)

    packed = pack(folder)
    assert without_engine(packed.config) == without_engine(config)
    assert without_engine(packed.manifest) == without_engine(manifest)


def test_a_packed_plugin_is_enabled_by_the_engine(engine: Engine, registry: DockerRegistry, tmp_path: Path) -> None:
    require(plugins.missing())
    packed = pack(plugins.volume_plugin(tmp_path / "3", version="3", capabilities=["CAP_SYS_TIME"]))
    push(packed, registry.url, "acme/packed", "3", manifest=legacy_manifest(packed))
    installed = engine.docker("plugin", "install", f"{registry.host}/acme/packed:3", input_text="y\n")
    assert " - capabilities: [CAP_SYS_TIME]\n" in installed.stdout
    engine.docker("volume", "create", "-d", f"{registry.host}/acme/packed:3", "shelf")
    assert engine.inspect_volume("shelf")["Status"] == {"version": "3"}
    engine.docker("volume", "rm", "shelf")
    engine.docker("plugin", "rm", "-f", f"{registry.host}/acme/packed:3")


def test_a_far_line_brings_everything_and_takes_its_time(registry: DockerRegistry, tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=1_200_000))
    push(packed, registry.url, "far/v2plugin", "1")
    with FarLine(registry.port, round_trip_seconds=0.1) as line:
        begin = time.monotonic()
        manifest = fetch(f"{line.url}/v2/far/v2plugin/manifests/1")
        seconds = time.monotonic() - begin
        assert fetch(f"{line.url}/v2/far/v2plugin/blobs/{packed.layer_digest}") == packed.layer
    assert manifest == packed.manifest
    assert seconds >= 0.2, "one round trip to connect, and one for the answer"


def test_a_held_line_goes_on_when_it_is_released(registry: DockerRegistry, tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "plugin", payload_size_bytes=1_000_000))
    push(packed, registry.url, "held/plugin", "1")
    with HeldLine(registry.port, hold_after_bytes=500_000) as line, ThreadPoolExecutor(1) as thread:
        url = f"http://127.0.0.1:{line.port}/v2/held/plugin/blobs/{packed.layer_digest}"
        fetched = thread.submit(fetch, url)
        wait_until(line.held.is_set, "the line to be held")
        assert not fetched.done()
        line.released.set()
        assert fetched.result() == packed.layer


def test_an_engine_has_its_own_etc(binaries: Path | None) -> None:
    def machine() -> tuple[list[Path], list[Path]]:
        return sorted(Path("/etc").iterdir()), mounts_below(Path("/etc"))

    before = machine()
    with Engine(binaries=binaries, own_etc={"hosts": "192.0.2.1 mirror.test\n", "some/file": "given"}) as engine:
        assert (engine.etc / "some/file").read_text() == "given"
        engine.as_host("sh", "-ec", "getent hosts mirror.test && echo written >/etc/some/other")
        assert (engine.etc / "passwd").read_text() == Path("/etc/passwd").read_text()
        engine.restart()
        assert (engine.etc / "some/other").read_text() == "written\n"
    assert machine() == before


def test_skopeo_copies_and_inspects(registry: DockerRegistry, tmp_path: Path) -> None:
    require(skopeo.missing())
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=1_200_000))
    manifest = legacy_manifest(packed)
    assert len(manifest) == 519
    push(packed, registry.url, "golden/v2plugin", "1", manifest=manifest)
    source = f"docker://{registry.host}/golden/v2plugin:1"
    target = f"docker://{registry.host}/golden/copy:1"
    skopeo.copy(source, f"dir:{tmp_path / 'dir'}")
    skopeo.copy(f"dir:{tmp_path / 'dir'}", target)
    assert skopeo.inspect(target, raw=True).stdout_bytes == manifest


def test_two_engines_at_once_leave_nothing_behind(binaries: Path | None, tmp_path: Path) -> None:
    require(plugins.missing())
    folder = plugins.volume_plugin(tmp_path / "4", version="4")
    traces = []
    with Engine(binaries=binaries) as first, Engine(binaries=binaries) as second:
        for number, engine in enumerate((first, second)):
            engine.docker("plugin", "create", "volumes:4", str(folder))
            engine.docker("plugin", "enable", "volumes:4")
            engine.docker("volume", "create", "-d", "volumes:4", f"shelf{number}")
            plugin_id = engine.inspect_plugin("volumes:4")["Id"]
            traces.append((engine.folder, plugin_id, engine.shim_socket(plugin_id)))
            assert engine.shim_socket(plugin_id).exists()
        assert "shelf1" not in first.docker("volume", "ls", "-q").stdout
        assert processes_naming([traces[1][1]])
        second.restart(crash=True)
        assert second.inspect_plugin("volumes:4")["Id"] == traces[1][1]
    for folder, plugin_id, shim_socket in traces:
        assert not folder.exists()
        assert not mounts_below(folder)
        assert not processes_naming([str(folder), plugin_id])
        assert not (PLUGIN_SOCKETS / plugin_id).exists()
        assert not shim_socket.exists()


def test_a_failing_command_shows_what_the_client_and_the_daemon_said(engine: Engine) -> None:
    with pytest.raises(CommandFailedError, match="nobody/nothing"):
        engine.docker("plugin", "enable", "nobody/nothing")
    assert engine.docker("plugin", "enable", "nobody/nothing", check=False).exit_code == 1
