import json

import pytest

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.privilege_difference import PrivilegeDifference


def config(**members: object) -> PluginConfig:
    return PluginConfig.parse(json.dumps(members).encode())


def mounts(*sources: str) -> list[dict[str, str]]:
    return [{"Source": source, "Destination": "/x"} for source in sources]


@pytest.mark.parametrize(
    ("earlier", "later", "lines"),
    [
        ({}, {}, ()),
        ({}, {"Network": {"Type": "host"}}, ("+ network: host",)),
        ({"Network": {"Type": "host"}}, {"Network": {"Type": "bridge"}}, ("- network: host",)),
        ({"Mounts": mounts("/a", "/b")}, {"Mounts": mounts("/b", "/c")}, ("+ mount: /c", "- mount: /a")),
        ({"Mounts": mounts("/a", "/b")}, {"Mounts": mounts("/b", "/a", "/a")}, ()),
        (
            {"Linux": {"Capabilities": ["CAP_A", "CAP_B"]}},
            {"Linux": {"Capabilities": ["CAP_B", "CAP_C"], "AllowAllDevices": True}},
            ("+ allow-all-devices: true", "+ capabilities: CAP_C", "- capabilities: CAP_A"),
        ),
    ],
)
def test_what_is_asked_for_more_and_no_longer(
    earlier: dict[str, object], later: dict[str, object], lines: tuple[str, ...]
) -> None:
    assert PrivilegeDifference.between(config(**earlier), config(**later)).lines() == lines
