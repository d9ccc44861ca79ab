"""Values of installed plugins, and the comparison of installed content with a release."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.hosts.plugin_values import kept_by_upgrade, same_content
from tests.unit.hosts.fake_engine import FakeEngine, release

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
        # Engines sort capabilities at an install (measured: 20.10.24).
        (
            {"Linux": {"Capabilities": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]}},
            {"Linux": {"Capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]}},
            True,
        ),
        ({"Env": None, "Args": None}, {"Env": [], "Args": {"Value": []}}, True),
        ({"PidHost": True}, {}, False),
    ],
)
def test_content_is_compared_without_what_a_host_may_set(
    installed: dict[str, Any], released: dict[str, Any], same: bool
):
    assert same_content(release("1", **installed).config, release("1", **released).config) == same


async def test_what_an_upgrade_keeps_is_told():
    fixed = {"Name": "A", "Value": "1"}
    old = release("old", Env=[fixed, {"Name": "GONE", "Value": "1"}], Linux={"Devices": [DEVICE, {"Path": "/dev/x"}]})
    new = release(
        "new",
        Env=[fixed | {"Value": "2"}, {"Name": "SET", "Value": "1", "Settable": ["value"]}, {"Name": "B", "Value": "1"}],
        Args={"Value": ["-v"]},
        Linux={"Devices": [DEVICE | {"Path": "/dev/b"}, {"Path": "/dev/y"}]},
    )
    engine = FakeEngine([old])
    await engine.pull(old.remote, "p:1", old.privileges)
    installed = engine.found("p:1")
    assert installed is not None
    assert sorted(kept_by_upgrade(installed, new.config)) == [
        "arguments '-v' of the new version do not apply",
        "device /dev/b of the new version is not added",
        "device /dev/x of the old version is still there",
        "device /dev/y of the new version is not added",
        "variable A=2 of the new version does not apply",
        "variable B=1 of the new version does not apply",
        "variable GONE of the old version is still passed",
    ]


def test_other_layers_are_other_content():
    assert not same_content(release("1").config, release("2").config)
