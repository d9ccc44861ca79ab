"""Privileges in the installer's question: those that an engine asks for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.installer.config_privileges import privilege_lines
from mirror.bundle.installer.installer_fault import InstallerFault
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import compute_privileges

NAMES = st.one_of(st.none(), st.sampled_from(["", "/", "/var/run", "host", "none", "bridge"]))
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "Network": st.one_of(st.none(), st.fixed_dictionaries({"type": NAMES})),
        "IpcHost": st.sampled_from([None, True, False]),
        "pidhost": st.booleans(),
        "Mounts": st.lists(st.one_of(st.none(), st.fixed_dictionaries({}, optional={"Source": NAMES}))),
        "Linux": st.fixed_dictionaries(
            {},
            optional={
                "Capabilities": st.one_of(st.none(), st.lists(st.sampled_from(["CAP_SYS_ADMIN", None, "CAP_KILL"]))),
                "ALLOWALLDEVICES": st.booleans(),
                "Devices": st.lists(st.fixed_dictionaries({"Path": NAMES})),
            },
        ),
    },
)


@given(CONFIGS)
def test_both_implementations_agree(config: dict[str, object]) -> None:
    content = json.dumps(config).encode()
    assert privilege_lines(content) == [str(each) for each in compute_privileges(PluginConfig.parse(content))]


def test_a_value_cannot_pass_for_a_line() -> None:
    content = json.dumps({"Mounts": [{"Source": "/\n - none"}]}).encode()
    assert privilege_lines(content) == ["mount: [/? - none]"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"Mounts": {}}', b'{"Linux": 1}', b'{"IpcHost": false, "ipchost": true}', b"[" * 99999],
)
def test_other_configs_are_refused(content: bytes) -> None:
    with pytest.raises(InstallerFault):
        privilege_lines(content)
