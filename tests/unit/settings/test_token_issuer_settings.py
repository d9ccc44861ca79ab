"""The section ``server.token_issuer``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.settings import load

ISSUER = {
    "realm": "https://auth.example/token",
    "service": "plugins.example",
    "issuer": "the issuer",
    "jwks": "keys.json",
}
TLS = {"certificate": "server.crt", "key": "server.key", "client_ca": "clients.crt"}


def loaded(*access: dict[str, Any], server: dict[str, Any] | None = None, **issuer: Any) -> Any:
    told = {"token_issuer": {**ISSUER, **issuer}, **(server or {})}
    return load(flags={"server": told, "access": access, "groups": {"deployers": ["anna"]}})


def rule(*users: str, actions: str = "pull") -> dict[str, Any]:
    return {"users": users, "repositories": ["**"], "actions": actions}


def test_keys_are_in_a_file_or_at_a_url() -> None:
    assert loaded().server.token_issuer.jwks_file == Path("keys.json")
    assert loaded(jwks="https://auth.example:8443/keys?v=1").server.token_issuer.jwks_file is None


def test_the_query_of_the_url_is_not_shown() -> None:
    settings = loaded(jwks="https://auth.example/keys?token=hunter2")
    assert settings.server.token_issuer.jwks.endswith("hunter2")
    assert settings.shown()["server"]["token_issuer"]["jwks"] == "https://auth.example/keys?(hidden)"
    assert loaded(jwks="/etc/a?b").shown()["server"]["token_issuer"]["jwks"] == "/etc/a?b"


@pytest.mark.parametrize(
    "realm", ["http://auth:5001/auth", "https://gitlab.example/jwt/auth", "https://[2001:db8::1]/t"]
)
def test_the_url_of_a_token_server(realm: str) -> None:
    assert loaded(realm=realm).server.token_issuer.realm == realm


@pytest.mark.parametrize(
    ("issuer", "problem"),
    [
        ({"realm": "auth.example"}, "realm: is not the URL of a token server"),
        ({"realm": 'https://auth.example/"'}, "realm: is not the URL of a token server"),
        ({"realm": "https://auth.example/\n"}, "realm: is not the URL of a token server"),
        ({"realm": "https://user:word@auth.example/token"}, "realm: is not the URL of a token server"),
        ({"service": ""}, "service: "),
        ({"service": 'a"b'}, "service: "),
        ({"service": "a\nb"}, "service: "),
        ({"issuer": ""}, "issuer: "),
        ({"jwks": ""}, "jwks: "),
        ({"jwks": "http://auth.example/keys"}, "jwks: is neither a file nor an https:// URL"),
        ({"jwks": "https://user:word@auth.example/keys"}, "jwks: is neither a file nor an https:// URL"),
        ({"keys": "keys.json"}, "keys: unknown key"),
        ({"server": {"logins": False}}, "logins: switches off token_issuer too (false), fix: remove one of the two"),
    ],
)
def test_a_mistake_gets_one_clear_line(issuer: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        loaded(**issuer)
    (line,) = str(raised.value).splitlines()
    assert problem in line
    assert "word@" not in line


@pytest.mark.parametrize(
    ("access", "problem"),
    [
        (
            [rule("anna")],
            "access[1].actions: gives pull to anna, and with server.token_issuer tokens decide about that",
        ),
        (
            [rule("sec", actions="approve"), rule("anna", actions="approve,delete")],
            "access[2].actions: gives delete to anna",
        ),
        ([rule("sec", actions="operate")], "gives operate to sec"),
        ([rule("group:deployers", actions="push")], "gives push to anna"),
        ([rule("*")], "gives pull to *"),
    ],
)
def test_a_rule_without_an_effect_is_refused(access: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        loaded(*access)
    (line,) = str(raised.value).splitlines()
    assert problem in line


def test_rules_for_certificates_and_for_approving_stay() -> None:
    clients = rule("*", "cert:CN=host-*", actions="pull,operate")
    settings = loaded(clients, rule("sec", "group:deployers", actions="approve"), server={"tls": TLS})
    assert len(settings.access_rules) == 2
