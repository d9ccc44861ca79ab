"""Pull-through over a network that loses packets, and over one that stops transmitting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import bad_line, plugins
from tests.harness.bad_line import in_own_network, losing
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.pulling import (
    MIB,
    NAME,
    TAG,
    failures_of_upstream,
    manifest,
    requests_of,
    sections,
    spooled_bytes,
    take,
)
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e


@pytest.fixture
def packed(tmp_path: Path) -> PackedPlugin:
    require(DockerRegistry.missing(), Nginx.missing(), bad_line.missing())
    if why := bad_line.impossible():  # skipped even with CI=true, since no package can fix this
        pytest.skip(why)
    return pack(plugins.contiv_plugin(tmp_path / "plugin", payload_size_bytes=16 * MIB))


def pulled(packed: PackedPlugin, spoil: Callable[[Nginx, Mirror], None]) -> tuple[str, list[tuple[int, int]]]:
    """Pull a layer while the upstream's network is disturbed.

    Returns:
        The digest of the received layer, and the status and size of the upstream's finished responses.
    """

    def work() -> tuple[str, list[tuple[int, int]]]:
        with (
            DockerRegistry() as registry,
            Nginx.front(registry.url, limit_rate_bytes_per_second=4 * MIB) as front,
        ):
            push(packed, registry.url, NAME, TAG)
            hub = sections(front.url)
            hub["upstreams"]["hub"] |= {"read_timeout_seconds": 2, "breaker": {"rest_seconds": 1}}
            with Mirror(workers=2, sections=hub) as mirror, ThreadPoolExecutor(1) as watching:
                manifest(mirror.url)
                reading = watching.submit(take, mirror.port, packed.layer_digest)
                wait_until(lambda: spooled_bytes(mirror) > MIB, "a part of the layer to arrive")
                spoil(front, mirror)
                (digest,) = {digest_of(reading.result().content)}
                layer_bytes = len(packed.layer)
                wait_until(
                    lambda: sum(sent for _, sent in requests_of(front, packed.layer_digest)) >= layer_bytes, "the log"
                )
                return digest, requests_of(front, packed.layer_digest)

    return in_own_network(work)


def test_a_line_that_loses_packets_costs_time_and_nothing_else(packed: PackedPlugin) -> None:
    def spoil(front: Nginx, mirror: Mirror) -> None:
        with losing(front.port, share=0.03):
            before = spooled_bytes(mirror)
            wait_until(lambda: spooled_bytes(mirror) in range(before + 4 * MIB, 99 * MIB), "the download to continue")

    digest, requests = pulled(packed, spoil)
    assert digest == packed.layer_digest
    assert requests == [(200, len(packed.layer))]


def test_a_line_that_says_nothing_any_more_is_left_and_the_download_gone_on_with(packed: PackedPlugin) -> None:
    def spoil(front: Nginx, mirror: Mirror) -> None:
        with losing(front.port, share=1):
            wait_until(lambda: failures_of_upstream(mirror) > 0, "the mirror to give up the connection")

    digest, requests = pulled(packed, spoil)
    assert digest == packed.layer_digest
    # nginx notes the broken response when it learns of the end of its connection, before or after the resumed one.
    resumed = [size_bytes for status, size_bytes in requests if status == 206]
    assert 0 < sum(resumed) < len(packed.layer) - MIB
