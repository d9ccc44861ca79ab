from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Repository
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.admission_policy import Candidate, Policy, PolicyRule
from mirror.plugin.policy.policy_action import DEFAULT, UNREADABLE, PolicyAction
from mirror.plugin.policy.privilege_pattern import PrivilegePattern
from mirror.plugin.rootfs.platform import Platform

HERE = Repository("acme/driver")
AMD64, ARM = Platform("linux", "amd64"), Platform("linux", "arm", "v6")


def candidate(**members: Any) -> Candidate:
    return Candidate(HERE, 1000, PluginConfig.parse(json.dumps(members).encode()))


HARMLESS = candidate()
STRONG = candidate(
    Network={"Type": "host"},
    Interface={"Types": ["docker.authz/1.0", "docker.volumedriver/1.0"]},
    Linux={"Capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]},
    Mounts=[{"Source": "/var/run"}],
)


def asks(*patterns: str) -> tuple[PrivilegePattern, ...]:
    return tuple(map(PrivilegePattern.parse, patterns))


@pytest.mark.parametrize(
    ("rule", "plugin", "why"),
    [
        ({}, HARMLESS, "is a plugin"),
        ({"names": (NamePattern("acme/*"),)}, HARMLESS, "is named acme/driver"),
        ({"names": (NamePattern("other/**"), NamePattern("acme/driver"))}, HARMLESS, "is named acme/driver"),
        ({"names": (NamePattern("other/**"),)}, HARMLESS, None),
        ({"privileges": asks("network=host")}, STRONG, "asks for network: host"),
        (
            {"privileges": asks("capabilities=CAP_SYS_*", "mount=/run/docker.sock")},
            STRONG,
            "asks for capabilities: CAP_SYS_ADMIN; mount: /var/run",
        ),
        ({"privileges": asks("capabilities=CAP_SYS_*", "capabilities=*ADMIN")}, HARMLESS, None),
        ({"interfaces": ("docker.authz",)}, STRONG, "has the interface docker.authz/1.0"),
        ({"interfaces": ("docker.Volume*/1.*",)}, STRONG, "has the interface docker.volumedriver/1.0"),
        ({"interfaces": ("docker.authz/2.0",)}, STRONG, None),
        ({"interfaces": ("*",)}, HARMLESS, None),
        ({"platforms": (AMD64,)}, replace(HARMLESS, platform=AMD64), "is for linux/amd64"),
        ({"platforms": (Platform("linux", "arm"),)}, replace(HARMLESS, platform=ARM), "is for linux/arm/v6"),
        ({"platforms": (AMD64,)}, replace(HARMLESS, platform=ARM), None),
        ({"platforms": (AMD64,)}, HARMLESS, None),
        ({"platforms": (AMD64, None)}, HARMLESS, "is for an unknown platform"),
        ({"platforms": (None,)}, replace(HARMLESS, platform=AMD64), None),
        ({"larger_than_bytes": 999}, HARMLESS, "has 1000 bytes"),
        ({"larger_than_bytes": 1000}, HARMLESS, None),
        ({"signed": False}, HARMLESS, "is not signed"),
        ({"signed": True}, HARMLESS, None),
        ({"signed": True}, replace(HARMLESS, signed=True), "is signed"),
        ({"grown": True}, HARMLESS, None),
        (
            {"grown": True},
            replace(HARMLESS, grown=(("mount", "/"),)),
            "requests more than the last accepted plugin: mount: /",
        ),
        (
            {"names": (NamePattern("acme/*"),), "larger_than_bytes": 1, "signed": False},
            HARMLESS,
            "is named acme/driver, has 1000 bytes, is not signed",
        ),
        ({"names": (NamePattern("acme/*"),), "signed": True}, HARMLESS, None),
    ],
)
def test_in_what_way_a_rule_is_met(rule: dict[str, Any], plugin: Candidate, why: str | None) -> None:
    assert PolicyRule("r", PolicyAction.DENY, **rule).why(plugin) == why


def test_a_reason_is_one_line_whatever_the_plugin_asks_for() -> None:
    mounts = [{"Source": f"/{number}\x1b[2J\n{'x' * 500}"} for number in range(12)]
    why = PolicyRule("r", PolicyAction.DENY, privileges=asks("mount")).why(candidate(Mounts=mounts))
    assert why is not None
    assert why.isprintable()
    assert why.startswith("asks for mount: /0?[2J?xxx")
    assert why.endswith("; and 2 more")
    assert len(why) < 3000


def rules(*actions: PolicyAction) -> list[PolicyRule]:
    return [PolicyRule(f"{number}", action) for number, action in enumerate(actions)]


@pytest.mark.parametrize(
    ("policy", "action", "rule", "warnings"),
    [
        (Policy(), PolicyAction.ALLOW, DEFAULT, 0),
        (Policy(default=PolicyAction.HOLD), PolicyAction.HOLD, DEFAULT, 0),
        (Policy(default=PolicyAction.WARN), PolicyAction.WARN, DEFAULT, 1),
        (Policy(rules(PolicyAction.ALLOW, PolicyAction.DENY)), PolicyAction.ALLOW, "0", 0),
        (Policy(rules(PolicyAction.HOLD, PolicyAction.DENY)), PolicyAction.HOLD, "0", 0),
        (Policy(rules(PolicyAction.WARN, PolicyAction.DENY)), PolicyAction.DENY, "1", 1),
        (Policy(rules(PolicyAction.WARN, PolicyAction.WARN)), PolicyAction.WARN, DEFAULT, 2),
        (Policy(rules(PolicyAction.WARN, PolicyAction.ALLOW, PolicyAction.DENY)), PolicyAction.WARN, "1", 1),
    ],
)
def test_the_first_rule_that_decides(policy: Policy, action: PolicyAction, rule: str, warnings: int) -> None:
    verdict = policy.decide(HARMLESS)
    assert (verdict.action, verdict.rule, len(verdict.warnings)) == (action, rule, warnings)


def test_what_cannot_be_read_is_denied_whatever_the_rules_say() -> None:
    verdict = Policy(rules(PolicyAction.ALLOW)).decide(replace(HARMLESS, config="its config is not JSON"))
    assert (verdict.action, verdict.rule) == (PolicyAction.DENY, UNREADABLE)
    assert verdict.reason == "cannot be judged: its config is not JSON"


def test_what_a_policy_wants_to_know() -> None:
    assert not Policy(rules(PolicyAction.DENY)).asks_for_platform
    assert not Policy(rules(PolicyAction.DENY)).asks_for_signature
    assert Policy([PolicyRule("p", PolicyAction.DENY, platforms=(None,))]).asks_for_platform
    assert Policy([PolicyRule("s", PolicyAction.DENY, signed=True)]).asks_for_signature


@given(st.lists(st.sampled_from(PolicyAction)), st.sampled_from(PolicyAction))
def test_a_rule_below_the_one_that_decides_changes_nothing(actions: list[PolicyAction], more: PolicyAction) -> None:
    decided = Policy(rules(*actions), PolicyAction.DENY).decide(HARMLESS)
    if any(action is not PolicyAction.WARN for action in actions):
        assert Policy([*rules(*actions), PolicyRule("more", more)], PolicyAction.DENY).decide(HARMLESS) == decided


@given(st.lists(st.sampled_from(PolicyAction)))
def test_a_warning_never_lets_in_what_is_kept_out(actions: list[PolicyAction]) -> None:
    without = Policy(rules(*(action for action in actions if action is not PolicyAction.WARN)), PolicyAction.DENY)
    decided, spared = Policy(rules(*actions), PolicyAction.DENY).decide(HARMLESS), without.decide(HARMLESS)
    let_in = {PolicyAction.ALLOW, PolicyAction.WARN}
    assert (decided.action in let_in) == (spared.action in let_in)


PLAIN = PolicyRule("a", PolicyAction.HOLD)
OTHERS = [
    Policy([PLAIN], PolicyAction.DENY),
    Policy([]),
    Policy([PLAIN, PLAIN]),
    *(
        Policy([replace(PLAIN, **changed)])
        for changed in (
            {"name": "b"},
            {"action": PolicyAction.WARN},
            {"names": (NamePattern("acme/*"),)},
            {"privileges": asks("mount")},
            {"privileges": asks("mount=/")},
            {"interfaces": ("docker.authz",)},
            {"platforms": (AMD64,)},
            {"platforms": (None,)},
            {"larger_than_bytes": 0},
            {"signed": True},
            {"signed": False},
            {"grown": True},
        )
    ),
]


def test_policies_are_told_apart_by_all_that_they_say() -> None:
    prints = [policy.fingerprint for policy in (Policy([PLAIN]), *OTHERS)]
    assert len(set(prints)) == len(prints)
    assert Policy([PolicyRule("a", PolicyAction.HOLD)]).fingerprint == Policy((PLAIN,)).fingerprint == prints[0]
    assert [policy.asks_for_growth for policy in OTHERS].count(True) == 1
