"""Plans of a host: what is refused, what is noted, and which commands the steps are."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.hosts.desired_plugin import DesiredPlugin, PluginRelease
from mirror.hosts.host_plan import PlannedPlugin, plan_plugin
from mirror.hosts.plugin_steps import PluginStep, PluginTarget, StepKind, command_of
from mirror.oci import Digest, Reference
from mirror.oci.errors import ConfigurationFault
from tests.unit.hosts.fake_engine import env, release

ONE = release("1", Env=[env("A", "one"), env("log.level", "info"), env("FIXED", "x", settable=False)])
PINNED = f"m:5000/p@{ONE.digest}"
MOUNT = {"Name": "data", "Destination": "/d", "Type": "bind", "Options": ["rbind"], "Settable": ["source"]}
DEVICE = {"Name": "dev", "Settable": ["path"]}


def plan(wanted: PluginRelease, reference: str = "m:5000/p:1", engine: str = "26.1.5", **given: Any) -> PlannedPlugin:
    desired = DesiredPlugin("f.yaml:7", Reference.parse(reference), "p:1", **given)
    return plan_plugin(desired, None, wanted, None, engine=engine)


@pytest.mark.parametrize("key", ["B", "FIXED", "A.source", ""])
def test_a_key_that_no_setting_has_is_a_mistake_of_the_file(key: str):
    with pytest.raises(
        ConfigurationFault, match=r"^f\.yaml:7: settings\..*: the plugin has no such setting; .*: A, log"
    ):
        plan(ONE, settings={key: "x"})


def test_a_setting_cannot_be_given_in_two_spellings():
    with pytest.raises(ConfigurationFault, match=r"settings\.A\.value: the setting is given twice"):
        plan(ONE, settings={"A": "x", "A.value": "y"})


@pytest.mark.parametrize(
    ("engine", "refused"),
    [
        ("19.03.15", False),
        ("20.10.24+dfsg1", True),
        ("23.0.9", True),
        ("23.0.10", False),
        ("24.0.9", True),
        ("25.0.2", True),
        ("25.0.3", False),
        ("26.1.5", False),
    ],
)
def test_a_reference_without_a_tag_is_refused_for_engines_that_would_crash(engine: str, refused: bool):
    pinned = PluginRelease(PINNED, ONE.digest, ONE.config)
    assert (plan(pinned, PINNED, engine).problem is not None) == refused
    assert plan(ONE, f"m:5000/p:1@{ONE.digest}", engine).problem is None


def test_a_digest_that_the_tag_no_longer_has_is_refused():
    problem = plan(ONE, f"m:5000/p:1@{Digest.of(b'other')}").problem
    assert f"m:5000/p:1 points to {ONE.digest} now, and the file has {Digest.of(b'other')}" in str(problem)


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"Mounts": [MOUNT]}, "mount data"),
        ({"Mounts": [MOUNT | {"Name": "", "Settable": None}]}, "mount /d"),
        ({"Linux": {"Devices": [DEVICE | {"Path": ""}]}}, "device dev"),
    ],
)
def test_mounts_and_devices_have_a_value_if_the_plugin_shall_run(members: dict[str, Any], what: str):
    wanted = release("m", **members)
    assert str(plan(wanted).problem) == f"f.yaml:7: {what} has no value, and the plugin cannot run without one"
    assert plan(wanted, enabled=False).problem is None


def test_a_value_can_be_taken_away_by_the_file():
    wanted = release("m", Linux={"Devices": [DEVICE | {"Path": "/dev/null"}]})
    assert plan(wanted).problem is None
    assert "device dev has no value" in str(plan(wanted, settings={"dev": ""}).problem)


def test_a_driver_that_would_not_know_its_name_is_noted():
    wanted = release("n", Env=[env("plugin_name", "q:1")])
    (note,) = plan(wanted).notes
    assert note == (
        "plugin_name is q:1, so the driver does not know its name p:1; fix: add the setting plugin_name: p:1"
    )
    assert plan(wanted, settings={"plugin_name": "p:1"}).notes == ()


def test_a_mount_that_a_setting_opens_is_shown_although_the_engine_does_not_ask_for_it():
    wanted = release("m", Mounts=[MOUNT | {"Source": "/srv"}])
    assert [privilege.values for privilege, _ in plan(wanted).privileges] == [("/srv",)]
    assert plan(wanted).reached_by_settings == ()
    ((opened, risk),) = plan(wanted, settings={"data": "/"}).reached_by_settings
    assert opened.values == ("/",)
    assert "as good as root" in risk


def test_secrets_are_hidden_in_steps_and_notes():
    target = PluginTarget("p:1", ONE.config, ONE)
    step = PluginStep(StepKind.SET, {"DB_PASSWORD": "hunter2-and-more", "MODE": "a"})
    assert command_of(step, target) == "docker plugin set p:1 'DB_PASSWORD=(hidden)' MODE=a"
    assert step.settings["DB_PASSWORD"] == "hunter2-and-more"


def test_a_step_has_a_command():
    target = PluginTarget("p:1", ONE.config, ONE)
    commands = [command_of(PluginStep(kind, {"A": "x y"} if kind is StepKind.SET else {}), target) for kind in StepKind]
    assert commands == [
        "docker plugin install --disable --alias p:1 m:5000/p:1",
        "docker plugin upgrade --skip-remote-check p:1 m:5000/p:1",
        "docker plugin disable p:1",
        "docker plugin set p:1 'A=x y'",
        "docker plugin enable p:1",
        "docker plugin rm p:1",
    ]
