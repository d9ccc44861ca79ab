"""Findings about the interface. tests/e2e/test_interface_types.py compares them with engines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.interface_type import CAPABILITIES, InterfaceType
from mirror.plugin.lint.engine_support import RELEASES, engine_verdicts
from mirror.plugin.lint.interface_checks import check_interface
from tests.support.rootfs import config

VOLUMES = "docker.volumedriver/1.0"
NETWORKS = "docker.networkdriver/1.0"


def codes(**members: Any) -> list[str]:
    parsed = config(Interface={"Types": [VOLUMES], "Socket": "a.sock"} | members)
    return [finding.code for finding in check_interface(parsed.interface)]


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        ("", ["socket-empty"]),
        ("./", ["socket-empty"]),
        ("a" * 22, []),
        ("a" * 23, ["socket-long"]),
        ("ä" * 11 + "a", ["socket-long"]),
        ("/run/docker/plugins/a.sock", ["socket-long"]),
        ("/a.sock", []),
        ("././././././././././a.sock", []),
        ("volumes/a.sock", []),
        ("volumes/../a.sock", []),
        ("../a.sock", ["socket-name"]),
        ("a%20.sock", ["socket-name"]),
        ("a\tb.sock", ["socket-name"]),
        ("a?b.sock", ["socket-name"]),
    ],
)
def test_the_socket_is_the_path_that_an_engine_dials(socket: str, expected: list[str]) -> None:
    assert codes(Socket=socket) == expected


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (None, ["types-missing"]),
        ([VOLUMES], []),
        (["docker.volumedriver/1.1"], []),
        (["docker.volumedriver/2"], []),
        (["docker.volumedriver/"], []),
        (["docker.volumedriver/1.0/x"], []),
        (["docker.volumedriver"], ["type-mangled"]),
        (["volumedriver/1.0"], ["type-mangled"]),
        (["docker/volumedriver.1.0"], ["type-mangled"]),
        ([".volumedriver/1.0"], ["type-unknown"]),
        (["docker.VolumeDriver/1.0", VOLUMES], ["type-unknown"]),
        (["Docker.volumedriver/1.0"], ["type-unknown"]),
        (["a.docker.volumedriver/1.0"], ["type-unknown"]),
        (["docker.volumedriver /1.0"], ["type-unknown"]),
        (["docker.networkdriver/1.1"], ["type-unknown"]),
        (["docker.networkdriver/"], ["type-unknown"]),
        (["docker.ipamdriver/2", VOLUMES], ["type-unknown"]),
        (["docker.metricscollector/1.1", VOLUMES], ["type-unknown"]),
        (["docker.authz/3"], []),
        ([NETWORKS, "docker.ipamdriver/1.0"], []),
        (["docker.logdriver/2"], ["type-since"]),
        (["docker.logdriver/1.0", VOLUMES], []),
        (["docker.graphdriver/1.0"], ["type-removed"]),
        (["docker.graphdriver/1.0", VOLUMES], []),
    ],
)
def test_a_type_that_engines_find_is_not_reported(types: list[str] | None, expected: list[str]) -> None:
    assert codes(Types=types) == expected


@pytest.mark.parametrize(
    ("scheme", "types", "severity"),
    [
        ("moby.plugins.http/v1", [VOLUMES], None),
        ("x", [VOLUMES], "error"),
        ("x", ["docker.volumedriver/2"], "error"),
        ("x", ["docker.csinode/1.0", NETWORKS], "error"),
        ("x", ["docker.csinode/1.0", "docker.csicontroller/1.0"], None),
        ("x", ["example.things/1.0"], "hint"),
        ("x", ["docker.csinode/1.0", "example.things/1.0"], "hint"),
    ],
)
def test_another_protocol_is_an_error_where_the_engine_speaks_http(
    scheme: str, types: list[str], severity: str | None
) -> None:
    interface = config(Interface={"Types": types, "Socket": "a.sock", "ProtocolScheme": scheme}).interface
    found = [finding for finding in check_interface(interface) if finding.code == "protocol-scheme"]
    assert [finding.severity.value for finding in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("types", "engines"),
    [
        ([VOLUMES], ["1.13 to 29"]),
        (["docker.logdriver/1.0"], ["17.05 to 29"]),
        (["docker.metricscollector/1.0"], ["17.06 to 29"]),
        (["docker.secretprovider/1.0"], ["17.07 to 29"]),
        (["docker.csinode/1.0", "docker.csicontroller/1.0"], ["23 to 29"]),
        (["docker.logdriver/1.0", "docker.csinode/1.0"], ["17.05 to 29"]),
        (["docker.graphdriver/1.0"], ["1.13 to 26"]),
    ],
)
def test_the_releases_that_use_a_plugin(types: list[str], engines: list[str]) -> None:
    interface = config(Interface={"Types": types, "Socket": "a.sock"}).interface
    assert [one.engines for one in engine_verdicts(check_interface(interface)) if one.works] == engines


def test_the_message_names_the_types_that_came_later() -> None:
    types = ["docker.logdriver/2", "docker.csinode/1.0", "example.things/1.0"]
    (since,) = (one for one in check_interface(config(Interface={"Types": types}).interface) if "since" in one.code)
    assert since.text == "older engines do not use plugins of type docker.logdriver/2, docker.csinode/1.0"


def test_every_release_of_a_capability_is_a_release_of_the_table() -> None:
    told = {release for one in CAPABILITIES.values() for release in (one.since, one.removed) if release is not None}
    assert told <= set(RELEASES)


@pytest.mark.parametrize("text", ["", "/", ".", "./", "docker", "docker.", "docker./"])
def test_a_text_that_is_no_type_has_no_capability(text: str) -> None:
    parsed = InterfaceType.parse(text)
    assert parsed is None or parsed.capability is None


@given(st.text(alphabet="./docker volumedriver10ä", max_size=30))
def test_a_type_is_split_as_engines_split_it(text: str) -> None:
    """The model is the loop of engines up to 28: the last dot before the first slash ends the prefix."""
    dot = slash = -1
    for at, letter in enumerate(text):
        if letter == "/":
            slash = at
            break
        if letter == ".":
            dot = at
    expected = (text[:dot], text[dot + 1 : slash], text[slash + 1 :]) if dot >= 0 and slash >= 0 else None
    parsed = InterfaceType.parse(text)
    assert (parsed and (parsed.prefix, parsed.name, parsed.version)) == expected
