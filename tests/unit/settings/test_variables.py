"""Variables of the environment: settings, those of Kubernetes and Docker, and misspelled ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load, unknown_variables
from mirror.settings.loading.model_keys import keys_at, kinds_at
from mirror.settings.loading.variables import read_variables

ADDRESS = "tcp://10.43.0.17:5000"


@pytest.mark.parametrize(
    ("variables", "read"),
    [
        ({"SERVER__WORKERS": "2"}, {"server": {"workers": "2"}}),
        ({"OFFLINE": "true"}, {"offline": "true"}),
        ({"SERVER__LISTEN": "[::1]:5000"}, {"server": {"listen": "[::1]:5000"}}),
        ({"SERVER__ANONYMOUS": "pull, push"}, {"server": {"anonymous": "pull, push"}}),
        ({"SERVER__ANONYMOUS": '["pull"]'}, {"server": {"anonymous": ["pull"]}}),
        ({"UPSTREAMS__HUB__URL": "https://x"}, {"upstreams": {"hub": {"url": "https://x"}}}),
        ({"UPSTREAMS__ENV__URL": "https://x"}, {"upstreams": {"env": {"url": "https://x"}}}),
        (
            {"MIRRORS": '[{"name": "a", "tags": {"include": [1.10]}}]'},
            {"mirrors": [{"name": "a", "tags": {"include": ["1.10"]}}]},
        ),
        (
            {"SERVER": '{"workers": 3, "read_only": true}', "SERVER__WORKERS": "2"},
            {"server": {"workers": "2", "read_only": "true"}},
        ),
        ({"server__workers": "2"}, {"server": {"workers": "2"}}),
        ({"CONFIG": "/etc/x.yaml", "KEY_PASSWORD": "x"}, {}),
    ],
)
def test_a_variable_is_a_setting(variables: dict[str, str], read: dict[str, Any]) -> None:
    found = read_variables({f"PLUGIN_MIRROR_{name}": value for name, value in variables.items()})
    assert (found.values, found.unknown) == (read, [])


def settings_below(*above: str) -> Iterator[tuple[str, ...]]:
    for key in keys_at(Settings, above):
        yield (*above, key)
        yield from settings_below(*above, key)


SETTINGS = list(settings_below())

# A Service called plugin-mirror, another one called plugin-mirror-metrics, and links of Docker to such containers.
FOREIGN = {
    "PLUGIN_MIRROR_SERVICE_HOST": "10.43.0.17",
    "PLUGIN_MIRROR_SERVICE_PORT": "5000",
    "PLUGIN_MIRROR_SERVICE_PORT_HTTP": "5000",
    "PLUGIN_MIRROR_PORT": ADDRESS,
    "PLUGIN_MIRROR_PORT_5000_TCP": ADDRESS,
    "PLUGIN_MIRROR_PORT_5000_TCP_PROTO": "tcp",
    "PLUGIN_MIRROR_PORT_5000_TCP_PORT": "5000",
    "PLUGIN_MIRROR_PORT_5000_TCP_ADDR": "10.43.0.17",
    "PLUGIN_MIRROR_PORT_5000_TCP_PORT_START": "5000",
    "PLUGIN_MIRROR_PORT_53_UDP": "udp://10.43.0.17:53",
    "PLUGIN_MIRROR_METRICS_SERVICE_HOST": "10.43.0.18",
    "PLUGIN_MIRROR_METRICS_SERVICE_PORT_HTTP_METRICS": "9090",
    "PLUGIN_MIRROR_METRICS_PORT": "tcp://10.43.0.18:9090",
    "PLUGIN_MIRROR_METRICS_PORT_9090_TCP_ADDR": "10.43.0.18",
    "PLUGIN_MIRROR_SERVER_SERVICE_HOST": "10.43.0.19",
    "PLUGIN_MIRROR_NAME": "/web/plugin-mirror",
    "PLUGIN_MIRROR_ENV_PATH": "/usr/bin",
    "PLUGIN_MIRROR_ENV_PLUGIN_MIRROR_SERVER__LISTEN": "x",
    "PLUGIN_MIRROR_1_NAME": "/web/plugin_mirror_1",
    "PLUGIN_MIRROR_1_ENV_GPG_KEY": "x",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_variables_of_kubernetes_and_docker_are_ignored(name: str) -> None:
    found = read_variables({name: FOREIGN[name]})
    assert (found.values, found.unknown) == ({}, [])


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("SERVR__LISTEN", "127.0.0.1:1", "write PLUGIN_MIRROR_SERVER__LISTEN, or unset it"),
        ("SERVER__LISEN", "127.0.0.1:1", "write PLUGIN_MIRROR_SERVER__LISTEN, or unset it"),
        ("SERVER_LISTEN", "127.0.0.1:1", "write PLUGIN_MIRROR_SERVER__LISTEN, or unset it"),
        ("LOG_LEVEL", "debug", "write PLUGIN_MIRROR_LOG__LEVEL, or unset it"),
        ("UPSTREAMS__HUB__OFLINE", "true", "write PLUGIN_MIRROR_UPSTREAMS__HUB__OFFLINE, or unset it"),
        ("OFFLIN", "true", "write PLUGIN_MIRROR_OFFLINE, or unset it"),
        ("PORT", "5000", "write PLUGIN_MIRROR_SERVER__LISTEN, or unset it"),
        ("LISTEN", "x", "write PLUGIN_MIRROR_SERVER__LISTEN, or unset it"),
        ("DATA", "/srv", "write PLUGIN_MIRROR_STORAGE__PATH, or unset it"),
        ("CONFG", "/etc/x", "write PLUGIN_MIRROR_CONFIG, or unset it"),
        ("CONFIG_FILE", "/etc/x", "write PLUGIN_MIRROR_CONFIG, or unset it"),
        ("SERVER_TLS_CERTIFICATE", "x", "write PLUGIN_MIRROR_SERVER__TLS__CERTIFICATE, or unset it"),
        ("SERVER__TLS_KEY", "x", "write PLUGIN_MIRROR_SERVER__TLS__KEY, or unset it"),
        ("SERVER_LIMITS_CONNECTIONS", "5", "write PLUGIN_MIRROR_SERVER__LIMITS__CONNECTIONS, or unset it"),
        ("UPSTREAMS_HUB_URL", "x", "write PLUGIN_MIRROR_UPSTREAMS__HUB__URL, or unset it"),
        ("UPSTREAM__HUB__URL", "x", "write PLUGIN_MIRROR_UPSTREAMS__HUB__URL, or unset it"),
        (
            "UPSTREAMS__HUB__PASSWORD",
            "x",
            "write PLUGIN_MIRROR_UPSTREAMS__HUB__CREDENTIALS__PASSWORD_FILE, or unset it",
        ),
        ("TAPESTRY", "x", "unset it"),
        ("NO_PROXY", "x", "unset it"),
        ("PATH", "/srv", "write PLUGIN_MIRROR_STORAGE__PATH, or unset it"),
        ("NAME", "mirror", "unset it"),
        ("BUNDLE__MAX_AGE", "90d", "write PLUGIN_MIRROR_BUNDLES__MAX_AGE, or unset it"),
        ("VERSION", "1", "unset it"),
    ],
)
def test_any_other_variable_is_a_warning_with_the_near_match(name: str, value: str, fix: str) -> None:
    found = read_variables({f"PLUGIN_MIRROR_{name}": value})
    assert found.values == {}
    assert found.unknown == [f"PLUGIN_MIRROR_{name} is no setting and has no effect, fix: {fix}"]


@given(st.sampled_from([place for place in SETTINGS if len(place) > 1]))
def test_one_underscore_in_place_of_two_is_understood(place: tuple[str, ...]) -> None:
    found = read_variables({f"PLUGIN_MIRROR_{'_'.join(place)}".upper(): "x"})
    if found.unknown:
        right = f"PLUGIN_MIRROR_{'__'.join(place)}".upper()
        assert found.unknown[0].endswith(f" is no setting and has no effect, fix: write {right}, or unset it")
    else:
        assert kinds_at(Settings, ("_".join(place),))


@given(
    st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="=\0"), max_size=40),
        st.from_regex("[A-Z]{1,9}(__?[A-Z]{1,9}){0,60}", fullmatch=True),
    )
)
def test_any_name_is_a_setting_a_warning_or_of_others(name: str) -> None:
    variable = f"PLUGIN_MIRROR_{name}"
    try:
        found = read_variables({variable: "x"})
    except ConfigurationFault as fault:
        assert "a variable cannot change one item of a list" in str(fault)
    else:
        assert len(found.unknown) + len(found.names) <= 1
        assert all(line.isprintable() and " has no effect, fix: " in line for line in found.unknown)


def test_a_warning_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGIN_MIRROR_SERVR__LISTEN", "127.0.0.1:1")
    assert str(load().server.listen) == "127.0.0.1:5000"
    assert len(unknown_variables()) == 1
