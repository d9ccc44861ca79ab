"""Answers of engines, and of programs that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.hosts.engine_answers import (
    read_descriptor,
    read_info,
    read_json,
    read_message,
    read_plugins,
    read_privileges,
    read_step,
    read_stream_error,
    read_version,
)
from mirror.hosts.engine_api import EngineInfo, EngineVersion, PullStep
from mirror.hosts.engine_errors import EngineProtocolError
from mirror.plugin.config.privileges import Privilege
from tests.unit.hosts.content import INFO, PLUGIN, VERSION

READERS: list[Callable[[Any], Any]] = [
    read_descriptor,
    read_info,
    read_plugins,
    read_privileges,
    read_step,
    read_stream_error,
    read_version,
]
#: JSON values, with the names of members that are read.
_NAMES = ["Name", "Enabled", "Config", "Settings", "Env", "Mounts", "Value", "Version", "ApiVersion", "Descriptor"]
_MORE = ["digest", "progressDetail", "current", "errorDetail", "error", "RegistryConfig", "IndexConfigs", "RuncCommit"]
_KEYS = st.sampled_from(_NAMES + _MORE) | st.text(max_size=5)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6), max_leaves=20
)


def test_a_version_is_read() -> None:
    assert read_version(VERSION) == EngineVersion("20.10.24+dfsg1", "1.41", "linux", "amd64", "6.1.0")


def test_info_is_read() -> None:
    found = read_info(INFO)
    assert found == EngineInfo(
        name="node1",
        data_root="/var/lib/docker",
        security_options=("name=apparmor", "name=seccomp,profile=default", "name=userns"),
        insecure_networks=("127.0.0.0/8",),
        insecure_hosts=("mirror:5000",),
        default_runtime="runc",
        engine_id="5a7c5d2e",
    )
    assert [found.has_security_option(name) for name in ("userns", "seccomp", "rootless", "user")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_runtime_that_does_not_answer_is_told() -> None:
    assert not read_info(INFO | {"RuncCommit": {"ID": "N/A", "Expected": "N/A"}}).runtime_answers


def test_plugins_are_read_by_name() -> None:
    other = PLUGIN | {"Name": "abc:1", "Enabled": True, "Settings": None}
    first, second = read_plugins([PLUGIN, other])
    assert (first.name, first.enabled, second.name, second.enabled) == ("abc:1", True, "acme/driver:1", False)
    assert second.reference == "mirror:5000/acme/driver:1"
    assert second.config.interface.socket == "volumes.sock"
    assert second.settings.env == ("DEBUG=1",)
    assert second.settings.args == ("-v",)
    assert [mount.source for mount in second.settings.mounts] == ["/srv"]
    assert [device.path for device in second.settings.devices] == ["/dev/fuse"]
    assert first.settings.mounts == ()


def test_null_is_an_empty_list() -> None:
    assert read_plugins(None) == ()
    assert read_privileges(None) == ()


def test_privileges_are_read() -> None:
    asked = [{"Name": "network", "Description": "access", "Value": ["host"]}, {"Name": "mount", "Value": None}]
    assert read_privileges(asked) == (Privilege("network", "access", ("host",)), Privilege("mount", "", ()))


def test_steps_of_a_pull_are_read() -> None:
    step = {"id": "4b0c", "status": "Extracting", "progressDetail": {"current": 5, "total": 9}, "progress": "[=> ]"}
    assert read_step(step) == PullStep("4b0c", "Extracting", 5, 9)
    assert read_step({"status": "Waiting", "progressDetail": {"current": -1, "total": True}}) == PullStep("", "Waiting")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"errorDetail": {"message": "no\x1b space"}, "error": "other"}, "no? space"),
        ({"error": "short"}, "short"),
        ({"error": None}, "no message"),
        ({"status": "Waiting"}, None),
    ],
)
def test_errors_in_a_stream_are_read(message: Any, error: str | None) -> None:
    assert read_stream_error(message) == error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"message":"plugin \\"x\\" not found"}\n', 'plugin "x" not found'),
        (b'{"message":"line\\nline\\u001b[31m"}', "line line?[31m"),
        (b"<html>bad\xff gateway</html>", "<html>bad\N{REPLACEMENT CHARACTER} gateway</html>"),
        (
            b'{"message":"cannot start: \\"DB_PASSWORD=s3cr3t-x\\": unknown"}',
            'cannot start: "DB_PASSWORD=(hidden)": unknown',
        ),
        (b"", "no message"),
        (b"[]", "[]"),
    ],
)
def test_messages_are_made_printable(content: bytes, message: str) -> None:
    assert read_message(content) == message


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (read_version, {"Version": "1"}),
        (read_version, []),
        (read_info, None),
        (read_plugins, {}),
        (read_plugins, [{}]),
        (read_plugins, [PLUGIN | {"Enabled": "yes"}]),
        (read_plugins, [PLUGIN | {"Config": {"Env": 5}}]),
        (read_privileges, [{"Value": []}]),
        (read_descriptor, {"Descriptor": {"digest": "sha256:1"}}),
        (read_step, "text"),
    ],
)
def test_answers_of_a_wrong_shape_are_refused(reader: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(EngineProtocolError, match=r"answer of the engine .*; fix: |cannot be read"):
        reader(value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b"1" * 5000])
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(EngineProtocolError):
        read_json(content)


@given(st.sampled_from(READERS), VALUES | st.builds(lambda value: [PLUGIN | {"Config": value}], VALUES))
def test_any_value_is_read_or_refused(reader: Callable[[Any], Any], value: Any) -> None:
    try:
        found = reader(json.loads(json.dumps(value)))
    except EngineProtocolError:
        return
    # Halves of surrogate pairs could not be printed or sent.
    repr(found).encode()


@given(st.binary(max_size=200))
def test_any_content_has_a_message(content: bytes) -> None:
    assert read_message(content).isprintable()
