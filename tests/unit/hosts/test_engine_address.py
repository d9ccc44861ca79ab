"""Addresses of engines, from the option and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.hosts.engine_address import DEFAULT_SOCKET, EngineAddress
from mirror.oci.errors import ConfigurationFault

TLS = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certificates"}
FOLDER = Path("/certificates")


@pytest.mark.parametrize(
    ("given", "environment", "found"),
    [
        (None, {}, EngineAddress(DEFAULT_SOCKET)),
        ("/run/docker.sock", {"DOCKER_HOST": "tcp://other:1"}, EngineAddress(Path("/run/docker.sock"))),
        ("unix:///run/docker.sock", {}, EngineAddress(Path("/run/docker.sock"))),
        (None, {"DOCKER_HOST": "unix:///a.sock"}, EngineAddress(Path("/a.sock"))),
        (None, {"DOCKER_HOST": "tcp://node:2375"}, EngineAddress(None, "node", 2375)),
        ("tcp://node", {}, EngineAddress(None, "node", 2375)),
        ("tcp://node/", TLS, EngineAddress(None, "node", 2376, FOLDER)),
        ("tcp://[::1]:99", TLS, EngineAddress(None, "::1", 99, FOLDER)),
        # The environment's certificates are for TCP, as with docker.
        ("/a.sock", TLS, EngineAddress(Path("/a.sock"))),
    ],
)
def test_an_address_is_found(given: str | None, environment: dict[str, str], found: EngineAddress) -> None:
    assert EngineAddress.find(given, environment) == found


@pytest.mark.parametrize(
    "given",
    ["ssh://node", "npipe:////./pipe/docker", "unix://", "tcp://", "tcp://a:b", "tcp://a/b", "tcp://a:99999", "a\0b"],
)
def test_other_addresses_are_refused_with_a_fix(given: str) -> None:
    with pytest.raises(ConfigurationFault, match="; fix: "):
        EngineAddress.find(given, {})


def test_an_address_is_shown_as_it_is_written() -> None:
    for text in ("/var/run/docker.sock", "tcp://node:2375", "tcp://[::1]:2375"):
        assert str(EngineAddress.find(text, {})) == text


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=f"in {tmp_path} cannot be used: No such file"):
        EngineAddress(None, "node", 2376, tmp_path).tls()
