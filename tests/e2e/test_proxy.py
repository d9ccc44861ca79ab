"""Pull-through with real servers: docker-registry behind an nginx that logs and limits requests, and our server."""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.ageing import make_due
from tests.harness.black_hole import BlackHole
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import PackedPlugin, digest_of, legacy_manifest, pack
from tests.harness.ports import free_port
from tests.harness.pulling import (
    MIB,
    NAME,
    TAG,
    asked_of_upstream,
    at_once,
    counted,
    failures_of_upstream,
    manifest,
    requests_of,
    requests_to,
    sections,
    spooled_bytes,
    take,
    upstream_bytes,
    writer_of,
)
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long]

HELD_BACK_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("small") / "plugin", payload_size_bytes=1_200_000))


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("big") / "plugin", payload_size_bytes=24 * MIB))


@pytest.fixture
def upstream() -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing(), Nginx.missing())
    with DockerRegistry() as registry:
        yield registry


class TestOneDownload:
    def test_sixteen_clients_of_two_workers_cost_the_upstream_one_download(
        self, upstream: DockerRegistry, big: PackedPlugin
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=12 * MIB) as front,
            Mirror(workers=2, sections=sections(front.url)) as mirror,
            at_once(16) as clients,
        ):
            assert manifest(mirror.url)[2] == big.manifest
            read = list(clients.map(lambda _: take(mirror.port, big.layer_digest), range(16)))
            assert {digest_of(each.content) for each in read} == {big.layer_digest}
            wait_until(lambda: upstream_bytes(front, big.layer_digest) > 0, "the access log of nginx")
            assert upstream_bytes(front, big.layer_digest) == len(big.layer)
            assert spooled_bytes(mirror) == 0

    def test_a_sync_beside_the_server_shares_its_download(self, upstream: DockerRegistry, big: PackedPlugin) -> None:
        push(big, upstream.url, NAME, TAG)
        rule = {"name": "all", "from": f"hub/{NAME}", "to": "mirrored/sshfs"}
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=8 * MIB) as front,
            Mirror(workers=2, sections=sections(front.url, mirrors=[rule])) as mirror,
            at_once(4) as clients,
        ):
            manifest(mirror.url)
            pulls = [clients.submit(take, mirror.port, big.layer_digest) for _ in range(2)]
            wait_until(lambda: spooled_bytes(mirror) > 4 * MIB, "a part of the layer to arrive")
            synced = clients.submit(mirror.command, "sync")
            assert {digest_of(each.result().content) for each in pulls} == {big.layer_digest}
            assert synced.result().exit_code == 0
            assert manifest(mirror.url, "mirrored/sshfs")[2] == big.manifest
            assert digest_of(take(mirror.port, big.layer_digest, name="mirrored/sshfs").content) == big.layer_digest
            wait_until(lambda: upstream_bytes(front, big.layer_digest) > 0, "the access log of nginx")
            assert upstream_bytes(front, big.layer_digest) == len(big.layer)
            assert spooled_bytes(mirror) == 0

    def test_a_pull_is_given_what_a_sync_brings(self, upstream: DockerRegistry, big: PackedPlugin) -> None:
        push(big, upstream.url, NAME, TAG)
        rule = {"name": "all", "from": f"hub/{NAME}", "to": "mirrored/sshfs"}
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=4 * MIB) as front,
            Mirror(workers=2, sections=sections(front.url, mirrors=[rule])) as mirror,
            at_once(4) as clients,
        ):
            manifest(mirror.url)
            synced = clients.submit(mirror.command, "sync")
            wait_until(lambda: spooled_bytes(mirror) > 4 * MIB, "a part of the layer to arrive")
            begun = take(mirror.port, big.layer_digest, most_bytes=MIB)
            assert begun.content == big.layer[: len(begun.content)]
            assert not synced.done()
            assert digest_of(take(mirror.port, big.layer_digest).content) == big.layer_digest
            assert synced.result().exit_code == 0
            wait_until(lambda: upstream_bytes(front, big.layer_digest) > 0, "the access log of nginx")
            assert upstream_bytes(front, big.layer_digest) == len(big.layer)

    def test_what_was_pulled_is_held_under_its_tag(self, upstream: DockerRegistry, small: PackedPlugin) -> None:
        push(small, upstream.url, NAME, TAG)
        with Mirror(sections=sections(upstream.url)) as mirror:
            status, headers, content = manifest(mirror.url)
            assert (status, content) == (200, small.manifest)
            assert headers["Docker-Content-Digest"] == small.manifest_digest
            assert json.loads(mirror.command("ls", NAME, "--json").stdout) == []  # only the config was fetched so far
            for digest in (small.config_digest, small.layer_digest):
                assert digest_of(take(mirror.port, digest).content) == digest
            upstream.stop()
            (row,) = json.loads(mirror.command("ls", NAME, "--json").stdout)
            assert (row["tag"], row["digest"], row["kind"]) == (TAG, small.manifest_digest, "plugin")
            status, headers, content = manifest(mirror.url)
            assert (status, content, headers["Warning"]) == (200, small.manifest, None)
            origin = json.loads(mirror.command("inspect", "--json", f"{NAME}:{TAG}").stdout)["origin"]
            assert (origin["upstream"], origin["repository"]) == ("hub", NAME)

    def test_the_first_byte_waits_for_nothing_but_the_upstreams(
        self, upstream: DockerRegistry, big: PackedPlugin
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=64 * 1024) as front,
            Mirror(sections=sections(front.url)) as mirror,
        ):
            manifest(mirror.url)
            taken = take(mirror.port, big.layer_digest, most_bytes=1)  # the whole blob would exceed the timeout
            assert taken.content
            assert big.layer.startswith(taken.content)

    def test_a_part_is_answered_while_the_whole_comes(self, upstream: DockerRegistry, big: PackedPlugin) -> None:
        push(big, upstream.url, NAME, TAG)
        last = f"bytes={len(big.layer) - 1000}-"
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=4 * MIB) as front,
            Mirror(workers=2, sections=sections(front.url)) as mirror,
            at_once(4) as clients,
        ):
            manifest(mirror.url)
            whole = clients.submit(take, mirror.port, big.layer_digest)
            early = clients.submit(take, mirror.port, big.layer_digest, wanted_range="bytes=1000-2999")
            middle = clients.submit(take, mirror.port, big.layer_digest, wanted_range=f"bytes={8 * MIB}-{9 * MIB - 1}")
            end = clients.submit(take, mirror.port, big.layer_digest, wanted_range=last)
            assert early.result().content == big.layer[1000:3000]
            assert early.result().status == 206
            assert middle.result().content == big.layer[8 * MIB : 9 * MIB]
            assert not whole.done()
            assert end.result().content == big.layer[-1000:]
            assert digest_of(whole.result().content) == big.layer_digest
            wait_until(lambda: upstream_bytes(front, big.layer_digest) > 0, "the access log of nginx")
            assert upstream_bytes(front, big.layer_digest) == len(big.layer)

    def test_a_slow_client_slows_nobody_and_one_that_leaves_stops_nothing(
        self, upstream: DockerRegistry, big: PackedPlugin
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=12 * MIB) as front,
            Mirror(sections=sections(front.url)) as mirror,
            at_once(3) as clients,
        ):
            manifest(mirror.url)
            leaving = take(mirror.port, big.layer_digest, most_bytes=100_000)
            assert leaving.content == big.layer[: len(leaving.content)]
            slow = clients.submit(take, mirror.port, big.layer_digest, bytes_per_second=4 * MIB)
            quick = clients.submit(take, mirror.port, big.layer_digest)
            assert digest_of(quick.result().content) == big.layer_digest
            assert not slow.done()
            assert digest_of(slow.result().content) == big.layer_digest
            wait_until(lambda: upstream_bytes(front, big.layer_digest) > 0, "the access log of nginx")
            assert upstream_bytes(front, big.layer_digest) == len(big.layer)


class TestInterruptions:
    def test_another_worker_goes_on_where_one_was_killed(self, upstream: DockerRegistry, big: PackedPlugin) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, unlimited_bytes=8 * MIB, limit_rate_bytes_per_second=2 * MIB) as front,
            Mirror(workers=2, sections=sections(front.url)) as mirror,
            at_once(12) as clients,
        ):
            manifest(mirror.url)
            reading = [clients.submit(take, mirror.port, big.layer_digest) for _ in range(12)]
            wait_until(lambda: spooled_bytes(mirror) > 6 * MIB, "a part of the layer to arrive")
            os.kill(writer_of(mirror), signal.SIGKILL)
            read = [each.result() for each in reading]
            whole = [each for each in read if len(each.content) == len(big.layer)]
            broken = [each for each in read if len(each.content) < len(big.layer)]
            assert {digest_of(each.content) for each in whole} == {big.layer_digest}
            assert broken  # the clients of the killed worker
            assert whole, "two workers share the port, so some of the twelve clients must use the other worker"
            assert all(each.content == big.layer[: len(each.content)] for each in broken)
            again = take(mirror.port, big.layer_digest, wanted_range=f"bytes={len(broken[0].content)}-")
            assert broken[0].content + again.content == big.layer
            wait_until(lambda: len(requests_of(front, big.layer_digest)) >= 2, "the access log of nginx")
            first, second = requests_of(front, big.layer_digest)
            assert (first[0], second[0]) == (200, 206)
            assert second[1] < len(big.layer) - 6 * MIB

    def test_a_download_goes_on_after_a_restart(self, upstream: DockerRegistry, big: PackedPlugin) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, unlimited_bytes=8 * MIB, limit_rate_bytes_per_second=2 * MIB) as front,
            Mirror(sections=sections(front.url)) as mirror,
            at_once(1) as clients,
        ):
            manifest(mirror.url)
            reading = clients.submit(take, mirror.port, big.layer_digest)
            wait_until(lambda: spooled_bytes(mirror) > 6 * MIB, "a part of the layer to arrive")
            mirror.kill()
            broken = reading.result()
            assert len(broken.content) < len(big.layer)
            mirror.start()
            assert digest_of(take(mirror.port, big.layer_digest).content) == big.layer_digest
            wait_until(lambda: len(requests_of(front, big.layer_digest)) >= 2, "the access log of nginx")
            assert requests_of(front, big.layer_digest)[1][1] < len(big.layer) - 6 * MIB

    def test_an_upstream_that_dies_half_way_and_comes_back_breaks_no_client(
        self, upstream: DockerRegistry, big: PackedPlugin
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, unlimited_bytes=8 * MIB, limit_rate_bytes_per_second=2 * MIB) as front,
            Mirror(sections=sections(front.url)) as mirror,
            at_once(2) as clients,
        ):
            manifest(mirror.url)
            reading = [clients.submit(take, mirror.port, big.layer_digest) for _ in range(2)]
            wait_until(lambda: spooled_bytes(mirror) > 6 * MIB, "a part of the layer to arrive")
            front.stop()
            wait_until(lambda: failures_of_upstream(mirror) >= 3, "two requests that reach nobody")
            assert not any(each.done() for each in reading)
            front.start()
            for each in reading:
                assert digest_of(each.result().content) == big.layer_digest

    def test_a_download_that_nobody_waits_for_stops_where_that_is_wished(
        self, upstream: DockerRegistry, big: PackedPlugin
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=4 * MIB) as front,
            Mirror(sections=sections(front.url, pull_through={"unattended": "stop"})) as mirror,
        ):
            manifest(mirror.url)
            take(mirror.port, big.layer_digest, most_bytes=2 * MIB)
            wait_until(
                lambda: requests_of(front, big.layer_digest) != [], "the mirror to close its upstream connection"
            )
            kept = spooled_bytes(mirror)
            assert 2 * MIB <= kept < len(big.layer)
            assert digest_of(take(mirror.port, big.layer_digest).content) == big.layer_digest


class TestWrongContent:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_nobody_is_given_the_whole_of_a_wrong_blob(
        self, upstream: DockerRegistry, big: PackedPlugin, workers: int
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        hexadecimal = big.layer_digest.removeprefix("sha256:")
        blobs = upstream.folder / "storage/docker/registry/v2/blobs/sha256"
        wrong = bytearray(big.layer)
        wrong[len(wrong) // 2] ^= 1
        data = blobs / hexadecimal[:2] / hexadecimal / "data"
        data.write_bytes(wrong)
        with (
            Nginx.front(upstream.url, limit_rate_bytes_per_second=16 * MIB) as front,
            Mirror(workers=workers, sections=sections(front.url)) as mirror,
            at_once(8) as clients,
        ):
            manifest(mirror.url)
            read = list(clients.map(lambda _: take(mirror.port, big.layer_digest), range(8)))
            for each in read:
                assert each.status in {200, 404}
                assert len(each.content) <= len(big.layer) - HELD_BACK_BYTES
            assert spooled_bytes(mirror) == 0
            assert not list(mirror.data.glob(f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal}"))
            assert any(line["event"] == "upstream failed" and line["reason"] == "protocol_error" for line in mirror.log)
            assert counted(mirror, "plugin_mirror_pull_failures_total", reason="protocol_error", upstream="hub") >= 1
            data.write_bytes(big.layer)
            assert digest_of(take(mirror.port, big.layer_digest).content) == big.layer_digest

    def test_a_wrong_config_is_an_answer_and_no_content(self, upstream: DockerRegistry, small: PackedPlugin) -> None:
        push(small, upstream.url, NAME, TAG)
        hexadecimal = small.config_digest.removeprefix("sha256:")
        blobs = upstream.folder / "storage/docker/registry/v2/blobs/sha256"
        (blobs / hexadecimal[:2] / hexadecimal / "data").write_bytes(b"#" * len(small.config))
        with Mirror(sections=sections(upstream.url, to="hub/**")) as mirror:
            status, _, content = manifest(mirror.url, f"hub/{NAME}")  # without its config, privileges are unknown
            assert (status, b"errors" in content) == (502, True)
            answer = take(mirror.port, small.config_digest, name=f"hub/{NAME}")
            assert (answer.status, b"errors" in answer.content) == (502, True)


class TestUpstreamGone:
    def test_a_miss_costs_an_answer_and_a_hit_nothing(self, upstream: DockerRegistry, small: PackedPlugin) -> None:
        push(small, upstream.url, NAME, TAG)
        with Mirror(sections=sections(upstream.url, to="hub/**")) as mirror, at_once(16) as clients:
            name = f"hub/{NAME}"
            manifest(mirror.url, name)
            take(mirror.port, small.config_digest, name=name)
            take(mirror.port, small.layer_digest, name=name)
            upstream.stop()
            asked = asked_of_upstream(mirror)
            assert manifest(mirror.url, name)[0] == 200
            assert digest_of(take(mirror.port, small.layer_digest, name=name).content) == small.layer_digest
            assert asked_of_upstream(mirror) == asked
            misses = list(clients.map(lambda _: manifest(mirror.url, name, "other")[0], range(16)))
            assert set(misses) == {504}
            assert asked_of_upstream(mirror) - asked <= 5, "it is left alone after five failures"

    def test_one_that_swallows_connections_costs_a_hit_nothing_and_a_miss_one_wait(
        self, upstream: DockerRegistry, small: PackedPlugin, tmp_path: Path
    ) -> None:
        push(small, upstream.url, NAME, TAG)
        name, data = f"hub/{NAME}", tmp_path / "data"
        with Mirror(data=data, sections=sections(upstream.url, to="hub/**")) as mirror:
            manifest(mirror.url, name)
            for digest in (small.config_digest, small.layer_digest):
                take(mirror.port, digest, name=name)
        make_due(data)
        with (
            BlackHole() as hole,
            Mirror(data=data, sections=sections(hole.url, to="hub/**")) as mirror,
            at_once(16) as clients,
        ):
            status, headers, content = manifest(mirror.url, name)  # does not wait for the connect timeout
            assert (status, content, headers["Warning"][:4]) == (200, small.manifest, "110 ")
            assert asked_of_upstream(mirror) == 1
            assert manifest(mirror.url, name)[2] == small.manifest
            assert digest_of(take(mirror.port, small.layer_digest, name=name).content) == small.layer_digest
            assert asked_of_upstream(mirror) == 1
            for _ in range(2):  # one request waits for the connect timeout, and its result serves all clients
                misses = list(clients.map(lambda _: manifest(mirror.url, name, "other")[0], range(16)))
                assert set(misses) == {504}
                assert asked_of_upstream(mirror) == 2

    def test_names_that_are_the_same_there_are_never_more_than_missing(self) -> None:
        with Mirror(sections=sections(f"http://127.0.0.1:{free_port()}")) as mirror:
            assert manifest(mirror.url)[0] == 404
            assert manifest(mirror.url, method="HEAD")[0] == 404
            assert manifest(mirror.url, target=f"{TAG}?ns=docker.io", method="HEAD")[0] == 404
            assert take(mirror.port, "sha256:" + "0" * 64).status == 404

    def test_offline_opens_no_connection(self, upstream: DockerRegistry, small: PackedPlugin) -> None:
        push(small, upstream.url, NAME, TAG)
        with Nginx.front(upstream.url) as front, Mirror(sections=sections(front.url, offline=True)) as mirror:
            assert manifest(mirror.url)[0] == 404
            assert take(mirror.port, small.layer_digest).status == 404
            assert front.access_log.read_text() == ""


class TestNamesOfOurs:
    def test_pushed_and_reserved_names_never_go_upstream(
        self, upstream: DockerRegistry, small: PackedPlugin, tmp_path: Path
    ) -> None:
        other = pack(plugins.contiv_plugin(tmp_path / "other"))
        push(other, upstream.url, NAME, TAG)
        push(other, upstream.url, NAME, "theirs")
        push(other, upstream.url, "acme/driver", TAG)
        with (
            Nginx.front(upstream.url) as front,
            Mirror(sections=sections(front.url, server={"reserved": ["acme/**"]})) as mirror,
        ):
            push(small, mirror.url, NAME, TAG)
            assert manifest(mirror.url)[2] == small.manifest
            assert manifest(mirror.url, target="theirs")[0] == 404
            assert manifest(mirror.url, "acme/driver")[0] == 404
            assert front.access_log.read_text() == ""

    def test_a_push_does_not_wait_for_a_dead_upstream(self, small: PackedPlugin) -> None:
        with Silence() as silent, Mirror(sections=sections(silent.url)) as mirror:
            push(small, mirror.url, NAME, TAG)
            assert silent.connections_waiting() == 0
            assert manifest(mirror.url)[2] == small.manifest

    def test_a_pushed_tag_wins_over_one_that_was_pulled(
        self, upstream: DockerRegistry, small: PackedPlugin, tmp_path: Path
    ) -> None:
        push(small, upstream.url, NAME, TAG)
        mine = pack(plugins.contiv_plugin(tmp_path / "mine"))
        with Mirror(sections=sections(upstream.url)) as mirror:
            assert manifest(mirror.url)[2] == small.manifest
            push(mine, mirror.url, NAME, TAG)
            assert manifest(mirror.url)[2] == mine.manifest

    def test_lists_hold_what_is_here_and_what_is_there(self, upstream: DockerRegistry, small: PackedPlugin) -> None:
        for tag in ("1", "2", TAG):
            push(small, upstream.url, NAME, tag)
        with Mirror(sections=sections(upstream.url)) as mirror:
            with urllib.request.urlopen(f"{mirror.url}/v2/{NAME}/tags/list?n=2", timeout=120) as response:
                assert json.load(response)["tags"] == ["1", "2"]
                assert "last=2" in response.headers["Link"]
            with urllib.request.urlopen(f"{mirror.url}/v2/_catalog", timeout=120) as response:
                assert json.load(response)["repositories"] == []


class Silence:
    """A server that accepts connections and never responds."""

    def connections_waiting(self) -> int:
        """Return the number of new connections since the last call, and close them."""
        self._listener.setblocking(False)
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
                count += 1
        return count

    def __enter__(self) -> "Silence":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


@pytest.mark.newest_engine
class TestEngine:
    def test_installs_through_us_and_after_the_upstream_is_gone(
        self, engine: Engine, upstream: DockerRegistry, small: PackedPlugin
    ) -> None:
        push(small, upstream.url, NAME, TAG)
        with Mirror(workers=2, sections=sections(upstream.url, to="hub/**")) as mirror:
            reference = f"{mirror.host}/hub/{NAME}:{TAG}"
            for _ in range(2):
                done = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference)
                assert f"Installed plugin {reference}\n" in done.stdout
                assert engine.inspect_plugin(reference)["Config"]["Network"]["Type"] == "host"
                engine.docker("plugin", "rm", reference)
                upstream.stop()

    def test_an_install_goes_on_when_the_upstream_comes_back(
        self, engine: Engine, upstream: DockerRegistry, big: PackedPlugin
    ) -> None:
        push(big, upstream.url, NAME, TAG)
        with (
            Nginx.front(upstream.url, unlimited_bytes=8 * MIB, limit_rate_bytes_per_second=2 * MIB) as front,
            Mirror(sections=sections(front.url, to="hub/**")) as mirror,
            at_once(1) as pool,
        ):
            reference = f"{mirror.host}/hub/{NAME}:{TAG}"
            done: Future[Any] = pool.submit(
                engine.docker, "plugin", "install", "--disable", "--grant-all-permissions", reference
            )
            wait_until(lambda: spooled_bytes(mirror) > 4 * MIB, "a part of the layer to arrive")
            front.stop()
            wait_until(lambda: failures_of_upstream(mirror) >= 2, "a request that reaches nobody")
            front.start()
            assert f"Installed plugin {reference}\n" in done.result().stdout
            engine.docker("plugin", "rm", reference)

    def test_a_moved_tag_is_found_when_it_is_due_and_not_before(
        self, engine: Engine, upstream: DockerRegistry, tmp_path: Path
    ) -> None:
        versions = [pack(plugins.volume_plugin(tmp_path / version, version=version)) for version in ("1", "2")]
        with (
            Nginx.front(upstream.url) as front,
            Mirror(workers=2, sections=sections(front.url, to="hub/**")) as mirror,
        ):
            reference = f"{mirror.host}/hub/{NAME}:{TAG}"

            def installed() -> str:
                engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference)
                try:
                    return str(engine.inspect_plugin(reference)["Config"]["Description"])
                finally:
                    engine.docker("plugin", "rm", reference)

            push(versions[0], upstream.url, NAME, TAG)
            assert installed().endswith("version 1")
            push(versions[1], upstream.url, NAME, TAG)
            asked = requests_to(front)
            assert installed().endswith("version 1")
            assert requests_to(front) == asked
            make_due(mirror.data)
            assert installed().endswith("version 2")
            make_due(mirror.data)
            upstream.stop()
            front.stop()
            assert installed().endswith("version 2")
            assert manifest(mirror.url, f"hub/{NAME}")[1]["Warning"].startswith("110 ")

    def test_transparent_mirror_of_docker_hub(
        self, binaries: Path | None, upstream: DockerRegistry, small: PackedPlugin
    ) -> None:
        push(small, upstream.url, NAME, TAG, manifest=legacy_manifest(small))
        with (
            Mirror(sections=sections(upstream.url, server={"namespaces": ["docker.io"]})) as mirror,
            Engine(binaries=binaries, daemon_json={"registry-mirrors": [mirror.url]}) as engine,
        ):
            done = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", NAME)
            assert f"Installed plugin {NAME}" in done.stdout
            found = engine.inspect_plugin(f"{NAME}:{TAG}")
            assert found["PluginReference"] == f"docker.io/{NAME}:{TAG}"
            asked = [line for line in mirror.log if line.get("event") == "request"]
            assert {line["status"] for line in asked} == {200}
            engine.docker("plugin", "rm", NAME)
