"""A mirror rule with a real registry, which is then lost for good."""

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE, digest_of, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.terminal import run_at_terminal

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine]

TAG = "1.0.0-beta.3"
THERE, HERE = "store/contiv/v2plugin", "contiv/v2plugin"
MIB = 1024 * 1024


def rules(url: str) -> dict[str, Any]:
    """Return the rule of the documentation with another upstream."""
    return {
        "upstreams": {"hub": {"url": url, "plain_http": True}},
        "mirrors": [
            {
                "name": "contiv",
                "from": f"hub/{THERE}",
                "to": HERE,
                "tags": {"include": ["1.0.0-beta.*"], "exclude": ["*-rc*"], "newest": 5},
                "every": "6h",
            }
        ],
    }


def config_file(folder: Path, url: str) -> str:
    path = folder / "config.yaml"
    path.write_text(json.dumps(rules(url) | {"storage": {"path": str(folder / "data")}}))
    return str(path)


def manifest(url: str, repository: str, tag: str) -> tuple[bytes, str]:
    """Return the bytes and the digest of a tag's manifest."""
    request = urllib.request.Request(f"{url}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST_TYPE})
    with urllib.request.urlopen(request, timeout=120) as response:
        return response.read(), response.headers["Docker-Content-Digest"]


def blob_digest(url: str, repository: str, digest: str) -> str:
    with urllib.request.urlopen(f"{url}/v2/{repository}/blobs/{digest}", timeout=120) as response:
        return digest_of(response.read())


@pytest.fixture
def upstream() -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        yield registry


def test_a_mirrored_and_renamed_plugin_is_installed_after_its_upstream_is_gone(
    engine: Engine, upstream: DockerRegistry, tmp_path: Path
) -> None:
    reference = f"{upstream.host}/{THERE}:{TAG}"
    engine.docker("plugin", "create", reference, str(plugins.contiv_plugin(tmp_path / "contiv")))
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)
    pushed, pushed_digest = manifest(upstream.url, THERE, TAG)

    with Mirror(sections=rules(upstream.url)) as mirror:
        first = mirror.command("sync")
        assert f"{HERE}:{TAG} copied" in first.stderr
        assert first.stdout.startswith("1 copied, 0 unchanged, 0 failed")
        second = mirror.command("sync")
        assert second.stdout == "nothing to copy: 0 copied, 1 unchanged, 0 failed\n"

        upstream.stop()

        assert manifest(mirror.url, HERE, TAG) == (pushed, pushed_digest)
        described = json.loads(pushed)
        for blob in [described["config"], *described["layers"]]:
            assert blob_digest(mirror.url, HERE, blob["digest"]) == blob["digest"]
        installed = engine.docker("plugin", "install", "--disable", f"{mirror.host}/{HERE}:{TAG}", input_text="y\n")
        assert f"Digest: {pushed_digest}\n" in installed.stdout
        assert f"Installed plugin {mirror.host}/{HERE}:{TAG}\n" in installed.stdout
        engine.docker("plugin", "rm", f"{mirror.host}/{HERE}:{TAG}")

        third = mirror.command("sync", check=False)
        assert third.exit_code == 3
        assert "hub" in third.stderr
        assert manifest(mirror.url, HERE, TAG) == (pushed, pushed_digest)


def test_only_the_tags_of_the_rule_are_copied(upstream: DockerRegistry, tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv"))
    for tag in (*(f"1.0.0-beta.{number}" for number in range(1, 12)), "1.0.0-beta.9-rc1", "1.0.0", "latest"):
        push(packed, upstream.url, THERE, tag)
    config = config_file(tmp_path, upstream.url)
    plugin_mirror("sync", "--config", config)
    listed = json.loads(plugin_mirror("ls", HERE, "--json", "--config", config).stdout)
    assert {row["tag"] for row in listed} == {f"1.0.0-beta.{number}" for number in range(7, 12)}
    assert {row["kind"] for row in listed} == {"plugin"}


def test_a_tag_that_fails_does_not_stop_the_others(upstream: DockerRegistry, tmp_path: Path) -> None:
    good = pack(plugins.contiv_plugin(tmp_path / "good"))
    bad = pack(plugins.contiv_plugin(tmp_path / "bad", payload_size_bytes=1000))
    push(bad, upstream.url, THERE, "1.0.0-beta.2")
    push(good, upstream.url, THERE, "1.0.0-beta.1")
    hexadecimal = bad.layer_digest.removeprefix("sha256:")
    blobs = upstream.folder / "storage/docker/registry/v2/blobs/sha256"
    (blobs / hexadecimal[:2] / hexadecimal / "data").write_bytes(b"another content")

    done = plugin_mirror("sync", "--config", config_file(tmp_path, upstream.url), check=False)

    assert done.exit_code == 3
    assert f"{HERE}:1.0.0-beta.2 failed" in done.stderr
    assert f"{HERE}:1.0.0-beta.1 copied" in done.stderr
    assert done.stdout.startswith("1 copied, 0 unchanged, 1 failed")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_goes_on_where_it_was(
    upstream: DockerRegistry, tmp_path: Path, number: signal.Signals
) -> None:
    require(Nginx.missing())
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=16 * MIB))
    push(packed, upstream.url, THERE, TAG)
    data = tmp_path / "data"

    with Nginx.front(upstream.url, unlimited_bytes=5 * MIB, limit_rate_bytes_per_second=MIB) as slow:
        config = config_file(tmp_path, slow.url)
        # If a shell runs the tests in the background, SIGINT is ignored, and child processes inherit this.
        command = ["env", "--default-signal=INT", PROGRAM, "sync", "--config", config]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sync:
            wait_until(lambda: received_bytes(data) > 4 * MIB, "a part of the layer to arrive")
            sync.send_signal(number)
            _, told = sync.communicate(timeout=120)
        if number is not signal.SIGKILL:
            assert sync.returncode == 4
            assert "nothing is lost" in told

    config = config_file(tmp_path, upstream.url)
    again = json.loads(plugin_mirror("sync", "--json", "--config", config).stdout)
    assert again["copied"] == 1
    assert again["moved_bytes"] <= len(packed.layer) - 4 * MIB
    assert received_bytes(data) == 0
    with Mirror(data=data) as mirror:
        assert blob_digest(mirror.url, HERE, packed.layer_digest) == packed.layer_digest


def received_bytes(data: Path) -> int:
    """Return the total size of unfinished uploads."""
    return sum(file.stat().st_size for file in data.glob("uploads/*/data"))


def test_two_processes_do_not_run_one_rule_at_once(upstream: DockerRegistry, tmp_path: Path) -> None:
    require(Nginx.missing())
    push(pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=8 * MIB)), upstream.url, THERE, TAG)
    # So slow that the first sync is not over before the second one, on a machine however busy.
    with Nginx.front(upstream.url, limit_rate_bytes_per_second=64 * 1024) as slow:
        config = config_file(tmp_path, slow.url)
        with subprocess.Popen([PROGRAM, "sync", "--config", config], stderr=subprocess.DEVNULL) as first:
            wait_until(lambda: received_bytes(tmp_path / "data") > 0, "the first sync to receive data")
            second = plugin_mirror("sync", "--config", config, check=False)
            assert second.exit_code == 1
            assert "being run by another process" in second.stderr
            assert first.poll() is None
            first.terminate()
    # The lock ends with its process.
    assert plugin_mirror("sync", "--config", config_file(tmp_path, upstream.url)).exit_code == 0


def test_a_terminal_shows_a_bar_with_bytes_rate_and_name(upstream: DockerRegistry, tmp_path: Path) -> None:
    require(Nginx.missing())
    push(pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=4 * MIB)), upstream.url, THERE, TAG)
    with Nginx.front(upstream.url, limit_rate_bytes_per_second=4 * MIB) as slow:
        code, screen = run_at_terminal([PROGRAM, "sync", "--config", config_file(tmp_path, slow.url)])
    assert code == 0
    assert f"{HERE}:{TAG}" in screen
    assert "MiB/s" in screen or "MB/s" in screen
    assert "━" in screen
    assert "4.0 MiB" in screen


def test_without_a_terminal_there_is_one_line_a_tag(upstream: DockerRegistry, tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv"))
    for tag in ("1.0.0-beta.1", "1.0.0-beta.2"):
        push(packed, upstream.url, THERE, tag)
    done = plugin_mirror("sync", "--config", config_file(tmp_path, upstream.url))
    first = sorted(line.partition(" ")[0] for line in done.stderr.splitlines())  # tags are copied in any order
    # The driver does not know its new name, which a note tells for each tag. The third note tells of the data folder.
    assert first == [f"{HERE}:1.0.0-beta.1", f"{HERE}:1.0.0-beta.2", "note:", "note:", "note:"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["nosuch"], 2, "no mirror rule is named 'nosuch'; fix: name one of contiv"),
        (["contiv"], 3, "hub"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, arguments: list[str], exit_code: int, told: str) -> None:
    config = config_file(tmp_path, "http://127.0.0.1:9")
    done = plugin_mirror("sync", *arguments, "--config", config, check=False)
    assert done.exit_code == exit_code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
