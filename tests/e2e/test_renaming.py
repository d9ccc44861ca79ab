"""Renamed plugins on real engines: another name, other defaults, and repaired for old engines."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import CONFIG_TYPE, LAYER_TYPE, PackedPlugin, digest_of, pack, packed_from
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine]

SOCKET = "/run/docker/plugins/volumes.sock"
WORKING = ("--mount", "state=/tmp", "--args", SOCKET)
"""Bind mount that the driver of :func:`contiv` needs."""


def contiv(folder: Path) -> PackedPlugin:
    """Pack a driver with contiv's settings and an unknown config key.

    The driver needs another mount and other args to work.
    """
    plugin = plugins.volume_plugin(folder)
    config = json.loads((plugin / "config.json").read_bytes())
    packed = pack(plugin)
    config |= {
        "manifestVersion": "v0",
        "env": [
            {"Name": "plugin_name", "Value": "contiv/v2plugin:latest", "Settable": ["value"]},
            {"Name": "cluster_store", "Value": "etcd://localhost:2379", "Settable": ["value"]},
        ],
        "mounts": [
            {"type": "bind", "options": ["rbind"], "source": "/nowhere", "destination": "/state", "name": "state"}
        ],
        "Entrypoint": ["/volume-driver"],
        "args": {"name": "args", "value": ["/nowhere.sock"], "settable": ["value"]},
        "rootfs": json.loads(packed.config)["rootfs"],
    }
    return packed_from(json.dumps(config, indent=2).encode(), packed.layer)


def env_of(engine: Engine, name: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in engine.inspect_plugin(name)["Settings"]["Env"])


def remove(engine: Engine, name: str) -> None:
    engine.docker("plugin", "rm", "-f", name)


def test_a_copy_with_other_defaults_installs_and_enables_with_them(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    packed = contiv(tmp_path / "plugin")
    push(packed, mirror.url, "store/contiv/v2plugin", "1.0")
    (tmp_path / "state").mkdir()
    derived = mirror.command(
        *("derive", "store/contiv/v2plugin:1.0", "site/network:1.0"),
        *("--env", "plugin_name=site/network:1.0", "--env", "cluster_store=etcd://10.0.0.5:2379"),
        *("--mount", f"state={tmp_path / 'state'}", "--args", f"'{SOCKET}'", "--json"),
    )
    made = json.loads(derived.stdout)
    assert made["moved_bytes"] == 0

    reference = f"{mirror.host}/site/network:1.0"
    installed = engine.docker("plugin", "install", "--grant-all-permissions", reference)
    assert f"Digest: {made['digest']}\n" in installed.stdout
    described = engine.inspect_plugin(reference)
    assert described["Enabled"]
    assert env_of(engine, reference) == {"plugin_name": "site/network:1.0", "cluster_store": "etcd://10.0.0.5:2379"}
    assert described["Settings"]["Args"] == [SOCKET]
    assert [mount["Source"] for mount in described["Config"]["Mounts"]] == [str(tmp_path / "state")]
    engine.docker("volume", "create", "--driver", reference, "kept")
    assert engine.inspect_volume("kept")["Status"] == {"version": "1"}
    engine.docker("volume", "rm", "kept")
    remove(engine, reference)

    original = engine.docker(
        "plugin", "install", "--disable", "--grant-all-permissions", f"{mirror.host}/store/contiv/v2plugin:1.0"
    )
    assert f"Digest: {packed.manifest_digest}\n" in original.stdout
    remove(engine, f"{mirror.host}/store/contiv/v2plugin:1.0")


def test_another_name_installs_with_the_same_digest(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    packed = pack(plugins.volume_plugin(tmp_path / "plugin"))
    push(packed, mirror.url, "store/acme/volumes", "1.0")
    mirror.command("tag", "store/acme/volumes:1.0", "volumes:stable")
    reference = f"{mirror.host}/volumes:stable"
    installed = engine.docker("plugin", "install", reference)
    assert f"Digest: {packed.manifest_digest}\n" in installed.stdout
    assert engine.inspect_plugin(reference)["Enabled"]
    remove(engine, reference)


def test_a_mended_copy_of_what_an_engine_made_installs_and_enables(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    created, mended = f"{mirror.host}/acme/created:1", f"{mirror.host}/acme/mended:1"
    engine.docker("plugin", "create", created, str(plugins.volume_plugin(tmp_path / "plugin", version="mended")))
    engine.docker("plugin", "push", created)
    remove(engine, created)
    assert _findings(mirror, "acme/created:1") == ["diff-ids-compressed"]

    told = mirror.command("derive", "acme/created:1", "acme/mended:1", "--fix").stdout
    assert "  diff_ids: those of the uncompressed layers\n" in told
    assert _findings(mirror, "acme/mended:1") == []
    engine.docker("plugin", "install", mended)
    assert engine.inspect_plugin(mended)["Enabled"]
    remove(engine, mended)


def test_an_oci_manifest_of_somebody_else_is_mended_too(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    packed = contiv(tmp_path / "plugin")
    oci, oci_layer = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
    body = json.loads(packed.manifest) | {"mediaType": oci}
    body["layers"][0]["mediaType"] = oci_layer
    push(packed, mirror.url, "acme/oci", "docker")
    content = json.dumps(body).encode()
    put = urllib.request.Request(
        f"{mirror.url}/v2/acme/oci/manifests/1", data=content, headers={"Content-Type": oci}, method="PUT"
    )
    with urllib.request.urlopen(put, timeout=120) as answer:
        assert answer.headers["Docker-Content-Digest"] == digest_of(content)

    mirror.command("derive", "acme/oci:1", "acme/docker:1", "--fix", *WORKING)
    shown = json.loads(mirror.command("inspect", "acme/docker:1", "--json").stdout)
    # The copy still has the name of the original in plugin_name.
    assert [(finding["code"], finding["severity"]) for finding in shown["findings"]] == [("own-name", "warning")]
    assert [blob["mediaType"] for blob in shown["blobs"]] == [CONFIG_TYPE, LAYER_TYPE]
    assert shown["derivation"]["original"] == digest_of(content)
    reference = f"{mirror.host}/acme/docker:1"
    engine.docker("plugin", "install", "--grant-all-permissions", reference)
    assert engine.inspect_plugin(reference)["Enabled"]
    remove(engine, reference)


@pytest.fixture
def upstream() -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        yield registry


def rule(url: str) -> dict[str, Any]:
    """Return a rule with two target names. The plugins get their own name as a default."""
    return {
        "upstreams": {"hub": {"url": url, "plain_http": True}},
        "mirrors": [
            {
                "name": "contiv",
                "from": "hub/store/contiv/v2plugin",
                "to": ["contiv/v2plugin", "site/network"],
                "derive": {
                    "env": {"plugin_name": "{name}:{tag}"},
                    "mounts": {"state": "/tmp"},
                    "args": [SOCKET],
                },
            }
        ],
    }


def test_a_rule_with_changes_follows_a_moved_tag(engine: Engine, upstream: DockerRegistry, tmp_path: Path) -> None:
    first, second = contiv(tmp_path / "1"), pack(plugins.volume_plugin(tmp_path / "2", version="2"))
    push(first, upstream.url, "store/contiv/v2plugin", "1.0")
    with Mirror(sections=rule(upstream.url)) as mirror:
        planned = mirror.command("sync", "--dry-run").stdout
        told = mirror.command("sync")
        for shown in (planned, told.stderr):
            assert 'env plugin_name: "contiv/v2plugin:latest" -> "contiv/v2plugin:1.0"' in shown
        name = "site/network:1.0"
        printed = mirror.command("inspect", name, "--as", "docker").stdout.splitlines()[0]
        assert printed == f"docker plugin install --alias {name} {mirror.host}/{name}"
        engine.docker("plugin", "install", "--grant-all-permissions", *printed.split()[3:])
        described = engine.inspect_plugin(name)
        assert env_of(engine, name)["plugin_name"] == described["Name"]
        assert described["Enabled"]
        before = digest(mirror, "site/network:1.0")
        assert mirror.command("sync").stdout == "nothing to copy: 0 copied, 2 unchanged, 0 failed\n"
        assert digest(mirror, "site/network:1.0") == before
        assert digest(mirror, f"site/network@{first.manifest_digest}") == first.manifest_digest

        moved = packed_from(first.config.replace(b"localhost:2379", b"localhost:4001"), second.layer)
        push(moved, upstream.url, "store/contiv/v2plugin", "1.0")
        again = mirror.command("sync").stderr
        assert f"moved: site/network:1.0 from {before} to {digest(mirror, 'site/network:1.0')}" in again
        shown = mirror.command("inspect", "site/network:1.0").stdout
        assert f"hub/store/contiv/v2plugin@{moved.manifest_digest} by rule contiv" in shown
        assert (
            'tags of this rule are derived copies with env plugin_name="{name}:{tag}"'
            in mirror.command("status").stdout
        )
        engine.docker("plugin", "disable", name)
        engine.docker("plugin", "upgrade", "--grant-all-permissions", name, f"{mirror.host}/{name}")
        engine.docker("plugin", "enable", name)
        # An upgrade keeps the settings of the host and takes the new defaults.
        defaults = {env["Name"]: env["Value"] for env in engine.inspect_plugin(name)["Config"]["Env"]}
        assert defaults == {"plugin_name": "site/network:1.0", "cluster_store": "etcd://localhost:4001"}
        remove(engine, name)


def digest(mirror: Mirror, reference: str) -> str:
    return str(json.loads(mirror.command("inspect", reference, "--json").stdout)["digest"])


def _findings(mirror: Mirror, reference: str) -> list[str]:
    shown = json.loads(mirror.command("inspect", reference, "--json").stdout)
    return [finding["code"] for finding in shown["findings"]]
