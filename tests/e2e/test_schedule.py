"""Mirror rules of a running server with a real registry: schedule, journal, moved and lost tags, pins, signatures."""

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.harness import cosign, oras, plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long]

THERE, HERE = "acme/driver", "driver"
MIB = 1024 * 1024


@pytest.fixture
def upstream() -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing())
    with DockerRegistry() as registry:
        yield registry


@pytest.fixture
def one(tmp_path: Path) -> PackedPlugin:
    """A plugin that asks only for the host's network."""
    require(plugins.missing())
    return pack(plugins.volume_plugin(tmp_path / "one", version="1", network="host"))


@pytest.fixture
def two(tmp_path: Path) -> PackedPlugin:
    """The next version of the plugin, which asks for capabilities instead."""
    require(plugins.missing())
    return pack(plugins.volume_plugin(tmp_path / "two", version="2", capabilities=["CAP_SYS_ADMIN"]))


def sections(url: str, **rule: Any) -> dict[str, Any]:
    return {
        "upstreams": {"hub": {"url": url, "plain_http": True}},
        "mirrors": [{"name": "acme", "from": f"hub/{THERE}", "to": HERE, **rule}],
    }


def config_file(folder: Path, url: str, **rule: Any) -> str:
    path = folder / "config.yaml"
    path.write_text(json.dumps(sections(url, **rule) | {"storage": {"path": str(folder / "data")}}))
    return str(path)


def digest_of(url: str, repository: str, tag: str) -> str | None:
    request = urllib.request.Request(f"{url}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST_TYPE})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return str(response.headers["Docker-Content-Digest"])
    except urllib.error.HTTPError as error:
        error.close()
        assert error.code == 404
        return None


def delete(url: str, repository: str, digest: str) -> None:
    request = urllib.request.Request(f"{url}/v2/{repository}/manifests/{digest}", method="DELETE")
    urllib.request.urlopen(request, timeout=120).close()


def state(mirror: Mirror, rule: str = "acme") -> dict[str, Any]:
    """Return the state of a rule from the server's API."""
    with urllib.request.urlopen(f"{mirror.url}/api/v1/mirrors", timeout=120) as response:
        (found,) = [each for each in json.loads(response.read())["mirrors"] if each["rule"] == rule]
        return dict(found)


def events(mirror: Mirror, change: str) -> list[dict[str, Any]]:
    return [event for event in state(mirror)["events"] if event["change"] == change]


def test_a_rule_runs_once_in_each_period_in_one_of_several_processes(
    upstream: DockerRegistry, one: PackedPlugin
) -> None:
    push(one, upstream.url, THERE, "1.0")
    with Mirror(workers=2, sections=sections(upstream.url, every="1s")) as mirror:
        wait_until(lambda: digest_of(mirror.url, HERE, "1.0") == one.manifest_digest, "the first run")
        wait_until(lambda: len(state(mirror)["runs"]) == 5, "five runs")
        runs = sorted(datetime.fromisoformat(run["started_at"]) for run in state(mirror)["runs"])
        assert mirror.stop() == 0
        ran = [line for line in mirror.log if line["event"] == "mirror rule ran"]
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(runs))
    assert Counter(line.get("copied", 0) for line in ran) == {1: 1, 0: len(ran) - 1}


def test_a_restart_neither_runs_a_rule_again_nor_forgets_it(upstream: DockerRegistry, one: PackedPlugin) -> None:
    push(one, upstream.url, THERE, "1.0")
    configured = sections(upstream.url, every="1h")
    configured["mirrors"].append({"name": "often", "from": f"hub/{THERE}", "to": "often", "every": "1s"})
    with Mirror(sections=configured) as mirror:
        wait_until(lambda: state(mirror)["state"] == "succeeded", "the first run")
        first = state(mirror)
        mirror.kill()
        mirror.start()
        # A run of the other rule after the restart shows that the scheduler has looked at all rules.
        before = state(mirror, "often")["runs"][0]
        wait_until(lambda: state(mirror, "often")["runs"][0]["started_at"] > before["started_at"], "a run after it")
        second = state(mirror)
    assert second["runs"] == first["runs"]
    assert second["next_run_at"] == first["next_run_at"]


def test_what_moves_and_what_goes_upstream_is_reported_with_what_it_asks_for(
    upstream: DockerRegistry, one: PackedPlugin, two: PackedPlugin
) -> None:
    push(one, upstream.url, THERE, "stable")
    push(one, upstream.url, THERE, "1.0")
    with Mirror(sections=sections(upstream.url, every="1s", pin={"1.0": one.manifest_digest})) as mirror:
        wait_until(lambda: state(mirror)["tags"] == 2, "both tags to be mirrored")
        push(two, upstream.url, THERE, "stable")
        push(two, upstream.url, THERE, "1.0")
        wait_until(lambda: events(mirror, "moved") and events(mirror, "held"), "both events in the log")
        (moved,), (held,) = events(mirror, "moved"), events(mirror, "held")
        privileges = ["+ capabilities: CAP_SYS_ADMIN", "- network: host"]
        assert (moved["before"], moved["after"]) == (one.manifest_digest, two.manifest_digest)
        assert (moved["tag"], moved["source"], moved["privileges"]) == ("stable", f"hub/{THERE}", privileges)
        assert (held["tag"], held["after"], held["privileges"]) == ("1.0", two.manifest_digest, privileges)
        assert digest_of(mirror.url, HERE, "stable") == two.manifest_digest
        assert digest_of(mirror.url, HERE, "1.0") == one.manifest_digest

        delete(upstream.url, THERE, two.manifest_digest)
        wait_until(lambda: len(state(mirror)["gone"]) == 2, "both tags to be missing upstream")
        assert digest_of(mirror.url, HERE, "stable") == two.manifest_digest
        assert digest_of(mirror.url, HERE, "1.0") == one.manifest_digest
        told = {line["event"] for line in mirror.log if line["level"] == "warning"}
        assert {"tag moved upstream and updated here", "tag deleted upstream but kept here"} <= told

        shown = mirror.command("status").stdout
        assert f"{HERE}:stable moved from {one.manifest_digest} to {two.manifest_digest}" in shown
        assert "privilege + capabilities: CAP_SYS_ADMIN" in shown
        assert f"{HERE}:stable is no longer upstream; it is kept here" in shown
        with urllib.request.urlopen(f"{mirror.url}/metrics", timeout=120) as response:
            page = response.read().decode()
        assert 'plugin_mirror_rule_tags_gone{rule="acme"} 2.0' in page
        assert 'plugin_mirror_rule_runs_total{outcome="succeeded",rule="acme"}' in page


def test_an_upstream_that_is_gone_is_said_to_be(upstream: DockerRegistry, one: PackedPlugin) -> None:
    push(one, upstream.url, THERE, "1.0")
    with Mirror(sections=sections(upstream.url, every="1s")) as mirror:
        wait_until(lambda: state(mirror)["state"] == "succeeded", "the first run")
        upstream.stop()
        wait_until(lambda: state(mirror)["failing"], "a run to fail")
        assert digest_of(mirror.url, HERE, "1.0") == one.manifest_digest
        with urllib.request.urlopen(f"{mirror.url}/api/v1/upstreams", timeout=120) as response:
            (shown,) = json.loads(response.read())["upstreams"]
        assert shown["failing"][0]["rule"] == "acme"
        assert mirror.command("status", check=False).exit_code == 1
        upstream.start()
        wait_until(lambda: state(mirror)["state"] == "succeeded", "a successful run")


def test_what_was_interrupted_is_noted_and_goes_on(upstream: DockerRegistry, tmp_path: Path) -> None:
    require(Nginx.missing())
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=16 * MIB))
    push(packed, upstream.url, THERE, "1.0")
    data = tmp_path / "data"
    with Nginx.front(upstream.url, limit_rate_bytes_per_second=MIB) as slow:
        config = config_file(tmp_path, slow.url)
        with subprocess.Popen([PROGRAM, "sync", "--config", config], stderr=subprocess.DEVNULL) as sync:
            wait_until(lambda: _received(data) > 2 * MIB, "a part of the layer to arrive")
            running = json.loads(plugin_mirror("status", "--json", "--config", config).stdout)["mirrors"][0]
            sync.send_signal(signal.SIGKILL)
            sync.wait(timeout=120)
    killed = plugin_mirror("status", "--json", "--config", config, check=False)
    shown = json.loads(killed.stdout)["mirrors"][0]
    assert (running["state"], shown["state"], killed.exit_code) == ("running", "interrupted", 1)
    assert [(entry["tag"], entry["outcome"]) for entry in shown["last_entries"]] == [("1.0", "planned")]

    # The server repeats an interrupted run at once, although the rule is not due for an hour.
    with Mirror(data=data, sections=sections(upstream.url, every="1h")) as mirror:
        wait_until(lambda: state(mirror)["state"] == "succeeded", "the interrupted run to be repeated")
        last, before = state(mirror)["runs"]
    assert (before["outcome"], last["copied"]) == ("interrupted", 1)
    assert 0 < last["moved_bytes"] <= len(packed.layer) - 2 * MIB


def _received(data: Path) -> int:
    return sum(file.stat().st_size for file in data.glob("uploads/*/data"))


def test_signatures_follow_what_they_sign(
    upstream: DockerRegistry, one: PackedPlugin, two: PackedPlugin, tmp_path: Path
) -> None:
    require(oras.missing())
    require(cosign.missing())
    push(one, upstream.url, THERE, "1.0")
    push(two, upstream.url, THERE, "other")
    keys = cosign.generate_key_pair(tmp_path)
    cosign.sign(f"{upstream.host}/{THERE}@{one.manifest_digest}", keys)
    cosign.sign(f"{upstream.host}/{THERE}@{two.manifest_digest}", keys)
    (tmp_path / "note.txt").write_text("built by hand\n")
    attached = oras.attach(
        f"{upstream.host}/{THERE}@{one.manifest_digest}",
        "note.txt:text/plain",
        artifact_type="application/vnd.acme.note",
        folder=tmp_path,
    )
    with Mirror(sections=sections(upstream.url, tags={"semver": ">=1"})) as mirror:
        dry = json.loads(mirror.command("sync", "--dry-run", "--json").stdout)
        assert json.loads(mirror.command("sync", "--json").stdout) == dry | {"dry_run": False}
        assert (dry["copied"], dry["moved_bytes"] > len(one.config) + len(one.layer)) == (2, True)
        reference = f"{mirror.host}/{HERE}@{one.manifest_digest}"
        assert [found["digest"] for found in oras.discover(reference)] == [attached["digest"]]
        cosign.verify(reference, keys)
        listed = json.loads(mirror.command("ls", HERE, "--json").stdout)
        assert [row["tag"] for row in listed] == ["1.0", f"sha256-{one.manifest_digest.removeprefix('sha256:')}.sig"]

        # A second signature changes the signature tag, but the plugin's tag stays unchanged.
        cosign.sign(f"{upstream.host}/{THERE}@{one.manifest_digest}", cosign.generate_key_pair(_made(tmp_path / "b")))
        again = json.loads(mirror.command("sync", "--json").stdout)
        assert (again["copied"], again["unchanged"]) == (1, 1)
        assert json.loads(mirror.command("sync", "--json").stdout)["copied"] == 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_dry_run_tells_what_would_move(
    upstream: DockerRegistry, one: PackedPlugin, two: PackedPlugin, tmp_path: Path
) -> None:
    push(one, upstream.url, THERE, "1.0")
    config = config_file(tmp_path, upstream.url)
    size_bytes = len(one.config) + len(one.layer)

    first = json.loads(plugin_mirror("sync", "--dry-run", "--json", "--config", config).stdout)
    (tag,) = first["rules"][0]["tags"]
    assert (tag["tag"], tag["outcome"], tag["moved_bytes"]) == ("1.0", "copied", size_bytes)
    assert not (tmp_path / "data").exists()

    done = json.loads(plugin_mirror("sync", "--json", "--config", config).stdout)
    assert first == done | {"dry_run": True}
    push(two, upstream.url, THERE, "1.0")
    moved = plugin_mirror("sync", "--dry-run", "--config", config)
    assert f"{HERE}:1.0 copied" in moved.stdout
    assert "dry run: 1 copied, 0 unchanged, 0 failed; " in moved.stdout
    assert f"moved: {HERE}:1.0 from {one.manifest_digest} to {two.manifest_digest}" in moved.stderr
    assert (
        json.loads(plugin_mirror("ls", HERE, "--json", "--config", config).stdout)[0]["digest"] == one.manifest_digest
    )
