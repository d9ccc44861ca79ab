from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.admission_policy import Candidate
from mirror.plugin.policy.engine_vulnerabilities import Exposure, Treatment
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.rootfs.platform import Platform
from mirror.settings import load
from mirror.signing.signed_by import SignedBy
from tests.support.signing import KEY


def policy(*rules: dict[str, Any], **members: Any) -> Any:
    return load(flags={"admission": {"rules": list(rules), **members}}).admission.policy({})


def test_everything_is_let_in_where_nothing_is_said() -> None:
    assert policy() is None
    assert policy(default="allow") is None
    assert policy(default="hold").default is PolicyAction.HOLD


def test_a_rule_with_everything() -> None:
    rule = {
        "name": "all",
        "action": "hold",
        "names": ["acme/**"],
        "privileges": ["allow-all-devices", "mount=/"],
        "interfaces": ["docker.authz"],
        "platforms": ["linux/arm64", "unknown"],
        "larger_than_bytes": 5,
        "signed": False,
        "grown": True,
    }
    (read,) = policy(rule).rules
    assert (read.name, read.action) == ("all", PolicyAction.HOLD)
    assert [str(name) for name in read.names] == ["acme/**"]
    assert [(one.name, one.value) for one in read.privileges] == [("allow-all-devices", None), ("mount", "/")]
    assert read.platforms == (Platform("linux", "arm64"), None)
    assert (read.interfaces, read.larger_than_bytes, read.signed, read.grown) == (("docker.authz",), 5, False, True)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([{"name": "a", "action": "burn"}], "action"),
        ([{"name": "a"}], "action: is missing"),
        ([{"name": "a b", "action": "deny"}], "name"),
        ([{"name": "default", "action": "deny"}], "has another meaning in messages (default)"),
        ([{"name": "unreadable", "action": "deny"}], "has another meaning in messages (unreadable)"),
        ([{"name": "a", "action": "deny", "privileges": ["root"]}], "is not a privilege (root)"),
        ([{"name": "a", "action": "deny", "names": ["A"]}], "is no name of repositories (A)"),
        ([{"name": "a", "action": "deny", "platforms": ["amd64"]}], "is not a platform (amd64)"),
        ([{"name": "a", "action": "deny", "signed": False}], "cannot be denied (false), fix: use action: hold"),
        ([{"name": "a", "action": "allow", "signed": {"by": []}}], "signed"),
        ([{"name": "a", "action": "allow", "signed": {"by": ["k", "k"]}}], "by: a file is named twice"),
        (
            [{"name": "a", "action": "allow", "signed": {"by": ["k"], "threshold": 2}}],
            "threshold: is more than there are keys (2), fix: name more keys",
        ),
        ([{"name": "a", "action": "allow", "signed": {"by": ["k"], "names": ["A"]}}], "is no name of repositories (A)"),
        ([{"name": "cooldown", "action": "deny"}], "has another meaning in messages (cooldown)"),
        ([{"name": "a", "action": "deny", "larger_than_bytes": -1}], "larger_than_bytes"),
        ([{"name": "a", "action": "deny", "privilege": []}], "unknown key"),
        ([{"name": "a", "action": "deny"}, {"name": "a", "action": "hold"}], "another rule has this name too (a)"),
    ],
)
def test_a_mistake_in_a_rule(rules: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        policy(*rules)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("name", "asked", "signed", "action"),
    [
        ("contiv/v2plugin", {"Mounts": [{"Source": "/var/run"}]}, True, PolicyAction.DENY),
        ("acme/driver", {"Linux": {"AllowAllDevices": True}}, True, PolicyAction.DENY),
        ("acme/driver", {"Network": {"Type": "host"}}, True, PolicyAction.ALLOW),
        ("acme/driver", {"Network": {"Type": "host"}}, False, PolicyAction.HOLD),
        ("acme/driver", {"Interface": {"Types": ["docker.authz/1.0"]}}, True, PolicyAction.HOLD),
        ("other/driver", {}, True, PolicyAction.HOLD),
    ],
)
def test_what_the_example_does(name: str, asked: dict[str, Any], signed: bool, action: PolicyAction) -> None:
    read = load(Path("config/admission.yaml")).admission.policy({})
    assert read is not None
    config = PluginConfig.parse(json.dumps(asked).encode())
    candidate = Candidate(Repository(name), 1, config, Platform("linux", "amd64"), signed)
    assert read.decide(candidate).action is action


def test_keys_of_rules() -> None:
    signed = {"by": ["~/a.pub", "b.pub", "gone.pub"], "threshold": 2, "names": ["contiv/*"]}
    section = load(flags={"admission": {"rules": [{"name": "a", "action": "allow", "signed": signed}]}}).admission
    home, other, gone = Path("~/a.pub").expanduser(), Path("b.pub"), Path("gone.pub")
    assert section.key_files == (home, other, gone)
    # Two files with the same key are one signer, and a file that cannot be read is none.
    read = section.policy({home: KEY.public, other: KEY.public})
    assert read is not None
    (rule,) = read.rules
    assert rule.signed == SignedBy((KEY.public,), 2, (NamePattern("contiv/*"),))


def test_what_waits_for_a_signature_must_be_able_to_come() -> None:
    rule = {"name": "a", "action": "allow", "signed": {"by": ["k"]}}
    with pytest.raises(ConfigurationFault, match="fix: use default: hold"):
        load(flags={"admission": {"rules": [rule], "default": "deny"}})
    rest = {"name": "rest", "action": "deny", "names": ["**"]}
    with pytest.raises(ConfigurationFault, match=r"\[rest\]\.action: .*, fix: use action: hold"):
        load(flags={"admission": {"rules": [rule, rest]}})
    policy(rest, rule)
    policy(rule, {**rest, "privileges": ["mount=/"]})


def test_a_cooldown() -> None:
    section = load(flags={"admission": {"cooldown": "7d"}}).admission
    assert section.is_on
    read = section.policy({})
    assert read is not None
    assert read.cooldown == timedelta(days=7)
    for text in ("soon", "0s", "9999999d"):
        with pytest.raises(ConfigurationFault, match=r"admission\.cooldown"):
            load(flags={"admission": {"cooldown": text}})


def test_advice_about_signatures_that_nobody_verifies() -> None:
    rules = [{"name": name, "action": "hold", "signed": signed} for name, signed in (("x", True), ("y", False))]
    ((place, sentence),) = load(flags={"admission": {"rules": rules}}).advice()
    assert place == ("admission", "rules", 0, "signed")
    assert sentence.startswith("true counts any signature and verifies none; fix: ")


def platform_rule(**members: Any) -> Any:
    (section,) = load(flags={"platform_tags": [{"name": "acme/*", "tag": "latest", **members}]}).platform_tags
    return section.rule()


def test_platform_tags() -> None:
    rule = platform_rule(platforms={"arm64": "{tag}-arm64"}, default="arm64")
    assert rule.covers(Repository("acme/x"), Tag("latest"))
    assert rule.tag_for(Tag("latest"), "arm64") == Tag("latest-arm64")
    assert platform_rule(platforms="index").platforms is None


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"platforms": "list"}, "write a tag for each platform"),
        ({"platforms": {"ARM": "x"}}, "'ARM' is not an architecture as Go names it"),
        ({"platforms": {"arm": "a/b"}}, "'a/b' is not a tag"),
        ({"platforms": {"arm": "x"}, "default": "amd64"}, "default: is none of the platforms (amd64)"),
        ({"platforms": "index", "name": "A"}, "is no name of repositories (A)"),
        ({"platforms": "index", "tag": "a b"}, "tag: is not a tag (a b)"),
        ({"platforms": "index", "tag": ""}, "tag"),
        ({}, "platforms: is missing"),
    ],
)
def test_a_mistake_in_a_rule_about_platforms(members: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        platform_rule(**members)
    (line,) = str(caught.value).splitlines()
    assert problem in line


def test_engines_with_a_vulnerability() -> None:
    assert load().admission.engines.cve is Treatment.WARN
    refusing = load(flags={"admission": {"engines": {"cve": "refuse"}}}).admission
    assert refusing.engines.cve is Treatment.REFUSE
    assert not refusing.is_on  # which plugins are let in is another matter
    known = load(flags={"admission": {"engines": {"patched": ["26.1.5+dfsg1"]}}}).admission.engines.known()
    assert [known.exposure(version) for version in ("26.1.5+dfsg1", "26.1.5")] == [
        Exposure.UNAFFECTED,
        Exposure.AFFECTED,
    ]
    with pytest.raises(ConfigurationFault, match=r"admission\.engines\.cve"):
        load(flags={"admission": {"engines": {"cve": "deny"}}})
