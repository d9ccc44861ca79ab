"""Point 32: advice beside an answer, and the time after which a client may retry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from mirror.server.http.server_limits import ServerLimits
from tests.conformance.client import Client, Name, receive
from tests.conformance.content import IMAGE, artifact, descriptor, encode, fresh
from tests.conformance.servers import inside
from tests.harness import plugins
from tests.harness.mirror import Mirror
from tests.harness.packing import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, PackedPlugin, pack

#: Code 299, an agent of "-", a quoted text of printable ASCII, and no date.
WARNING = re.compile(r'299 - "(?:[ !#-\[\]-~]|\\["\\])+"')


@pytest.fixture(scope="module")
def program() -> Iterator[Client]:
    """The real program, with plugin checks that warn."""
    with Mirror(sections={"server": {"plugin_checks": "warn"}}) as mirror:
        yield Client(mirror.port)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("plugin")))


def manifest_of(packed: PackedPlugin, layers: list[dict[str, Any]]) -> bytes:
    config = descriptor(CONFIG_TYPE, packed.config)
    return encode({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers})


@pytest.mark.parametrize("layers", [1, 2, 3000])
def test_32_a_warning_has_code_299_no_date_and_not_too_much_text(
    program: Client, plugin: PackedPlugin, layers: int
) -> None:
    name = Name(program, f"advice/{layers}")
    name.push(plugin.config)
    name.push(plugin.layer)
    manifest = manifest_of(plugin, [descriptor(LAYER_TYPE, plugin.layer)] * layers)
    answer = name.put(manifest, MANIFEST_TYPE, "1")
    assert answer.status == 201
    warnings = answer.headers.get_all("Warning", [])
    assert all(WARNING.fullmatch(warning) for warning in warnings)
    assert sum(len(warning) for warning in warnings) <= 4096
    assert bool(warnings) == (layers > 1)


def test_32_many_faults_at_once_still_fit(program: Client, plugin: PackedPlugin) -> None:
    name = Name(program, "advice/faulty")
    name.push(plugin.config)
    layers = [fresh(20) for _ in range(40)]
    for layer in layers:
        name.push(layer)
    described = [descriptor(f'application/vnd.é"\\{"x" * 200}', layer) for layer in layers]
    answer = name.put(manifest_of(plugin, described), MANIFEST_TYPE, "1")
    assert answer.status == 201
    warnings = answer.headers.get_all("Warning", [])
    assert warnings
    assert all(WARNING.fullmatch(warning) for warning in warnings)
    assert sum(len(warning) for warning in warnings) <= 4096


def test_32_what_is_right_comes_without_a_warning(name: Name) -> None:
    name.push(b"{}")
    assert name.put(artifact(), IMAGE, "1")["Warning"] is None
    for target in (name.manifest("1"), name.tags, "/v2/"):
        assert name.client.get(target)["Warning"] is None


def test_32_who_does_too_much_at_once_is_told_when_to_come_again() -> None:
    with inside(limits=ServerLimits(uploads_per_client=1)) as served:
        name = Name(Client(served.port), "busy")
        first, second = name.begin(), name.begin()
        with name.client.connection() as connection:
            connection.putrequest("PATCH", first)
            connection.putheader("Content-Length", "2")
            connection.putheader("Expect", "100-continue")
            connection.endheaders()
            assert connection.sock is not None
            assert b" 100 " in connection.sock.recv(100)  # the upload is under way
            answer = name.client.ask("PATCH", second, body=b"x")
            assert (answer.status, answer.code) == (429, "TOOMANYREQUESTS")
            assert int(answer["Retry-After"] or 0) > 0
            connection.send(b"xy")
            assert receive(connection).status == 202
        assert name.client.ask("PATCH", second, body=b"x").status == 202
