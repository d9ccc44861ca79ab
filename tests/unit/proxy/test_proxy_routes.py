import pytest

from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, UpstreamBusy, UpstreamRefused
from mirror.proxy.proxy_routes import ProxyRule, Routes, Upstream, is_missing, online
from mirror.registry.memory import MemoryRegistry

HUB, QUAY = Upstream("hub", MemoryRegistry()), Upstream("quay", MemoryRegistry(), offline=True)
RULES = [
    ProxyRule.parse(HUB, "hub/store/*/*", "*/*"),
    ProxyRule.parse(HUB, "hub/**", "hub/**"),
    ProxyRule.parse(QUAY, "quay/**", "**"),
    ProxyRule.parse(HUB, "hub/store/*/*", "*/*"),
]


def found(name: str, *reserved: str) -> list[tuple[str, str]]:
    return [(route.upstream.name, str(route.repository)) for route in Routes(RULES, reserved).of(Repository(name))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("contiv/v2plugin", [("hub", "store/contiv/v2plugin"), ("quay", "contiv/v2plugin")]),
        ("hub/vieux/sshfs", [("hub", "vieux/sshfs"), ("quay", "hub/vieux/sshfs")]),
        ("one", [("quay", "one")]),
        ("a/b/c", [("quay", "a/b/c")]),
    ],
)
def test_a_name_comes_from_the_rules_that_match_it_in_their_order(name: str, expected: list[tuple[str, str]]) -> None:
    assert found(name) == expected


def test_reserved_names_come_from_nowhere() -> None:
    assert found("acme/driver", "acme/**", "one") == []
    assert found("one", "acme/**", "one") == []
    assert found("acme", "acme/**") == [("quay", "acme")]


def test_a_name_that_would_be_too_long_there_comes_from_elsewhere() -> None:
    name = "a" * 127 + "/" + "b" * 127
    assert found(name) == [("quay", name)]


def test_offline_upstreams_are_not_asked() -> None:
    routes = Routes(RULES).of(Repository("contiv/v2plugin"))
    assert [route.upstream.name for route in online(routes)] == ["hub"]


def test_a_rule_that_makes_no_sense_says_which_it_is() -> None:
    with pytest.raises(ConfigurationFault, match=r"from hub/\*\* to plugins"):
        ProxyRule.parse(HUB, "hub/**", "plugins")


@pytest.mark.parametrize(
    ("name", "error", "missing"),
    [
        ("a/b", UpstreamBusy("503"), True),
        ("hub/a/b", UpstreamBusy("503"), False),
        ("hub/a/b", UpstreamRefused("401"), True),
    ],
)
def test_what_seems_not_to_exist(name: str, error: UpstreamBusy, missing: bool) -> None:
    upstream = [ProxyRule.parse(HUB, "hub/**", "hub/**"), ProxyRule.parse(HUB, "hub/a/*", "a/*")]
    repository = Repository(name)
    assert is_missing(error, repository, Routes(upstream).of(repository)) is missing
