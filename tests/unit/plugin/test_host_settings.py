"""Settings of a host, compared with the defaults of a config."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.build.engine_record import ValuesInUse
from mirror.plugin.build.host_settings import ambiguous_settings, host_settings, is_published
from mirror.plugin.config.plugin_config import PluginConfig

VALUE, SOURCE, PATH = {"Settable": ["value"]}, {"Settable": ["source"]}, {"Settable": ["path"]}
CONFIG: dict[str, Any] = {
    "Args": {"Name": "args", "Value": ["-a"], **VALUE},
    "Env": [
        {"Name": "role", "Value": "master", **VALUE},
        {"Name": "debug", "Value": None, **VALUE},
        {"Name": "fixed", "Value": "1"},
    ],
    "Linux": {"Devices": [{"Name": "kvm", "Path": "/dev/kvm", **PATH}, {"Name": "", "Path": "/dev/x", **PATH}]},
    "Mounts": [
        {"Name": "data", "Source": "/srv", "Destination": "/d", **SOURCE},
        {"Name": "two", "Source": "/two", "Destination": "/t", "Settable": ["source", "type"]},
        {"Name": "shut", "Source": "/a", "Destination": "/a"},
    ],
}
DEFAULTS = ValuesInUse(
    env={"role": "master", "fixed": "1"},
    args=("-a",),
    sources={"data": "/srv", "two": "/two", "shut": "/a"},
    paths={"kvm": "/dev/kvm", "/dev/x": "/dev/x"},
)


def config(**changes: Any) -> PluginConfig:
    return PluginConfig.parse(json.dumps({**CONFIG, **changes}).encode())


def test_defaults_are_not_settings() -> None:
    found = host_settings(DEFAULTS, config())
    assert (found.changes, found.left_over, found.not_passed) == ((), (), ())


def test_each_value_that_differs_is_a_setting_under_the_key_that_engines_accept() -> None:
    values = ValuesInUse(
        env={"role": "worker", "debug": "a=b", "fixed": "1"},
        args=("-b", "c"),
        sources={"data": "/home", "two": "/2", "shut": "/a"},
        paths={"kvm": "/dev/zero"},
    )
    assert host_settings(values, config()).changes == (
        "role=worker",
        "debug=a=b",
        "data=/home",
        "two.source=/2",
        "kvm=/dev/zero",
        "args=-b c",
    )


def test_values_of_an_old_version_are_no_settings() -> None:
    values = replace(
        DEFAULTS,
        env={"A": "1", "fixed": "old"},
        args=("with space", ""),
        paths={"kvm": "/dev/kvm", "gone": "/dev/y", "/dev/z": "/dev/z"},
    )
    found = host_settings(values, config())
    assert found.changes == ()
    assert found.left_over == ("env A", "env fixed", "device gone", "device /dev/z", "args args")
    assert found.not_passed == ("role",)


def test_what_the_host_set_does_not_make_another_config() -> None:
    set_here = config(
        Mounts=[{**CONFIG["Mounts"][0], "Source": "/home"}, *CONFIG["Mounts"][1:]], DockerVersion="20.10.24"
    )
    assert is_published(set_here, config())
    assert is_published(config(), config(PidHost=True))  # as engines before 17.05 record it
    assert not is_published(config(WorkDir="/x"), config())
    assert not is_published(config(Mounts=CONFIG["Mounts"][:2]), config())
    assert not is_published(
        config(Mounts=[*CONFIG["Mounts"][:2], {**CONFIG["Mounts"][2], "Source": "/home"}]), config()
    )


def test_the_defaults_of_mounts_and_devices_are_lost_without_the_config() -> None:
    assert ambiguous_settings(config()) == ["data", "two.source", "kvm"]


_TEXTS = st.dictionaries(st.sampled_from(["role", "debug", "fixed", "data", "kvm", "x"]), st.text(max_size=4))


@given(env=_TEXTS, sources=_TEXTS, paths=_TEXTS, args=st.lists(st.text(max_size=4), max_size=3))
def test_a_printed_setting_gives_the_value_in_use(
    env: dict[str, str], sources: dict[str, str], paths: dict[str, str], args: list[str]
) -> None:
    values = ValuesInUse(env, tuple(args), sources, paths)
    for change in host_settings(values, config()).changes:
        key, _, value = change.partition("=")
        kinds = {"role": env, "debug": env, "data": sources, "two.source": sources, "kvm": paths}
        if key == "args":
            assert tuple(value.split(" ")) == values.args
        else:
            assert kinds[key][key.partition(".")[0]] == value
