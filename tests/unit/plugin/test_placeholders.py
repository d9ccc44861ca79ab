"""Placeholders of templates that are left in a config."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.lint.placeholders import check_placeholders
from tests.support.rootfs import config


def found(**changes: Any) -> list[str]:
    return [finding.text.partition(", which")[0] for finding in check_placeholders(config(**changes))]


def env(name: str, value: str | None, *others: str) -> dict[str, Any]:
    return {"Env": [{"Name": name, "Value": value}, *({"Name": other, "Value": ""} for other in others)]}


@pytest.mark.parametrize(
    ("value", "placeholder"),
    [
        ("PluginName", "PluginName"),
        ("%NAME%", "%NAME%"),
        ("http://%HOST_NAME%:2379", "%HOST_NAME%"),
        ("x-@VERSION@", "@VERSION@"),
        ("__PLUGIN_NAME__", "__PLUGIN_NAME__"),
        ("{{NAME}}", "{{NAME}}"),
        ("{{ plugin.name | lower }}", "{{ plugin.name | lower }}"),
        ("${STORE}", "${STORE}"),
        ("${project.version}", "${project.version}"),
        ("etcd://${CLUSTER_IP}:2379", "${CLUSTER_IP}"),
        ("<CLUSTER_STORE>", "<CLUSTER_STORE>"),
        ("<your-token>", "<your-token>"),
    ],
)
def test_a_value_that_a_builder_should_have_filled_is_found(value: str, placeholder: str) -> None:
    assert found(**env("store", value)) == [f"the value of env store has {placeholder!r}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PS1", "${debian_chroot:+($debian_chroot)}\\u@\\h"),
        ("PS4", "${BASH_SOURCE}"),
        ("tag", "{{.Name}}/{{.ID}}"),
        ("LOG_OPT", "tag={{.Name}}"),
        ("LOG_FORMAT", "%LEVEL% {{msg}} ${TIME}"),
        ("opts", "{{range .X}}{{json .}}{{end}}"),
        ("url", "http://x/%2Fa%20b%ABC%DE"),
        ("date", "%Y-%m-%d %H%M%S%z"),
        ("mail", "user@EXAMPLE@host"),
        ("price", "$5 and $x"),
        ("command", "sh -c 'echo ${HOME}'"),
        ("line", "a ${NAME} in a sentence"),
        ("name", "the PluginName"),
        ("none", "<none>"),
        ("python", "__init__"),
        ("empty", None),
    ],
)
def test_what_a_program_expands_or_means_is_not_found(name: str, value: str | None) -> None:
    assert found(**env(name, value)) == []


def test_a_variable_of_the_plugin_itself_may_be_expanded_by_its_script() -> None:
    assert found(**env("LOGS", "${DATA}/logs", "DATA")) == []


def test_texts_that_an_engine_uses_have_no_variables_at_all() -> None:
    bind = {"Type": "bind", "Options": ["rbind"]}
    assert found(
        Interface={"Types": ["docker.{{.Kind}}/1.0"], "Socket": "%NAME%.sock"},
        Entrypoint=["/bin/$PROGRAM", "--", "${ADDRESS}"],
        WorkDir="/opt/@NAME@",
        PropagatedMount="/mnt/__NAME__",
        Env=[{"Name": "${NAME}", "Value": "1"}],
        Mounts=[{"Name": "d", "Source": "$HOME/data", "Destination": "/${TARGET}", **bind}],
        Linux={"Devices": [{"Name": "{{name}}", "Path": "/dev/$(DEVICE)"}]},
    ) == [
        "the socket has '%NAME%'",
        "an interface type has '{{.Kind}}'",
        "the entrypoint has '$PROGRAM'",
        "WorkDir has '@NAME@'",
        "PropagatedMount has '__NAME__'",
        "the name of an env has '${NAME}'",
        "the source of a mount has '$HOME'",
        "the destination of a mount has '${TARGET}'",
        "the name of a device has '{{name}}'",
        "the path of a device has '$(DEVICE)'",
        "an argument has '${ADDRESS}'",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"Entrypoint": ["/bin/sh", "-c", "exec /driver -store ${STORE}"]},
        {"Entrypoint": ["/bin/sh", "-c"], "Args": {"Value": ["/driver-${ARCH}"]}},
        {"Entrypoint": ["/tini", "--", "/bin/bash", "-c", "${RUN}"]},
        {"Entrypoint": ["/driver", "--format", "time is ${TIME}"]},
        {"Description": "set %NAME% to {{NAME}}", "Documentation": "https://x/${VERSION}"},
    ],
)
def test_commands_of_a_shell_and_descriptions_are_not_found(changes: dict[str, Any]) -> None:
    assert found(**changes) == []


@given(value=st.text("_%@{}$<>() .|NAMEame-0", max_size=40), repeated=st.integers(1, 2000))
def test_any_text_is_searched_in_bounded_time(value: str, repeated: int) -> None:
    text = value * repeated
    for finding in check_placeholders(config(**env("x", text), WorkDir=text, Args={"Value": [text]})):
        assert finding.code == "template-left"
