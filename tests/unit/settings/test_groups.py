"""Groups in the configuration, and the rules that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.settings import load

TLS = "server: {anonymous: [], tls: {certificate: server.crt, key: server.key, client_ca: clients.crt}}"
RULE = "access: [{users: [ben, 'group:deployers'], repositories: ['acme/**'], actions: [push]}]"


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def test_a_rule_for_a_group_is_a_rule_for_its_members(written) -> None:
    settings = load(written(f"{TLS}\ngroups: {{deployers: [anna, ben, 'cert:CN=ci-*'], other: [eve]}}\n{RULE}"))
    (rule,) = settings.access_rules
    assert rule.users == {"anna", "ben"}
    assert [pattern.text for pattern in rule.certificates] == ["cert:CN=ci-*"]
    assert settings.shown()["access"][0]["users"] == ["ben", "group:deployers"]


def test_a_certificate_in_two_groups_counts_once(written) -> None:
    groups = "groups: {a: ['cert:CN=ci'], b: ['cert:CN=ci', anna]}"
    text = f"{TLS}\n{groups}\naccess: [{{users: ['group:a', 'group:b'], repositories: ['**'], actions: [pull]}}]"
    (rule,) = load(written(text)).access_rules
    assert rule.users == {"anna"}
    assert [pattern.text for pattern in rule.certificates] == ["cert:CN=ci"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (RULE, "access[1].users[2]: no group is named 'deployers' (group:deployers), fix: add it under groups:"),
        (f"groups: {{deployer: [anna], b: [ben]}}\n{RULE}", "fix: add it under groups:, or write one of b, deployer"),
        (f"groups: {{deployers: []}}\n{RULE}", "groups.deployers: is empty"),
        (f"groups: {{deployers:}}\n{RULE}", "groups.deployers: is empty"),
        (
            "groups: {Deployers: [anna]}",
            "groups.Deployers: is not a group's name (Deployers), fix: use at most 64 lower-case letters",
        ),
        ("groups: {deployers: [Anna]}", "groups.deployers[1]: is not a user's name (Anna)"),
        ("groups: {deployers: [anna, 'group:other']}", "groups.deployers[2]: a group has users and certificates as "),
        ("groups: [anna]", "groups: is not a section"),
        (
            "access: [{users: ['group:'], repositories: ['**'], actions: [pull]}]",
            "access[1].users[1]: is not a group's name (group:)",
        ),
        (
            f"groups: {{deployers: [anna, 'cert:CN=ci']}}\n{RULE}",
            "groups.deployers[2]: no client can show a certificate (cert:CN=ci), fix: set ",
        ),
        ("quotas: [{user: 'group:deployers', tags: 1}]", "quotas[1].user: is not a user's name (group:deployers)"),
    ],
)
def test_a_mistake_gets_one_clear_line(written, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        load(written(text))
    (line,) = str(raised.value).splitlines()
    assert problem in line
