"""Access rules in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.access.rights import AccessAction
from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault
from mirror.settings import load


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def test_a_rule(written) -> None:
    text = "access: [{users: [anna, '*'], repositories: ['acme/**', shared/*], actions: [pull, push]}]"
    (rule,) = load(written(text)).access_rules
    assert rule.users == {"anna", "*"}
    assert rule.actions == {AccessAction.PULL, AccessAction.PUSH}
    names = ("acme/a/b", "shared/a", "shared/a/b", "other")
    assert [rule.holds(Repository(name)) for name in names] == [True, True, False, False]


TLS = "server: {anonymous: [], tls: {certificate: server.crt, key: server.key, client_ca: clients.crt}}"


def test_a_rule_for_clients_with_certificates(written) -> None:
    text = "access: [{users: [anna, 'cert:CN=host-*', 'cert:DNS=A.Example'], repositories: ['**'], actions: [pull]}]"
    rule = load(written(f"{TLS}\n{text}")).access_rules[0]
    assert rule.users == {"anna"}
    assert [pattern.text for pattern in rule.certificates] == ["cert:CN=host-*", "cert:DNS=a.example"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "access: [{users: [anna], repositories: ['**'], actions: [pull]}, "
            "{users: ['cert:CN=host-12'], repositories: ['**'], actions: [pull]}]",
            "access[2].users[1]: no client can show a certificate (cert:CN=host-12), fix: set server.tls.client_ca to "
            "the CA that issues them",
        ),
        (
            "quotas: [{user: 'cert:CN=host-12', tags: 1}]",
            "quotas[1].user: no client can show a certificate (cert:CN=host-12)",
        ),
        (
            f"{TLS}\naccess: [{{users: ['cert:OU=ops'], repositories: ['**'], actions: [pull]}}]",
            "access[1].users[1]: 'OU' names nothing in a certificate (cert:OU=ops), fix: use CN, DNS, ",
        ),
        (
            f"{TLS}\naccess: [{{users: ['cert:CN='], repositories: ['**'], actions: [pull]}}]",
            "access[1].users[1]: the name is empty",
        ),
        (
            f"{TLS}\naccess: [{{users: [cert], repositories: ['**'], actions: [pull]}}, "
            "{users: ['cert:'], repositories: ['**'], actions: [pull]}]",
            "access[2].users[1]: names no client certificate (cert:), fix: write cert:CN=NAME, or cert:*",
        ),
        (
            f"{TLS}\nquotas: [{{user: 'cert:CN=host-*', tags: 1}}]",
            "quotas[1].user: names several clients (cert:CN=host-*), fix: write one name, or ",
        ),
        (
            f"{TLS[:-1]}, behind_proxy: true}}",
            "server.behind_proxy: takes every client for a proxy, so client certificates have no effect",
        ),
    ],
)
def test_a_mistake_with_certificates_gets_one_clear_line(written, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        load(written(text))
    (line,) = str(raised.value).splitlines()
    assert problem in line


def test_a_quota_may_name_a_client_with_a_certificate(written) -> None:
    text = "quotas: [{user: 'cert:DNS=Host-12.example', tags: 1}, {user: '*', tags: 2}]"
    settings = load(written(f"{TLS}\n{text}"))
    assert [section.quota().name for section in settings.quotas] == ["user cert:DNS=host-12.example", "each user"]


def test_the_example_means_what_it_says() -> None:
    rules = load(Path("config/users.yaml")).access_rules
    assert any(rule.speaks_of("ci") and rule.holds(Repository("acme/driver")) for rule in rules)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{users: [Anna], repositories: ['**'], actions: [pull]}", "access[1].users[1]: is not a user's name (Anna)"),
        ("{users: [], repositories: ['**'], actions: [pull]}", "access[1].users: is empty"),
        (
            "{users: ['*'], repositories: ['**/x'], actions: [pull]}",
            "access[1].repositories[1]: ** is not at the end (**/x)",
        ),
        (
            "{users: ['*'], repositories: [UP], actions: [pull]}",
            "access[1].repositories[1]: is no name of repositories (UP)",
        ),
        ("{users: ['*'], repositories: ['**'], actions: [fly]}", "access[1].actions[1]: "),
        ("{users: ['*'], repositories: ['**'], actions: []}", "access[1].actions: is empty"),
        ("{users: ['*'], repositories: ['**']}", "access[1].actions: is missing"),
        ("{users: [anna], repositories: ['acme/**'], actions: [operate]}", "operate covers the whole server"),
        ("{users: [anna], repositories: ['**'], actions: [pull], repos: x}", "access[1].repos: unknown key"),
    ],
)
def test_a_mistake_gets_one_clear_line(written, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        load(written(f"access: [{text}]"))
    (line,) = str(raised.value).splitlines()
    assert problem in line
    assert len(line.partition("config.yaml")[2]) < 220  # the path before it may be long


@pytest.mark.parametrize(
    "url",
    [
        "mirror.example",
        "ftp://mirror.example",
        "https://mirror.example//path",
        "https://mirror.example/a b",
        "https://mirror.example/../x",
        "https://mirror.example/path?query",
        "https://mirror.example/v2",
        "https://mirror.example/v2/x",
        "https://mirror.example/%2e",
        'http://a"b',
        "https://mirror.example:0",
        "https://mirror.example:65536/path",
    ],
)
def test_an_address_that_is_none(written, url: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"server\.url"):
        load(written(f"server: {{url: '{url}'}}"))


@pytest.mark.parametrize("action", ["operate", "approve"])
def test_nobody_in_particular_is_given_what_users_are(written, action: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        load(written(f"server: {{anonymous: [pull, {action}]}}"))
    (line,) = str(raised.value).splitlines()
    assert f"server.anonymous: {action} is never given to callers without a login" in line


def test_users_are_given_it(written) -> None:
    text = "access: [{users: [anna], repositories: ['**'], actions: [operate, approve]}]"
    (rule,) = load(written(text)).access_rules
    assert rule.actions == {AccessAction.OPERATE, AccessAction.APPROVE}
    assert rule.holds(None)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://mirror.example", "https://mirror.example"),
        ("https://mirror.example/", "https://mirror.example"),
        ("http://[2001:db8::1]:5000/a/b.c/", "http://[2001:db8::1]:5000/a/b.c"),
    ],
)
def test_an_address_with_and_without_a_path(written, url: str, read: str) -> None:
    assert load(written(f"server: {{url: '{url}'}}")).server.url == read


def test_proxies_that_are_trusted(written) -> None:
    settings = load(written("server: {trusted_proxies: [10.0.0.0/8, 192.0.2.7, '2001:db8::/32']}"))
    assert settings.shown()["server"]["trusted_proxies"] == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
    assert settings.advice() == []


@pytest.mark.parametrize("proxy", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "''", "10"])
def test_a_proxy_without_an_address(written, proxy: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        load(written(f"server: {{trusted_proxies: [{proxy}]}}"))
    (line,) = str(raised.value).splitlines()
    assert "server.trusted_proxies[1]: " in line
    assert "is not a network or address" in line


def test_trust_in_everybody_is_deprecated(written) -> None:
    ((place, sentence),) = load(written("server: {behind_proxy: true}")).advice()
    assert place == ("server", "behind_proxy")
    assert "fix: list the addresses of the proxies under server.trusted_proxies" in sentence
    with pytest.raises(ConfigurationFault, match="fix: remove behind_proxy"):
        load(written("server: {behind_proxy: true, trusted_proxies: [10.0.0.0/8]}"))


def test_a_network_of_every_address_lets_clients_forge_theirs(written) -> None:
    settings = load(written("server: {trusted_proxies: [10.0.0.0/8, 0.0.0.0/0, '::/0']}"))
    assert [(place[-1], sentence.partition(" ")[0]) for place, sentence in settings.advice()] == [
        (1, "0.0.0.0/0"),
        (2, "::/0"),
    ]
