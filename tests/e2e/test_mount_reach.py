"""Mounts that reach more of a host than their source says: what engines mount, and that they get none of it here."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.packing import PackedPlugin, pack
from tests.harness.pushing import push

pytestmark = pytest.mark.e2e

NO_ROOT: Final = [{"name": "no-root", "action": "deny", "privileges": ["mount=/"]}]
#: Ways to the root folder of the host; their sources name nothing of it.
WAYS: Final[dict[str, dict[str, Any]]] = {
    "overlay": {"Type": "overlay", "Options": ["lowerdir=/:/dev/shm"]},
    "one-option": {"Type": "overlay", "Options": ["ro,lowerdir=/dev/shm:/etc/.."]},
    "escaped": {"Type": "overlay", "Options": [r"lowerdir=\/:/dev/shm"]},
    "process": {"Type": "overlay", "Options": ["lowerdir=/proc/self/root:/dev/shm"]},
    "link": {"Type": "overlay", "Options": ["lowerdir=leads-to-the-root:/dev/shm"]},
    "bound-link": {"Type": "bind", "Source": "/proc/self/cwd/leads-to-the-root", "Options": ["bind"]},
}


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the host, which a plugin that has its root folder can read."""
    file = tmp_path_factory.mktemp("host") / "canary"
    file.write_text("a canary of the host\n")
    if file.stat().st_dev != Path("/").stat().st_dev:
        pytest.skip(f"{file} is in another file system than /, which an overlay of / does not show")
    return file


def attack(folder: Path, way: str, canary: Path) -> PackedPlugin:
    """A volume driver that tells what is in the canary as its version, where its mount shows the host."""
    plugins.volume_plugin(folder)
    rootfs = folder / "rootfs"
    (rootfs / "leads-to-the-root").symlink_to("/")
    (rootfs / "version").unlink()
    (rootfs / "version").symlink_to(f"/host{canary}")
    (rootfs / "way").write_text(way)
    config = json.loads((folder / "config.json").read_bytes())
    config["Mounts"] = [{"Name": "m", "Source": "none", "Destination": "/host", **WAYS[way]}]
    (folder / "config.json").write_text(json.dumps(config))
    return pack(folder)


@pytest.fixture(scope="module")
def strict(registry: DockerRegistry) -> Iterator[Mirror]:
    """A mirror that lets in nothing that mounts the root folder of a host."""
    sections = {
        "admission": {"rules": NO_ROOT},
        "upstreams": {"hub": {"url": registry.url, "plain_http": True}},
        "proxy": [{"from": "hub/attack/*", "to": "pulled/*"}],
        "mirrors": [{"name": "all", "from": "hub/attack/*", "to": "mirrored/*"}],
    }
    with Mirror(sections=sections) as mirror:
        yield mirror


def install(engine: Engine, reference: str) -> bool:
    done = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference, check=False)
    listed = engine.docker("plugin", "ls", "--format", "{{.Name}}").stdout.split()
    assert (reference in listed) == (done.exit_code == 0)
    return done.exit_code == 0


@pytest.mark.parametrize("way", WAYS)
def test_an_engine_mounts_the_host_and_the_policy_keeps_it_out(
    way: str, engine: Engine, registry: DockerRegistry, strict: Mirror, canary: Path, tmp_path: Path
) -> None:
    version = engine.version()[:2]  # each engine its own name
    packed = attack(tmp_path / "plugin", way, canary)
    push(packed, registry.url, f"attack/{way}", version)

    # From a registry without a policy, the plugin reads the host.
    reference = f"{registry.host}/attack/{way}:{version}"
    assert install(engine, reference)
    engine.docker("plugin", "enable", reference)
    engine.docker("volume", "create", "--driver", reference, "--name", f"{way}-{version}")
    read = engine.inspect_volume(f"{way}-{version}")["Status"]["version"]
    engine.docker("volume", "rm", f"{way}-{version}")
    engine.docker("plugin", "rm", "-f", reference)
    assert read == canary.read_text().strip()

    # Pushed, it is refused.
    with pytest.raises(urllib.error.HTTPError) as refused:
        push(packed, strict.url, f"pushed/{way}", version)
    with refused.value as answer:
        (error,) = json.loads(answer.read())["errors"]
    assert (answer.code, error["code"]) == (403, "DENIED")
    assert "is denied by the rule 'no-root': it asks for mount: " in error["message"]
    assert "at /host" in error["message"] or "cannot be resolved" in error["message"]
    assert not install(engine, f"{strict.host}/pushed/{way}:{version}")

    # Pulled through and mirrored, it is denied.
    assert not install(engine, f"{strict.host}/pulled/{way}:{version}")
    done = strict.command("sync", "--json", check=False)
    results = [tag for tag in json.loads(done.stdout)["rules"][0]["tags"] if tag["name"] == f"mirrored/{way}"]
    assert {tag["outcome"] for tag in results} == {"failed"}
    assert not install(engine, f"{strict.host}/mirrored/{way}:{version}")


def test_inspect_lint_and_diff_say_what_is_reached(canary: Path, tmp_path: Path) -> None:
    attack(tmp_path / "attack", "overlay", canary)
    plugins.volume_plugin(tmp_path / "plain")
    words = "mount: / (lowerdir of an overlay mount at /host)"
    assert f"{words}: It reads every file of the host" in " ".join(
        plugin_mirror("inspect", str(tmp_path / "attack")).stdout.split()
    )
    assert words in " ".join(plugin_mirror("lint", str(tmp_path / "attack")).stdout.split())
    done = plugin_mirror("diff", str(tmp_path / "plain"), str(tmp_path / "attack"), check=False)
    assert done.exit_code == 1
    assert "+ mount: / (lowerdir of an overlay mount)" in done.stdout
