import json

import pytest

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import compute_privileges


def asked(value):
    config = PluginConfig.parse(json.dumps(value).encode())
    return [(privilege.name, list(privilege.values)) for privilege in compute_privileges(config)]


def test_all_of_them_in_the_engine_s_order():
    value = {
        "linux": {
            "capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"],
            "allowAllDevices": True,
            "devices": [{"path": "/dev/fuse"}],
        },
        "mounts": [{"source": "/b"}, {"source": "/a"}],
        "pidHost": True,
        "ipcHost": True,
        "network": {"type": "host"},
    }
    assert asked(value) == [
        ("network", ["host"]),
        ("host ipc namespace", ["true"]),
        ("host pid namespace", ["true"]),
        ("mount", ["/b"]),
        ("mount", ["/a"]),
        ("device", ["/dev/fuse"]),
        ("allow-all-devices", ["true"]),
        ("capabilities", ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]),
    ]


@pytest.mark.parametrize(
    ("network_type", "expected"),
    [
        ("", []),
        ("null", []),
        ("bridge", []),
        ("none", [("network", ["none"])]),
        ("host", [("network", ["host"])]),
        ("whatever", [("network", ["whatever"])]),
    ],
)
def test_which_networks_are_a_privilege(network_type, expected):
    assert asked({"network": {"type": network_type}}) == expected


def test_a_source_that_is_absent_is_not_asked_for_and_an_empty_one_is():
    assert asked({"mounts": [{"source": None}, {}, {"source": ""}]}) == [("mount", [""])]
    assert asked({"linux": {"devices": [{"path": None}, {"path": ""}]}}) == [("device", [""])]


def test_how_the_engine_prints_it():
    config = PluginConfig.parse(b'{"linux": {"capabilities": ["CAP_SYS_ADMIN", "CAP_SYS_MODULE"]}}')
    assert [str(item) for item in compute_privileges(config)] == ["capabilities: [CAP_SYS_ADMIN CAP_SYS_MODULE]"]
