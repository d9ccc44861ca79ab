"""The file for Docker Compose, run by a real engine with the image of `make image`. The network is that of the test."""

import json
import os
import re
import shutil
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins, release_image
from tests.harness.command import run
from tests.harness.compose import compose, missing
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.ports import free_port
from tests.harness.pulling import manifest, take
from tests.harness.pushing import push
from tests.harness.requirement import require
from tests.harness.trixie import COMPOSE

# The first run builds the image.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "deploy/compose"
#: The user of the image.
USER = 10001
NAME, TAG = "vieux/sshfs", "latest"
PASSWORD = "the password"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("compose") / "plugin", payload_size_bytes=100_000))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory, plugin: PackedPlugin) -> Iterator[Mirror]:
    """A registry that asks for the login of the configuration."""
    data = tmp_path_factory.mktemp("upstream") / "data"
    with Mirror(data=data) as mirror:
        push(plugin, mirror.url, NAME, TAG)
        mirror.command("user", "add", "mirror", "--password-stdin", input_text=f"{PASSWORD}\n")
    access = [{"users": ["mirror"], "repositories": ["**"], "actions": ["pull"]}]
    with Mirror(data=data, sections={"server": {"anonymous": []}, "access": access}) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, upstream: Mirror) -> tuple[Path, int]:
    """The folder of the project, and the port of the mirror on this machine's network."""
    require(missing(), release_image.missing())
    folder = tmp_path_factory.mktemp("project") / "compose"
    shutil.copytree(SOURCE, folder)
    secret = folder / "secrets/hub-password"
    secret.parent.mkdir()
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o400)
    os.chown(secret, USER, USER)
    port = free_port()
    (folder / "compose.override.yaml").write_text(f"""\
services:
  plugin-mirror:
    network_mode: host
    ports: !reset []
    environment:
      PLUGIN_MIRROR_SERVER__LISTEN: 127.0.0.1:{port}
      PLUGIN_MIRROR_UPSTREAMS__HUB__URL: {upstream.url}
      PLUGIN_MIRROR_UPSTREAMS__HUB__PLAIN_HTTP: "true"
""")
    return folder, port


@pytest.fixture(scope="module")
def running(engine: Engine, project: tuple[Path, int]) -> Iterator[dict[str, Any]]:
    """What the engine says about the container, which is healthy."""
    folder, _ = project
    release_image.load_image(engine)
    try:
        compose(engine, "up", "--detach", "--wait", folder=folder)
        container = compose(engine, "ps", "--quiet", folder=folder).stdout.strip()
        yield json.loads(engine.docker("inspect", container).stdout)[0]
    finally:
        compose(engine, "down", "--volumes", folder=folder, check=False)


def test_the_container_is_healthy_and_can_do_little(running: dict[str, Any]) -> None:
    host = running["HostConfig"]
    assert running["State"]["Health"]["Status"] == "healthy"
    assert host["ReadonlyRootfs"] is True
    assert (host["CapDrop"], host["Privileged"]) == (["ALL"], False)
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_plugin_is_pulled_with_the_secret_and_outlives_the_container(
    engine: Engine, project: tuple[Path, int], running: dict[str, Any], upstream: Mirror, plugin: PackedPlugin
) -> None:
    folder, port = project
    base = f"http://127.0.0.1:{port}"
    assert manifest(base, NAME, TAG)[2] == plugin.manifest
    for digest in (plugin.config_digest, plugin.layer_digest):
        assert digest_of(take(port, digest, name=NAME).content) == digest
    upstream.stop()
    try:
        compose(engine, "down", folder=folder)
        compose(engine, "up", "--detach", "--wait", folder=folder)
        assert manifest(base, NAME, TAG)[2] == plugin.manifest
    finally:
        upstream.start()


def test_commands_run_as_the_user_of_the_server(
    engine: Engine, project: tuple[Path, int], running: dict[str, Any]
) -> None:
    folder, _ = project
    checked = compose(engine, "exec", "--no-TTY", "plugin-mirror", "plugin-mirror", "config", "check", folder=folder)
    assert "warning" not in checked.stdout + checked.stderr
    user = compose(engine, "exec", "--no-TTY", "plugin-mirror", "id", "-u", folder=folder)
    assert user.stdout.strip() == str(USER)


def test_a_changed_configuration_is_read_again(
    engine: Engine, project: tuple[Path, int], running: dict[str, Any], plugin: PackedPlugin
) -> None:
    folder, port = project
    with pytest.raises(urllib.error.HTTPError, match=r"HTTP Error 40[13]"):
        push(plugin, f"http://127.0.0.1:{port}", "acme/driver", TAG)
    config = folder / "config/config.yaml"
    changed = config.with_suffix(".new")
    changed.write_text(config.read_text().replace("anonymous: [pull]", "anonymous: [pull, push]"))
    changed.rename(config)  # as editors do
    compose(engine, "exec", "--no-TTY", "plugin-mirror", "plugin-mirror", "reload", folder=folder)
    push(plugin, f"http://127.0.0.1:{port}", "acme/driver", TAG)
    assert manifest(f"http://127.0.0.1:{port}", "acme/driver", TAG)[2] == plugin.manifest


def test_a_backup_is_restored_into_a_new_volume(
    engine: Engine, project: tuple[Path, int], running: dict[str, Any], plugin: PackedPlugin, upstream: Mirror
) -> None:
    """The commands are those of docs/BACKUP.md."""
    folder, port = project
    section = (ROOT / "docs/BACKUP.md").read_text().partition("### Docker Compose\n")[2].partition("\n### ")[0]
    back_up, restore = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    as_plugin = f'docker() {{ [ "$1" = compose ] && shift && {COMPOSE} "$@"; }}\n'
    upstream.stop()
    try:
        for commands in (back_up, restore):
            run(["sh", "-ec", as_plugin + commands], environment=engine.client_environment, folder=folder)
        assert manifest(f"http://127.0.0.1:{port}", NAME, TAG)[2] == plugin.manifest
        assert digest_of(take(port, plugin.layer_digest, name=NAME).content) == plugin.layer_digest
    finally:
        upstream.start()
