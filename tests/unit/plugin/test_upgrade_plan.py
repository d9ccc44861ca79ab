"""Plans of an upgrade: the commands, and what they do not apply. ``tests/e2e/test_upgrading.py`` runs them."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.settable import Setting
from mirror.plugin.policy.upgrade_plan import NotApplied, UpgradePlan, plan_upgrade
from tests.support.rootfs import config

OLD, NEW = "m:5000/acme/x:1", "m:5000/acme/x:2"


def plan(before: dict[str, Any], after: dict[str, Any], name: str = OLD, later: str = NEW) -> UpgradePlan:
    def takes_own_name(setting: Setting) -> bool:
        return setting.key == "plugin_name"

    return plan_upgrade(config(**before), config(**after), name, (OLD, later), takes_own_name)


def env(*pairs: tuple[str, str | None], settable: bool = True) -> dict[str, Any]:
    return {"Env": [{"Name": name, "Value": value, "Settable": ["value"] * settable} for name, value in pairs]}


def args(*values: str, settable: bool = True) -> dict[str, Any]:
    return {"Args": {"Name": "args", "Value": list(values), "Settable": ["value"] * settable}}


def device(name: str, path: str | None) -> dict[str, Any]:
    return {"Linux": {"Devices": [{"Name": name, "Path": path, "Settable": ["path"]}]}}


def mount(source: str | None, *settable: str) -> dict[str, Any]:
    bind = {"Destination": "/d", "Type": "bind", "Options": ["rbind"]}
    return {"Mounts": [{"Name": "data", "Source": source, "Settable": list(settable), **bind}]}


def test_an_upgrade_without_settings_has_three_commands() -> None:
    found = plan({}, {"Entrypoint": ["/new"], "Network": {"Type": "host"}})
    assert found.commands == (
        f"docker plugin disable -f {OLD}",
        f"docker plugin upgrade --skip-remote-check {OLD} {NEW}",
        f"docker plugin enable {OLD}",
    )
    assert (found.settings, found.reset, found.not_applied, found.reinstall) == ((), (), (), ())


def test_the_client_does_not_ask_about_a_tag_that_moved() -> None:
    assert plan({}, {}, later=OLD).commands[1] == f"docker plugin upgrade {OLD} {OLD}"


def test_new_defaults_are_set_and_quoted() -> None:
    found = plan(env(("A", "1"), ("B", "2"), ("C", None)), env(("A", "1"), ("B", "two $x"), ("C", "3"), ("D", None)))
    assert found.settings == ("B=two $x", "C=3")
    assert found.commands[2] == f"docker plugin set {OLD} 'B=two $x' C=3"
    assert found.not_applied == ()


def test_a_setting_with_its_own_name_gets_the_name_on_the_host() -> None:
    found = plan(env(("plugin_name", "acme/x:1")), env(("plugin_name", "acme/x:2")), name="short")
    assert found.commands[2] == "docker plugin set short plugin_name=short"


def test_what_cannot_be_set_is_not_applied() -> None:
    before = env(("A", "1"), ("GONE", "g"), ("UNSET", "u"))
    after = {"Env": [*env(("A", "2"), ("NEW", "n"), settable=False)["Env"], *env(("UNSET", None))["Env"]]}
    found = plan(before, after, name="short")
    cannot, no_command = "the new version does not let a host set it", "no command unsets a variable"
    assert found.not_applied == (
        NotApplied("env A", "1", "2", cannot),
        NotApplied("env GONE", "g", None, no_command),
        NotApplied("env UNSET", "u", None, no_command),
        NotApplied("env NEW", None, "n", cannot),
    )
    assert found.reinstall[1:] == ("docker plugin rm short", f"docker plugin install --alias short {NEW}")


@pytest.mark.parametrize(
    ("new", "settings", "not_applied"),
    [
        (args("-b", "c"), ("args=-b c",), 0),
        (args("-b", settable=False), (), 1),
        (args("with space"), (), 1),
        (args(), (), 1),
    ],
)
def test_arguments_are_set_if_splitting_at_spaces_gives_them(
    new: dict[str, Any], settings: tuple[str, ...], not_applied: int
) -> None:
    found = plan(args("-a"), new)
    assert (found.settings, len(found.not_applied)) == (settings, not_applied)


@pytest.mark.parametrize(
    ("before", "after", "stays", "wanted"),
    [
        ({}, device("d", "/dev/x"), None, "/dev/x"),
        (device("d", "/dev/x"), {}, "/dev/x", None),
        (device("d", "/dev/x"), device("d", "/dev/y"), "/dev/x", "/dev/y"),
    ],
)
def test_no_change_of_devices_is_applied(
    before: dict[str, Any], after: dict[str, Any], stays: str | None, wanted: str | None
) -> None:
    (change,) = plan(before, after).not_applied
    assert (change.what, change.stays, change.wanted) == ("device d", stays, wanted)


def test_mounts_are_applied_and_lose_their_settings() -> None:
    assert plan(mount("/a"), mount("/b")).reset == ()
    assert plan(mount("/a"), mount("/b", "source")).reset == ()
    assert plan(mount("/a", "source"), mount("/b", "source")).reset == ("data=/b",)
    assert plan(mount("/a", "source"), mount("/a", "source", "type")).reset == ("data.source=/a",)
    assert plan(mount("/a"), mount("/b", "source")).not_applied == ()


_NAMES = st.sampled_from(["A", "B", "args", "data"])
_VALUES = st.none() | st.text(max_size=4)
_ENV = st.lists(st.tuples(_NAMES, _VALUES), max_size=4)
_ARGS = st.lists(st.text(max_size=4), max_size=3)


@given(before=_ENV, after=_ENV, old=_ARGS, new=_ARGS, name=st.text(max_size=8))
def test_every_command_is_read_back_by_a_shell(
    before: list[tuple[str, str | None]],
    after: list[tuple[str, str | None]],
    old: list[str],
    new: list[str],
    name: str,
) -> None:
    found = plan({**env(*before), **args(*old)}, {**env(*after), **args(*new)}, name=name)
    words = [shlex.split(command) for command in found.commands]
    assert all(command[:2] == ["docker", "plugin"] and name in command for command in words)
    assert not found.settings or words[2] == ["docker", "plugin", "set", name, *found.settings]


def test_secrets_are_left_to_be_filled_in_and_not_shown() -> None:
    found = plan(env(("API_TOKEN", "s3cret-before")), env(("API_TOKEN", "s3cret-after")))
    assert found.settings == ("API_TOKEN=VALUE",)
    fixed = plan(
        env(("API_TOKEN", "s3cret-before"), settable=False), env(("API_TOKEN", "s3cret-after"), settable=False)
    )
    assert [one.what for one in fixed.not_applied] == ["env API_TOKEN"]
    assert "s3cret" not in str(fixed)
