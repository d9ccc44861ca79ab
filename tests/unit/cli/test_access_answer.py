"""``config check --as NAME --can ACTION REPOSITORY``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.records.users import User
from mirror.store.registry import Store

RULES = """
groups: {deployers: [anna]}
access:
  - {users: [ben], repositories: ["**"], actions: [pull]}
  - {users: ["group:deployers"], repositories: ["acme/**", shared], actions: [pull, push]}
  - {users: [sec], repositories: ["**"], actions: [operate, approve]}
"""
TLS = "tls: {certificate: server.crt, key: server.key, client_ca: clients.crt}"
CLIENT = "\n  - {users: ['cert:DNS=*.example'], repositories: [hosts], actions: [pull]}"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def anna() -> None:
    async def add() -> None:
        async with Store.open(Path("data")) as store:
            await store.records.users.add_user(User("anna", "$2b$12$x", datetime.now(UTC)))

    asyncio.run(add())


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]):
    def ask(name: str, *can: str, server: str = "anonymous: [pull]", rules: str = RULES) -> tuple[int, list[str], str]:
        Path("config.yaml").write_text(f"server: {{{server}}}\n{rules}")
        code = run(["config", "check", "--config", "config.yaml", "--as", name, "--can", *can])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err

    return ask


@pytest.mark.usefixtures("anna")
def test_the_rule_that_allows_it_is_named_with_its_lines(ask) -> None:
    assert ask("anna", "push", "acme/driver") == (
        0,
        [
            "yes: push of acme/driver is allowed to anna, by rule 2 under access:",
            "  users: group:deployers",
            "  repositories: acme/**, shared",
            "  actions: pull, push",
        ],
        "",
    )


@pytest.mark.usefixtures("anna")
def test_a_refusal_names_the_rules_of_the_user(ask) -> None:
    assert ask("anna", "push", "other") == (
        1,
        [
            "no: anna may not push other; fix: add a rule under access: in the configuration",
            "rules under access: for anna: 2",
        ],
        "",
    )


@pytest.mark.parametrize("name", ["anonymous", "anna"])
@pytest.mark.usefixtures("anna")
def test_anonymous_rights_are_named_if_they_allow_it(ask, name: str) -> None:
    line = f"yes: pull of acme/driver is allowed to {name}, as to everybody, by server.anonymous: [pull]"
    assert ask(name, "pull", "acme/driver") == (0, [line], "")


def test_a_user_called_anonymous_is_told_apart(ask) -> None:
    rules = "access: [{users: [anonymous], repositories: ['**'], actions: [push]}]"
    code, _, notes = ask("anonymous", "push", "acme/driver", rules=rules)
    assert code == 1
    assert notes == "note: 'anonymous' stands for a caller without a login here, and not for the user of this name\n"


def test_a_caller_without_a_login_may_not(ask) -> None:
    code, (line,), _ = ask("anonymous", "push", "acme/driver")
    assert code == 1
    assert line.startswith("no: push of acme/driver is not allowed here; fix: to allow this without a login, set ")


@pytest.mark.parametrize(("name", "code"), [("sec", 0), ("ben", 1)])
def test_an_action_on_the_whole_server(ask, name: str, code: int) -> None:
    assert ask(name, "operate", "**")[0] == code


def test_a_user_who_does_not_exist_is_a_note(ask) -> None:
    code, lines, notes = ask("anna", "push", "acme/driver")
    assert (code, lines[0]) == (0, "yes: push of acme/driver is allowed to anna, by rule 2 under access:")
    assert "note: whether there is a user anna is not known: " in notes


@pytest.mark.usefixtures("anna")
def test_an_unknown_user_of_a_data_folder_is_a_note(ask) -> None:
    assert ask("ben", "pull", "x", server="anonymous: []")[2].startswith("note: there is no user ben in data; fix: add")


@pytest.mark.usefixtures("anna")
def test_without_logins_every_user_is_anonymous(ask) -> None:
    code, _, notes = ask("anna", "push", "acme/driver", server="anonymous: [pull], logins: false")
    assert (code, notes) == (1, "note: server.logins is false, so nobody can log in, and every user is anonymous\n")


@pytest.mark.usefixtures("anna")
def test_a_server_that_changes_nothing_is_a_note(ask) -> None:
    _, _, notes = ask("anna", "push", "acme/driver", server="read_only: true")
    assert notes == "note: server.read_only is true, so the server changes nothing, whoever asks\n"


@pytest.mark.parametrize(
    ("name", "repository", "code"),
    [("cert:DNS=Host.Example", "hosts", 0), ("cert:CN=host.example", "hosts", 1), ("cert:DNS=host.example", "x", 1)],
)
def test_a_client_with_a_certificate(ask, name: str, repository: str, code: int) -> None:
    server = f"anonymous: [], {TLS}"
    assert ask(name, "pull", repository, server=server, rules=RULES.rstrip() + CLIENT)[0] == code


def test_without_a_ca_of_clients_nobody_shows_a_certificate(ask) -> None:
    code, _, notes = ask("cert:CN=ci", "push", "acme/driver")
    assert (code, notes.partition(",")[0]) == (1, "note: server.tls.client_ca is not set")


ISSUED = "anonymous: [pull], token_issuer: {realm: 'https://auth.example/t', service: s, issuer: i, jwks: keys.json}"
APPROVERS = "access: [{users: [sec], repositories: [acme/*], actions: [approve]}]"


@pytest.mark.parametrize(
    ("name", "action", "repository", "code"),
    [
        ("sec", "approve", "acme/driver", 0),
        ("anna", "approve", "acme/driver", 1),
        ("anna", "operate", "**", 1),
        ("anna", "pull", "acme/driver", 0),
        ("anna", "push", "acme/driver", 2),
        ("anonymous", "push", "acme/driver", 1),
    ],
)
def test_the_issuer_of_tokens_decides_about_content(ask, name: str, action: str, repository: str, code: int) -> None:
    answer, _, notes = ask(name, action, repository, server=ISSUED, rules=APPROVERS)
    assert answer == code
    assert ("the issuer of tokens decides whether anna may push" in notes) == (code == 2)
    assert ("note: with server.token_issuer, a token must name the action too" in notes) == (name != "anonymous")


@pytest.mark.parametrize(
    ("name", "can", "problem"),
    [
        ("Anna", ("push", "x"), "'Anna' is not a user's name"),
        ("group:deployers", ("push", "x"), "'group:deployers' is not a user's name"),
        ("cert:CN=ci-*", ("push", "x"), "'cert:CN=ci-*' names several clients"),
        ("anna", ("fly", "x"), "'fly' is not an action; fix: use one of pull, push, delete, approve, operate"),
        ("anna", ("push", "X"), "'X'"),
        ("anna", ("push", "acme/*"), "'acme/*'"),
    ],
)
def test_a_wrong_question_is_one_clear_line(ask, name: str, can: tuple[str, str], problem: str) -> None:
    code, lines, error = ask(name, *can)
    assert (code, lines, len(error.splitlines())) == (2, [], 1)
    assert problem in error


def test_both_options_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--as", "anna"]) == 2
    assert "--as and --can belong together" in capsys.readouterr().err
