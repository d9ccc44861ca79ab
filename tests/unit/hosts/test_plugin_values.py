"""Values of installed plugins, and the comparison of installed content with a release."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.hosts.plugin_values import same_content
from tests.unit.hosts.fake_engine import release

MOUNT = {"Name": "m", "Source": "/a", "Destination": "/d", "Type": "bind", "Options": ["rbind"]}
SETTABLE = {"Settable": ["source"]}
DEVICE = {"Name": "d", "Path": "/dev/a"}


@pytest.mark.parametrize(
    ("installed", "released", "same"),
    [
        ({"Mounts": [MOUNT | SETTABLE | {"Source": "/b"}]}, {"Mounts": [MOUNT | SETTABLE]}, True),
        ({"Mounts": [MOUNT | {"Source": "/b"}]}, {"Mounts": [MOUNT]}, False),
        (
            {"Linux": {"Devices": [DEVICE | {"Path": "/dev/b", "Settable": ["path"]}]}},
            {"Linux": {"Devices": [DEVICE | {"Settable": ["path"]}]}},
            True,
        ),
        ({"Linux": {"Devices": [DEVICE | {"Path": "/dev/b"}]}}, {"Linux": {"Devices": [DEVICE]}}, False),
        # Engines since 29 drop the version, and engines up to 28 mangle a type without a version.
        ({"DockerVersion": ""}, {"DockerVersion": "26.1.5"}, True),
        (
            {"Interface": {"Types": ['docker.volumedriver"]/'], "Socket": "s"}},
            {"Interface": {"Types": ["docker.volumedriver"], "Socket": "s"}},
            True,
        ),
        (
            {"Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "s"}},
            {"Interface": {"Types": ["docker.networkdriver/1.0"], "Socket": "s"}},
            False,
        ),
        ({"Env": None, "Args": None}, {"Env": [], "Args": {"Value": []}}, True),
        ({"PidHost": True}, {}, False),
    ],
)
def test_content_is_compared_without_what_a_host_may_set(
    installed: dict[str, Any], released: dict[str, Any], same: bool
):
    assert same_content(release("1", **installed).config, release("1", **released).config) == same


def test_other_layers_are_other_content():
    assert not same_content(release("1").config, release("2").config)
