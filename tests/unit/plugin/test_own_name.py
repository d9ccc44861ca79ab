"""Variables that take the plugin's own name, and what lint says about them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.own_name import as_local_name, local_name, own_names
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings.finding import Severity
from mirror.plugin.lint.name_checks import check_own_name, naming_note

NETWORK, VOLUME, LOG = "docker.networkdriver/1.0", "docker.volumedriver/1.0", "docker.logdriver/1.0"


def config(variable: str, value: str | None = "acme/driver:1.0", *, settable: bool = True, kind: str = NETWORK):
    env = {"Name": variable, "Value": value, "Settable": ["value"] if settable else None}
    return PluginConfig.parse(json.dumps({"Env": [env], "Interface": {"Types": [kind], "Socket": "a"}}).encode())


@pytest.mark.parametrize(
    "variable",
    [
        *("plugin_name", "PLUGIN_NAME", "pluginname", "pluginName", "plugin-name", "DRIVER_NAME", "DRIVERNAME"),
        *("CONTIV_NETMASTER_PLUGIN_NAME", "MY_DRIVER-NAME", "acmeDriverName", "DRIVER_NAME_2", "NETWORK_DRIVER_NAME"),
    ],
)
def test_a_variable_for_the_own_name_is_recognised(variable: str) -> None:
    assert [found.variable for found in own_names(config(variable))] == [variable]


@pytest.mark.parametrize(
    "variable",
    [
        *("volume_name", "PLUGIN_NAMESPACE", "PLUGIN_NAMES", "MYPLUGINNAME", "NAME", "PLUGIN", "PLUGIN_ROLE_NAME"),
        *("LOG_DRIVER_NAME", "VOLUME_DRIVER_NAME", "STORAGE_DRIVER_NAME", "DB_DRIVER_NAME", "CNI_PLUGIN_NAME"),
        *("PLUGIN_NAME_FILE", "DRIVER_NAME_PREFIX", "plugin_name" * 100),
    ],
)
def test_a_variable_for_something_else_is_not(variable: str) -> None:
    assert own_names(config(variable)) == ()


def test_a_kind_of_driver_in_the_name_decides_by_the_interface() -> None:
    assert own_names(config("LOG_DRIVER_NAME", kind=LOG))
    assert own_names(config("volume_plugin_name", kind=VOLUME))
    assert not own_names(config("volume_plugin_name", kind=LOG))


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("acme/driver", "acme/driver:1"),
        ("mirror:5000/acme/driver", "mirror:5000/acme/driver:1"),
        ("docker.io/acme/driver", "acme/driver:1"),
        ("library/driver", "driver:1"),
        ("docker.io/library/driver", "driver:1"),
        ("library/acme/driver", "library/acme/driver:1"),
        ("mirror:5000/library/driver", "mirror:5000/library/driver:1"),
    ],
)
def test_the_local_name_is_that_of_engines(repository: str, name: str) -> None:
    assert local_name(repository, "1") == name
    assert as_local_name(name) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("netplugin", "netplugin:latest"),
        ("PluginName", None),
        ("", None),
        ("a b", None),
        ("acme/driver@sha256:" + 64 * "0", None),
    ],
)
def test_a_value_is_a_name_or_none(value: str, name: str | None) -> None:
    assert as_local_name(value) == name


@pytest.mark.parametrize(
    ("value", "settable", "name", "severity", "fix"),
    [
        ("store/acme:1", True, "acme:1", Severity.WARNING, "install it with --alias acme:1 and plugin_name=acme:1; or"),
        ("store/acme:1", False, "acme:1", Severity.WARNING, "install it with store/acme:1 as its --alias"),
        ("netplugin", True, "acme:1", Severity.WARNING, "install it with --alias acme:1 and plugin_name=acme:1; or"),
        ("", True, "acme:1", Severity.WARNING, "install it with --alias acme:1 and plugin_name=acme:1; or"),
        (None, True, "acme:1", Severity.WARNING, "install it with --alias acme:1 and plugin_name=acme:1; or"),
        ("acme:1", True, "acme:1", Severity.HINT, "install it with --alias acme:1"),
        ("mirror:5000/acme:1", True, "acme:1", Severity.HINT, "install it with --alias mirror:5000/acme:1"),
        ("acme", True, "acme:latest", Severity.WARNING, "install it with --alias acme:latest and plugin_name=acme:l"),
        ("acme:1", True, None, Severity.HINT, "install it with --alias acme:1"),
        ("acme", True, None, Severity.WARNING, "install it with --alias acme:latest and plugin_name=acme:latest; or"),
    ],
)
def test_the_value_is_compared_with_the_name(
    value: str | None, settable: bool, name: str | None, severity: Severity, fix: str
) -> None:
    read = config("plugin_name", value, settable=settable)
    (found,) = check_own_name(read, name)
    assert (found.code, found.severity) == ("own-name", severity)
    assert found.fix.startswith(fix)
    assert (name is None) or ((naming_note(read, name) is None) == (severity is Severity.HINT))


@pytest.mark.parametrize(
    ("value", "settable", "name"), [(None, False, "acme:1"), ("PluginName", True, None), (None, True, None)]
)
def test_nothing_is_said_without_a_value_to_compare(value: str | None, settable: bool, name: str | None) -> None:
    assert list(check_own_name(config("plugin_name", value, settable=settable), name)) == []


def test_the_note_says_what_to_do() -> None:
    settable, fixed = config("PLUGIN_NAME", "x:1"), config("PLUGIN_NAME", "x:1", settable=False)
    beginning = "PLUGIN_NAME is x:1, so the driver does not know its name acme:1; fix: "
    assert naming_note(settable, "acme:1") == f"{beginning}install it with --alias acme:1 and PLUGIN_NAME=acme:1"
    assert naming_note(settable, "acme:1", created=True) == (
        f"{beginning}run 'docker plugin set acme:1 PLUGIN_NAME=acme:1' before it is enabled"
    )
    assert naming_note(fixed, "acme:1") == (
        f"{beginning}make a copy with 'plugin-mirror derive' and --env PLUGIN_NAME=acme:1"
    )


@given(st.text(max_size=60) | st.just("plugin_name"), st.none() | st.text(max_size=300), st.booleans())
def test_any_text_is_taken(variable: str, value: str | None, settable: bool) -> None:
    read = config(variable, value, settable=settable)
    for name in (None, "acme/driver:1.0"):
        for found in check_own_name(read, name):
            assert found.text.isprintable()
            assert found.fix.isprintable()
    assert (naming_note(read, "acme/driver:1.0") or "a").isprintable()
