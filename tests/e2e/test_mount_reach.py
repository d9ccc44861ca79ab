"""A mount whose options name the host's root: engines mount it without asking, and rules about paths deny it."""

from __future__ import annotations

import json
import tempfile
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import PackedPlugin, pack
from tests.harness.pushing import push

pytestmark = pytest.mark.e2e

#: Mount options that name the host's root although the source of the mount is another one.
OPTIONS: Final = {
    "lowerdir": ["lowerdir=/:/dev/shm"],
    "among-others-in-one-option": ["ro,lowerdir=/:/dev/shm"],
    "escaped": ["lowerdir=/dev/shm:\\/"],
    "by-a-process": ["lowerdir=/proc/1/root:/dev/shm"],
    "by-a-detour": ["lowerdir=/var/.././/:/dev/shm"],
}
CANARY: Final = "seen through the plugin's mount"


def overlay(folder: Path, options: list[str], version: str) -> PackedPlugin:
    """Pack a volume driver with an overlay mount at /host."""
    plugin = plugins.volume_plugin(folder / version, version=version)
    (plugin / "rootfs/host").mkdir()
    config: dict[str, Any] = json.loads((plugin / "config.json").read_bytes())
    mount = {"Name": "host", "Type": "overlay", "Source": "overlay", "Destination": "/host", "Options": options}
    (plugin / "config.json").write_text(json.dumps({**config, "Mounts": [mount]}))
    return pack(plugin)


@pytest.fixture(scope="module")
def upstream(registry: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> DockerRegistry:
    folder = tmp_path_factory.mktemp("plugins")
    for name, options in OPTIONS.items():
        push(overlay(folder, options, name), registry.url, f"upstream/{name}", "1")
    return registry


@pytest.fixture(scope="module")
def strict(upstream: DockerRegistry) -> Iterator[Mirror]:
    sections = {
        "admission": {"rules": [{"name": "no-root", "action": "deny", "privileges": ["mount=/"]}]},
        "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
        "proxy": [{"from": "hub/upstream/*", "to": "pulled/*"}],
        "mirrors": [{"name": "all", "from": "hub/upstream/*", "to": "mirrored/*"}],
    }
    with Mirror(sections=sections) as mirror:
        yield mirror


def installed(engine: Engine, reference: str, *more: str) -> bool:
    done = engine.docker("plugin", "install", "--grant-all-permissions", *more, reference, check=False)
    return done.exit_code == 0


def roots_with(path: str, plugin_id: str) -> list[Path]:
    """Return `path` as seen by each process of the driver of one plugin. Other engines may run the same driver."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                plugin_id in (process / "mountinfo").read_text()
                and b"volume-driver" in (process / "cmdline").read_bytes()
            ):
                found.append(process / "root" / path.lstrip("/"))
        except OSError:
            continue
    return found


def test_an_engine_mounts_the_host(engine: Engine, upstream: DockerRegistry) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="canary-") as folder:
        canary = Path(folder) / "canary"
        canary.write_text(CANARY)
        reference = f"{upstream.host}/upstream/lowerdir:1"
        assert installed(engine, reference)
        try:
            plugin_id = engine.inspect_plugin(reference)["Id"]
            seen = [path.read_text() for path in roots_with(f"/host{canary}", plugin_id) if path.exists()]
        finally:
            engine.docker("plugin", "disable", "--force", reference)
            engine.docker("plugin", "rm", reference)
        assert seen == [CANARY]


@pytest.mark.parametrize("name", OPTIONS)
def test_none_is_installed_against_the_rule(engine: Engine, strict: Mirror, name: str) -> None:
    assert not installed(engine, f"{strict.host}/pulled/{name}:1", "--disable")


def test_none_is_mirrored_or_taken_by_push(strict: Mirror, tmp_path: Path) -> None:
    done = json.loads(strict.command("sync", "--json", check=False).stdout)
    errors = {result["name"]: result["error"] or "" for result in done["rules"][0]["tags"]}
    assert {name for name, error in errors.items() if "'no-root'" in error} == {f"mirrored/{name}" for name in OPTIONS}
    for name, options in OPTIONS.items():
        with pytest.raises(urllib.error.HTTPError) as refused:
            push(overlay(tmp_path, options, name), strict.url, f"pushed/{name}", "1")
        with refused.value as answer:
            (error,) = json.loads(answer.read())["errors"]
        assert answer.code == 403
        assert "by the rule 'no-root': it asks for " in error["message"], error


def test_it_is_shown(strict: Mirror, upstream: DockerRegistry) -> None:
    reference = f"{upstream.host}/upstream/lowerdir:1"
    for command in ("inspect", "lint"):
        told = strict.command(command, reference, check=False)
        assert "lowerdir" in told.stdout, told
        assert "/host" in told.stdout, told
