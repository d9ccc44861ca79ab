"""Secrets in configs: which names and values are secrets, and that they are shown nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.cli.plugin_output import facts_of, view_as_json
from mirror.plugin.build.derivation import masked_difference
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import (
    HIDDEN,
    MOST_SEARCHED,
    is_secret_name,
    masked,
    masked_text,
    masked_values,
    masked_words,
    secrets_in,
    without_secrets,
)
from mirror.plugin.findings.finding import Severity
from mirror.plugin.lint.config_checks import check_secrets
from mirror.plugin.lint.plugin_difference import compare_plugins
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from tests.support.rootfs import config

SECRET_NAMES = """
    apikey APIKEY api_key apiKey API-KEY TOKEN token AUTH_TOKEN authToken accesstoken GITHUB_TOKEN PASSWORD Password
    DB_PASSWORD PGPASSWORD rootPassword MYSQL_PWD PASSWD DB_PASS dbpass PASSPHRASE SECRET CLIENT_SECRET clientSecret
    AWS_SECRET_ACCESS_KEY SECRET_KEY secretkey PRIVATE_KEY privateKey SSH_KEY ENCRYPTION_KEY S3_KEY ACCESS_KEY KEY
    ACCOUNT_KEYS CREDENTIALS credential AZURE_CREDENTIAL TOKEN_2 PASSWORD_HASH TOKEN_BASE64 log.password AUTHORIZATION
    BASIC_AUTH WIFI_PSK SESSION_COOKIE ROOT_PW
"""
PLAIN_NAMES = """
    KEYBOARD MONKEY KEY_FILE TOKEN_PATH PASSWORD_FILE TOKEN_TTL TOKEN_URL SECRET_NAME KEY_ID ACCESS_KEY_ID KEYS
    PUBLIC_KEY SSH_PUBLIC_KEY PARTITION_KEY TOKENIZER SECRETARY BYPASS COMPASS PASSTHROUGH PASS_THROUGH PWD OLDPWD
    PWM PW_FILE POWER AUTHOR AUTH ENABLE_AUTH AUTH_MODE KEYRING DEBUG role plugin_name KEYSTONE PASSIVE
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["", "-", "_", *PLAIN_NAMES.split()])
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN", ""),
        ("TOKEN", "  "),
        ("USE_TOKEN", "true"),
        ("REQUIRE_PASSWORD", "No"),
        ("MAX_TOKENS", "4096"),
        ("TOKEN", "3600"),
        ("TOKEN", "30s"),
        ("PASSWORD", "0"),
        ("TOKEN", "/run/secrets/token"),
        ("TOKEN", "./token.txt"),
        ("CREDENTIALS", "~/.aws/credentials"),
        ("KMS_KEY", "arn:aws:kms:eu-west-1:1:key/2"),
        ("TOKEN", "https://auth.example/token"),
        ("TOKEN", "${TOKEN}"),
        ("TOKEN", "$TOKEN"),
        ("TOKEN", "{{ token }}"),
        ("TOKEN", "%TOKEN%"),
        ("TOKEN", "<token>"),
        ("TOKEN", "xxxxxx"),
        ("TOKEN", "***"),
        ("TOKEN", HIDDEN),
        ("URL", "https://example.com/path?page=2"),
        ("URL", "https://user@example.com"),
        ("URL", "https://example.com:8080/me@example.com"),
        ("URL", "https://user:${PASSWORD}@example.com"),
        ("OPTIONS", "--token-file /x --verbose --keyboard us"),
        ("TEXT", "the key is a token of trust"),
        ("LABELS", "key=app value=web"),
        ("DIGEST", "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        ("UUID", "123e4567-e89b-12d3-a456-426614174000"),
        ("LOG", "basic authentication-of-users"),
    ],
)
def test_values_that_are_no_secrets(name: str, value: str) -> None:
    assert masked(name, value) == value


PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("apikey", "x", HIDDEN),
        ("DB_PASSWORD", "12345", HIDDEN),
        ("DB_PASSWORD", "correct horse battery", HIDDEN),
        ("TOKEN", "12345678", HIDDEN),
        ("PASSWORD", "changeme", HIDDEN),  # everybody knows this password, which makes it no better
        ("PASSWORD", "p$w", HIDDEN),
        ("ID", "AKIAIOSFODNN7EXAMPLE", HIDDEN),
        ("X", "ghp_0123456789abcdefghijABCDEFGHIJ012345", HIDDEN),
        ("X", "glpat-0123456789abcdefghij", HIDDEN),
        ("X", f"say {JWT} twice", f"say {HIDDEN} twice"),
        ("X", PEM, HIDDEN),
        ("X", PEM[:50], HIDDEN),
        ("X", PEM.replace("OPENSSH ", "").replace("\n", "\\n"), HIDDEN),
        ("DATABASE_URL", "postgres://app:s3cr/et@db/x", f"postgres://app:{HIDDEN}@db/x"),
        ("DATABASE_URL", "postgres://app:s3cr@et@db/x", f"postgres://app:{HIDDEN}@db/x"),
        ("TOKEN_URL", "redis://:pw@db", f"redis://:{HIDDEN}@db"),
        ("DSN", "https://0123456789abcdef0123456789abcdef@sentry.example/1", f"https://{HIDDEN}@sentry.example/1"),
        ("HOOK", "https://h.example/x?a=1&token=abc&b=2", f"https://h.example/x?a=1&token={HIDDEN}&b=2"),
        ("CONNECTION", "Server=db;User=a;Password=b;X=1", f"Server=db;User=a;Password={HIDDEN};X=1"),
        ("OPTIONS", "-v --token abc --db.password=def", f"-v --token {HIDDEN} --db.password={HIDDEN}"),
        ("OPTIONS", "password='a b' x", f"password='{HIDDEN}' x"),
        ("OPTIONS", "password='a token=b' x", f"password='{HIDDEN}' x"),
        ("JSON", '{"apiKey": "a b", "role": "x"}', f'{{"apiKey": "{HIDDEN}", "role": "x"}}'),
        ("JSON", r'{"token": "a\"b", "x": 1}', f'{{"token": "{HIDDEN}", "x": 1}}'),
        ("JSON", r'"{\"token\": \"a b\", \"x\": 1}"', rf'"{{\"token\": \"{HIDDEN}\", \"x\": 1}}"'),
        ("HEADER", "Authorization: Bearer 0123456789abcdef", f"Authorization: Bearer {HIDDEN}"),
    ],
)
def test_values_that_are_secrets(name: str, value: str, shown: str) -> None:
    assert masked(name, value) == shown
    assert masked(name, shown) == shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["run", "--token", "abc", "x"], ["run", "--token", HIDDEN, "x"]),
        (["run", "--token=abc", "x"], ["run", f"--token={HIDDEN}", "x"]),
        (
            ["run", "--token=a,b c", "password=a;b", "--apikey", "a b"],
            ["run", f"--token={HIDDEN}", f"password={HIDDEN}", "--apikey", HIDDEN],
        ),
        (["run", "--token", "--verbose"], ["run", "--token", "--verbose"]),
        (["run", "--token-file", "/x"], ["run", "--token-file", "/x"]),
        (["sh", "-c", "run --password abc"], ["sh", "-c", f"run --password {HIDDEN}"]),
        ([], []),
    ],
)
def test_words_of_a_command_line(words: list[str], shown: list[str]) -> None:
    assert masked_words(words) == tuple(shown)


@given(st.text(max_size=80), st.text(max_size=200))
def test_any_text_is_shown_and_stays_as_it_is_shown(name: str, value: str) -> None:
    shown = masked(name, value)
    assert masked(name, shown) == shown
    assert masked_words([value, name]) is not None


@pytest.mark.parametrize("name", ["TEXT", "TOKEN"])
def test_a_text_that_is_too_long_to_search_is_hidden(name: str) -> None:
    assert masked(name, "/" * MOST_SEARCHED) == "/" * MOST_SEARCHED
    assert masked(name, "/" * (MOST_SEARCHED + 1)) == HIDDEN
    assert masked_text("x" * (MOST_SEARCHED + 1)) == HIDDEN
    assert masked_words(["x" * (MOST_SEARCHED + 1), "y"]) == (HIDDEN, "y")


#: Secrets with any signs that may stand in a URL, and with signs that separate words elsewhere.
SECRETS = st.text("abcdefghij0123456789,;&'\"{}! =$%", min_size=12, max_size=30).map(lambda text: f"q{text}Z9")


def with_secret(secret: str, **members: Any) -> PluginConfig:
    env = [
        {"Name": "API_KEY", "Value": secret, "Settable": ["value"]},
        {"Name": "DB_PASSWORD", "Value": secret},
        {"Name": "URL", "Value": f"https://me:{quote(secret)}@host/", "Settable": ["value", "x"]},
    ]
    return config(
        Env=env,
        Entrypoint=["/bin/driver", "--token", secret],
        Args={"Name": "args", "Value": [f"--password={secret}"], "Settable": ["value"]},
        Mounts=[{"Destination": "/x", "Source": "//h/x", "Type": "cifs", "Options": ["rw", f"password={secret}"]}],
        **members,
    )


@given(SECRETS, SECRETS)
def test_a_secret_is_in_no_output(secret: str, other: str) -> None:
    one, two = with_secret(secret), with_secret(other)
    view = view_plugin(PluginContent(one, None))
    changes = DerivationChanges(env={"API_KEY": secret}, args=("--token", secret))
    difference = compare_plugins(one, two)
    shown = json.dumps(
        [
            view_as_json(view),
            facts_of(view),
            [finding.to_json() for finding in view.findings],
            repr(difference),
            str(changes),
            changes.shown(),
            masked_difference(f"env API_KEY: unset -> {json.dumps(secret)}"),
            masked_difference(f"env API_KEY: {json.dumps(other)} -> {json.dumps(secret)[:-1]}"),
        ]
    )
    for one_secret in (secret, other):
        assert not any(form in shown for form in (one_secret, quote(one_secret), json.dumps(one_secret)[1:-1]))
    assert changes.to_json() == {"env": {"API_KEY": secret}, "args": ["--token", secret]}


def test_arguments_with_a_secret_name_are_hidden() -> None:
    found = config(Args={"Name": "token", "Value": ["abc", "def"]})
    assert without_secrets(found).args.value == (HIDDEN,)
    assert list(secrets_in(found)) == ["args"]


def test_two_secrets_that_differ_are_a_difference() -> None:
    found = compare_plugins(with_secret("one1one1"), with_secret("two2two2"))
    assert [(change.what, change.before, change.after) for change in found.settings] == [
        ("API_KEY", HIDDEN, HIDDEN),
        ("URL.value", f"https://me:{HIDDEN}@host/", f"https://me:{HIDDEN}@host/"),
        ("args", f"--password={HIDDEN}", f"--password={HIDDEN}"),
    ]
    assert {change.what for change in found.config} == {"Entrypoint", "Env DB_PASSWORD", "Mount at /x"}


def test_the_finding_names_the_parts_and_is_a_warning() -> None:
    (finding,) = check_secrets(with_secret("one1one1"))
    assert (finding.code, finding.severity) == ("secret-default", Severity.WARNING)
    assert "env API_KEY, env DB_PASSWORD, env URL, entrypoint, args, mount /x" in finding.text


def test_a_config_without_secrets_has_no_finding() -> None:
    plain = config(Env=[{"Name": "TOKEN", "Value": None}, {"Name": "PASSWORD", "Value": ""}, {"Name": "DEBUG"}])
    assert list(check_secrets(plain)) == []
    assert without_secrets(plain) == plain
    assert list(check_secrets(replace(plain, entrypoint=("/bin/driver", "--verbose")))) == []


def test_plain_values_are_masked_at_any_depth() -> None:
    changes = {"env": {"apikey": "x", "role": "y"}, "args": ["--token", "x"], "fix": True}
    assert masked_values(changes) == {
        "env": {"apikey": HIDDEN, "role": "y"},
        "args": ["--token", HIDDEN],
        "fix": True,
    }


def test_a_secret_in_a_name_is_hidden_too() -> None:
    """Somebody wrote ``NAME=VALUE`` into the name."""
    names = ["PASSWORD=Tr0ub4dor", "PASSWORD=Tr0ub4dor", "OTHER=plain"]
    made = config(Env=[{"Name": name, "Value": "", "Settable": ["value", "x"]} for name in names])
    view = view_plugin(PluginContent(made, None, ()))
    text = f"{view_as_json(view)} {facts_of(view)} {[str(one) for one in view.findings]}"
    assert "Tr0ub4dor" not in text
    assert "PASSWORD=(hidden)" in text
    assert "OTHER=plain" in text
    assert list(secrets_in(made)) == ["env PASSWORD=(hidden)"] * 2
