import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

from mirror import __version__
from mirror.cli import options
from mirror.cli.command_line import run
from mirror.cli.start.lazy_commands import LazyGroup
from mirror.cli.start.manual_pages import manual_pages
from mirror.cli.start.root_group import root_group
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


def commands(group=None, path=()):
    found = {}
    for command in (group or root_group()).commands.values():
        below = (*path, command.name)
        found |= commands(command, below) if isinstance(command, LazyGroup) else {below: command}
    return found


COMMANDS = commands()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_the_common_options(path, capsys):
    assert run([*path, "-h"]) == 0
    shown = capsys.readouterr().out
    (example,) = [line for line in shown.splitlines() if line.startswith("  Example: ")]
    assert f"plugin-mirror {' '.join(path)}" in example
    assert all(option in shown for option in ("-h, --help", "-v, --verbose", "-q, --quiet", "--debug"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_list_of_commands_shows_the_first_sentences_of_their_help(path):
    command = COMMANDS[path]
    assert " ".join(command.load().help.split("\n\n")[0].split()) == command.short_help


#: The log of a server, and scripts and schemas in formats of their own.
WITHOUT_JSON = {
    ("serve",),
    ("config", "schema"),
    ("host", "schema"),
    ("completion", "bash"),
    ("completion", "zsh"),
    ("completion", "fish"),
}


def test_every_other_command_prints_json_for_programs():
    without = {path for path, command in COMMANDS.items() if "json" not in {p.name for p in command.load().params}}
    assert without == WITHOUT_JSON


def test_no_line_of_a_help_text_is_broken_at_80_columns():
    paragraphs = [text for command in COMMANDS.values() for text in command.load().help.split("\n\n")]
    # A paragraph that is one line is filled, and may be long.
    assert [text for text in paragraphs if "\n" in text and max(map(len, text.splitlines())) > 78] == []


def test_the_commands_about_bundles_are_listed_in_the_order_of_use(capsys):
    assert run(["bundle", "--help"]) == 0
    listed = re.findall(r"(?m)^  (\w+)  ", capsys.readouterr().out.partition("Commands:")[2])
    order = "keygen keyset trust export sign split join verify show import receipt installer"
    assert listed == order.split()


@pytest.mark.parametrize("group", [[], ["bundle"]])
def test_a_group_without_a_command_prints_its_help(group, capsys):
    assert run(group) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.startswith(f"Usage: {' '.join(['plugin-mirror', *group])}")) == ("", True)


@pytest.mark.parametrize("arguments", [["version"], ["--version"], ["-V"]])
def test_the_version(arguments, capsys):
    assert run(arguments) == 0
    assert capsys.readouterr().out == f"plugin-mirror {__version__}\n"


def test_the_version_for_programs(capsys):
    assert run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell, capsys):
    assert run(["completion", shell]) == 0
    assert "_PLUGIN_MIRROR_COMPLETE" in capsys.readouterr().out


def test_commands_and_options_are_completed(capsys, monkeypatch):
    monkeypatch.setenv("_PLUGIN_MIRROR_COMPLETE", "complete_bash")
    for words, found in (("bun", ["bundle"]), ("token c", ["create"]), ("ls --j", ["--json"])):
        monkeypatch.setenv("COMP_WORDS", f"plugin-mirror {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
        with pytest.raises(SystemExit) as ended:
            run([])
        assert (ended.value.code, capsys.readouterr().out.split()) == (0, found)


def test_each_command_has_a_manual_page():
    pages = dict(manual_pages())
    assert {f"plugin-mirror-{'-'.join(path)}.1" for path in COMMANDS} < pages.keys()
    for page in pages.values():
        assert page.startswith(".TH PLUGIN")
        assert "\n.nh\n.SH NAME\n" in page
        assert not re.search(r"(?m)^'|^\.(?!TH |SH |TP$|PP$|nf$|fi$|nh$)", page)
    page = pages["plugin-mirror-ls.1"]
    assert "\\fB\\-d, \\-\\-data DIR\\fR\nData folder." in page
    assert ".SH EXAMPLE\n.nf\nplugin\\-mirror ls contiv/v2plugin\n.fi" in page


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
    monkeypatch.setattr("mirror.app.serving.serve", lambda read, _file, _bundle: served.append(read()) or 0)
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
    assert told.err.startswith("warning: c.yaml:1: mirrors[s]: this rule and r may both copy to x, ")
    assert told.out == "c.yaml: valid (1 upstreams, 2 mirror rules, 0 proxy rules)\n"


def test_config_check_warns_about_what_should_be_changed(capsys):
    Path("c.yaml").write_text("server: {behind_proxy: true}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("c.yaml: valid")
    assert told.err.startswith("warning: c.yaml:1: server.behind_proxy: is deprecated: ")


def test_config_check_warns_about_certificates_that_cannot_be_used_here(capsys, tmp_path):
    Path("c.yaml").write_text("server: {tls: {certificate: server.crt, key: server.key}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith(
        "warning: c.yaml:1: server.tls.certificate: server.crt cannot be read: No such file or directory, fix: "
    )
    CertificateFiles.made(tmp_path)
    Path("c.yaml").write_text(f"server: {{tls: {{certificate: {tmp_path}/server.crt, key: {tmp_path}/server.key}}}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    assert capsys.readouterr().err == ""


def test_config_check_warns_about_keys_of_a_token_issuer_that_cannot_be_used_here(capsys):
    Path("c.yaml").write_text("server: {token_issuer: {realm: 'https://a/t', service: s, issuer: i, jwks: keys.json}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    told = "warning: c.yaml:1: server.token_issuer.jwks: keys.json cannot be read: No such file or directory, fix: "
    assert capsys.readouterr().err.startswith(told)


def test_config_check_warns_about_missing_files_of_upstreams(capsys):
    login = "{username: anna, password_file: /gone}"
    Path("c.yaml").write_text(f"upstreams: {{hub: {{url: 'https://r.example', credentials: {login}}}}}")
    assert run(["config", "check", "--config", "c.yaml"]) == 0
    assert capsys.readouterr().err == (
        "warning: c.yaml:1: upstreams.hub.credentials.password_file: does not exist (/gone), fix: create the file, or "
        "correct the path\n"
    )


def test_every_command_warns_about_a_misspelled_variable(capsys, monkeypatch):
    monkeypatch.setenv("PLUGIN_MIRROR_STORAGE__PAHT", "/srv/plugins")
    monkeypatch.setenv("PLUGIN_MIRROR_SERVICE_HOST", "10.43.0.17")
    assert run(["config", "check"]) == 0
    assert capsys.readouterr().err == (
        "warning: PLUGIN_MIRROR_STORAGE__PAHT is no setting and has no effect, fix: write PLUGIN_MIRROR_STORAGE__PATH, "
        "or unset it\n"
    )


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


@pytest.mark.parametrize("arguments", [["ls", "--debug"], ["--debug", "ls"]])
def test_debug_shows_the_trace(arguments, capsys):
    assert run(arguments) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["ls", "--nosuch"], ["nosuch"], ["bundle", "nosuch"], ["inspect"], ["rm", "-o"]])
def test_wrong_usage_is_one_line_with_a_fix(arguments, capsys):
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"error: .+; fix: see 'plugin-mirror.* --help'", line)


@pytest.mark.usefixtures("empty_store")
def test_verbose_tells_which_files_are_used(capsys, monkeypatch, tmp_path):
    assert run(["ls", "-v"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == ["configuration: no file", f"data folder: {tmp_path}/data"]
    Path("c.yaml").write_text("storage: {path: data}")
    monkeypatch.setenv("PLUGIN_MIRROR_CONFIG", "c.yaml")
    assert run(["-v", "ls"]) == 0
    assert capsys.readouterr().err.startswith("configuration: c.yaml\n")


@pytest.mark.usefixtures("empty_store")
def test_quiet_prints_errors_and_results_only(capsys):
    assert run(["ls", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["ls", "a/b", "-q"]) == 1
    assert capsys.readouterr().err == (
        "error: the registry has no repository a/b; fix: 'plugin-mirror ls' lists what the store holds\n"
    )
    assert run(["ls"]) == 0
    assert "the store is empty" in capsys.readouterr().err


def test_the_default_place_of_the_configuration_is_read_if_there_is_a_file(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("PLUGIN_MIRROR_CONFIG")
    monkeypatch.setattr(options, "DEFAULT_CONFIG", tmp_path / "config.yaml")
    assert run(["config", "check"]) == 0
    assert capsys.readouterr().out.startswith("the defaults: valid")
    (tmp_path / "config.yaml").write_text("server: {workers: 2}")
    assert run(["config", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == f"{tmp_path}/config.yaml"
    assert run(["config", "check", "--config", "/dev/null"]) == 0
    assert capsys.readouterr().out.startswith("the defaults: valid")
    (tmp_path / "config.yaml").write_text("server: {workers: none}")
    assert run(["ls"]) == 2
    assert f"{tmp_path}/config.yaml:1: server.workers" in capsys.readouterr().err


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
