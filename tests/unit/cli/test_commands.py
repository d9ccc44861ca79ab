import hashlib
import inspect
import json
import re
from pathlib import Path

import pytest
import yaml

from mirror.cli.command_line import application, run
from mirror.store.registry import Store
from tests.support.certificates import CertificateFiles


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
async def empty_store(tmp_path):
    async with Store.open(tmp_path / "data"):
        pass


def commands():
    names = [[command.name] for command in application.registered_commands]
    for group in application.registered_groups:
        names += [
            [group.name, command.name or command.callback.__name__]
            for command in group.typer_instance.registered_commands
        ]
    return names


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(command, capsys):
    assert run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"Example: .*plugin-mirror", shown)


def test_no_line_of_a_help_text_is_broken_at_80_columns():
    groups = [application, *(group.typer_instance for group in application.registered_groups)]
    callbacks = [command.callback for group in groups for command in group.registered_commands]
    paragraphs = [text for callback in callbacks for text in inspect.getdoc(callback).split("\n\n")]
    # A paragraph that is one line is filled, and may be long.
    assert [text for text in paragraphs if "\n" in text and max(map(len, text.splitlines())) > 78] == []


def test_the_commands_about_bundles_are_listed_in_the_order_of_use(capsys):
    assert run(["bundle", "--help"]) == 0
    listed = re.findall(r"(?m)^│ (\w+) ", capsys.readouterr().out)
    order = "keygen keyset trust export sign split join verify show import receipt installer"
    assert listed == order.split()


@pytest.mark.parametrize(("output", "code"), [("absent/install-plugin", 2), ("folder", 5)])
def test_an_installer_that_cannot_be_written_is_one_line(output, code, capsys):
    Path("folder").mkdir()
    assert run(["bundle", "installer", "-o", output]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert not list(Path.cwd().rglob("*.partial"))


def test_the_hash_of_an_installer_is_printed(capsys):
    assert run(["bundle", "installer", "-o", "install-plugin", "--json"]) == 0
    content = Path("install-plugin").read_bytes()
    assert json.loads(capsys.readouterr().out) == {
        "file": "install-plugin",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize(("configured", "anonymous"), [("", ["pull"]), ("{server: {anonymous: []}}", [])])
def test_everybody_may_pull_from_a_bundle_unless_the_configuration_says_otherwise(configured, anonymous, monkeypatch):
    served = []
    monkeypatch.setattr("mirror.app.serving.serve", lambda settings, _bundle: served.append(settings) or 0)
    Path("c.yaml").write_text(configured)
    assert run(["serve", "--bundle", "F.tar", "--listen", "0.0.0.0:5000", "--config", "c.yaml"]) == 0
    assert [[action.value for action in settings.server.anonymous] for settings in served] == [anonymous]


def test_config_check_says_that_it_is_fine(capsys):
    Path("c.yaml").write_text("upstreams: {hub: {url: 'https://registry-1.docker.io'}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    assert capsys.readouterr().out == "c.yaml: valid (1 upstreams, 0 mirror rules, 0 proxy rules)\n"


def test_config_check_warns_about_rules_that_may_want_one_tag(capsys):
    rules = ", ".join(f"{{name: {name}, from: hub/{name}, to: x}}" for name in ("r", "s"))
    Path("c.yaml").write_text(f"{{upstreams: {{hub: {{url: 'https://registry-1.docker.io'}}}}, mirrors: [{rules}]}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: mirror rules r and s may both copy to x, ")
    assert told.out == "c.yaml: valid (1 upstreams, 2 mirror rules, 0 proxy rules)\n"


def test_config_check_warns_about_what_should_be_changed(capsys):
    Path("c.yaml").write_text("server: {behind_proxy: true}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("c.yaml: valid")
    assert told.err.startswith("warning: server.behind_proxy is deprecated: ")


def test_config_check_warns_about_certificates_that_cannot_be_used_here(capsys, tmp_path):
    Path("c.yaml").write_text("server: {tls: {certificate: server.crt, key: server.key}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: server.tls.certificate server.crt cannot be read: No such file or directory")
    CertificateFiles.made(tmp_path)
    Path("c.yaml").write_text(f"server: {{tls: {{certificate: {tmp_path}/server.crt, key: {tmp_path}/server.key}}}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    assert capsys.readouterr().err == ""


def test_config_check_warns_about_keys_of_a_token_issuer_that_cannot_be_used_here(capsys):
    Path("c.yaml").write_text("server: {token_issuer: {realm: 'https://a/t', service: s, issuer: i, jwks: keys.json}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    assert "warning: server.token_issuer.jwks: keys.json cannot be read: " in capsys.readouterr().err


def test_config_check_names_every_mistake(capsys):
    Path("c.yaml").write_text("server: {workers: 0, lisen: x}")
    assert run(["config", "check", "--config", "c.yaml"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.partition(" ")[0] for line in told.err.splitlines()] == ["error:", "error:"]


@pytest.mark.parametrize(("option", "read"), [([], yaml.safe_load), (["--json"], json.loads)])
def test_config_show_prints_what_is_in_force(option, read, capsys, monkeypatch):
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__WORKERS", "3")
    assert run(["config", "show", "--data", "elsewhere", *option]) == 0
    shown = read(capsys.readouterr().out)
    assert (shown["server"]["workers"], shown["storage"]["path"]) == (3, "elsewhere")


def test_config_show_can_be_read_back(capsys):
    Path("c.yaml").write_text(
        "server: {listen: '[::1]:5001', anonymous: [pull]}\n"
        "upstreams: {hub: {url: 'https://r.example', credentials: {username: me, password_file: /secret}}}\n"
        "mirrors: [{name: a, from: hub/b, to: c}]\n"
    )
    assert run(["config", "show", "--config", "c.yaml"]) == 0
    shown = capsys.readouterr().out
    Path("again.yaml").write_text(shown)
    assert run(["config", "show", "--config", "again.yaml"]) == 0
    assert capsys.readouterr().out == shown


def test_config_schema_is_a_json_schema(capsys):
    assert run(["config", "schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["properties"]) >= {"server", "storage", "upstreams", "mirrors"}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["ls"], 2, "no data folder data"),
        (["inspect", "a:b:c"], 2, "is not a tag"),
        (["inspect", "Upper/Case"], 2, "is not a repository name"),
        (["lint", "folder/typo"], 2, "create a folder); for a folder or file, check the path ./folder/typo"),
        (["lint", "folder/typo/"], 2, "folder/typo is not a folder for 'docker plugin create'"),
        (["ls", "--data", "data", "--config", "absent.yaml"], 2, "absent.yaml: cannot be read"),
        (["sync"], 2, "no mirror rules"),
        (["serve", "--listen", "0.0.0.0:5000"], 2, "anonymous: [pull, push]"),
        (["serve", "--listen", "nonsense"], 2, "HOST:PORT"),
        (["inspect", "127.0.0.1:9/a/b:1"], 3, "127.0.0.1:9"),
        (["nosuch"], 2, "nosuch"),
        (["ls", "--nosuch"], 2, "--nosuch"),
    ],
)
def test_a_wrong_command_line_is_told_in_words(arguments, exit_code, told, capsys):
    assert run(arguments) == exit_code
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_debug_shows_the_trace(capsys):
    assert run(["ls", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.usefixtures("empty_store")
def test_an_empty_store_is_told(capsys):
    assert run(["ls"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "the store is empty" in told.err
    assert run(["ls", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.usefixtures("empty_store")
@pytest.mark.parametrize("arguments", [["ls", "a/b"], ["inspect", "a/b:1"]])
def test_what_is_not_held_is_a_no(arguments, capsys):
    assert run(arguments) == 1
    # A name with a tag is never a path.
    assert capsys.readouterr().err == (
        "error: the registry has no repository a/b; fix: 'plugin-mirror ls' lists what the store holds\n"
    )


@pytest.mark.usefixtures("empty_store")
@pytest.mark.parametrize("arguments", [["lint", "typo"], ["inspect", "typo"], ["diff", "typo", "typo"]])
def test_a_name_that_may_be_a_path_is_told_as_both(arguments, capsys):
    assert run(arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "error: the registry has no repository typo; for a folder or file, check the path ./typo; fix: "
    )
