from pathlib import Path

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.settings import Action, load, schema

HUB = "upstreams: {hub: {url: 'https://registry-1.docker.io'}}\n"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def test_the_defaults_need_no_file():
    settings = load()
    assert str(settings.server.listen) == "127.0.0.1:5000"
    assert settings.storage.path == Path("data")
    assert settings.server.anonymous_actions == {Action.PULL, Action.PUSH}


def test_flags_win_over_the_environment_which_wins_over_the_file(written, monkeypatch):
    path = written("server: {listen: '127.0.0.1:1', workers: 2, shutdown_seconds: 3}")
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__WORKERS", "4")
    server = load(path, {"server": {"listen": "127.0.0.1:3"}}).server
    assert (str(server.listen), server.workers, server.shutdown_seconds) == ("127.0.0.1:3", 4, 3)


def test_actions_can_be_given_by_the_environment_in_words(monkeypatch):
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__ANONYMOUS", "pull, delete")
    assert load().server.anonymous_actions == {Action.PULL, Action.DELETE}


def test_an_empty_file_is_the_defaults(written):
    assert load(written("")) == load()


def test_an_open_address_wants_words_about_pushing(written):
    with pytest.raises(ConfigurationFault, match=r"'anonymous: \[pull, push\]'"):
        load(written("server: {listen: '0.0.0.0:5000'}"))
    assert load(written("server: {listen: '0.0.0.0:5000', anonymous: [pull]}")).server.anonymous_actions == {
        Action.PULL
    }


def test_the_mirror_rules_of_a_file(written):
    text = HUB + (
        "mirrors:\n"
        "  - {name: contiv, from: hub/store/contiv/v2plugin, to: contiv/v2plugin, every: 6h,\n"
        "     tags: {include: ['1.0.0-beta.*'], exclude: ['*-rc*'], newest: 5}}\n"
        "proxy: [{from: 'hub/**', to: 'hub/**'}]\n"
    )
    settings = load(written(text))
    (rule,) = settings.mirrors
    assert (rule.name, rule.source, rule.to, rule.tags.newest) == (
        "contiv",
        "hub/store/contiv/v2plugin",
        "contiv/v2plugin",
        5,
    )
    assert settings.shown()["mirrors"][0]["from"] == "hub/store/contiv/v2plugin"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {lisen: x}", "server.lisen: unknown key; did you mean listen?"),
        ("serverr: {}", "serverr: unknown key; did you mean server?"),
        ("server: {workers: 0}", "server.workers: "),
        ("server: {listen: nowhere}", "server.listen: 'nowhere' is not HOST:PORT"),
        ("server: {anonymous: [fly]}", "server.anonymous.0: "),
        ("server: [", "not YAML"),
        ("server: {workers: 1, workers: 2}", "'workers' is given twice"),
        ("- a", "holds no sections"),
        ("upstreams: {hub: {url: 'http://r.example'}}", "plain_http: true"),
        ("upstreams: {hub: {url: 'https://r.example/path'}}", "upstreams.hub.url: "),
        ("upstreams: {hub: {url: 'https://u:p@r.example'}}", "upstreams.hub.url: "),
        ("upstreams: {hub: {}}", "upstreams.hub.url: is required"),
        (HUB + "mirrors: [{name: a, from: x/b, to: b}]", "no upstream is named 'x' (upstreams: hub)"),
        (HUB + "mirrors: [{name: a, from: hub, to: b}]", "'hub' is not UPSTREAM/REPOSITORY"),
        (
            HUB + "mirrors: [{name: a, from: hub/b, to: b}, {name: a, from: hub/c, to: c}]",
            "given to more than one rule",
        ),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, every: soon}]", "every: "),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, every: 1h, cron: '* * * * *'}]", "every or cron, not both"),
        ("upstreams: {a: {url: 'https://r.example', credentials: {username: me}}}", "both username and password_file"),
    ],
)
def test_a_mistake_gets_one_clear_line(written, text, problem):
    with pytest.raises(ConfigurationFault) as caught:
        load(written(text))
    (line,) = str(caught.value).splitlines()
    assert problem in line
    assert "config.yaml" in line


def test_every_mistake_is_told_at_once(written):
    with pytest.raises(ConfigurationFault) as caught:
        load(written("server: {workers: 0, lisen: x}\nlog: {level: loud}"))
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_a_variable_of_no_section(monkeypatch):
    monkeypatch.setenv("PLUGIN_MIRROR_SERVR__LISTEN", "127.0.0.1:1")
    with pytest.raises(ConfigurationFault, match="no section is named 'servr'"):
        load()


def test_the_schema_names_the_keys_of_the_file():
    definitions = schema()["$defs"]
    assert "from" in definitions["MirrorSettings"]["properties"]
    assert definitions["ServerSettings"]["properties"]["listen"]["type"] == "string"


@pytest.mark.parametrize("path", sorted(Path("config").glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_load(path):
    assert load(path)


def test_the_default_example_is_the_defaults():
    example = load(Path("config/default.yaml"))
    assert example.server.anonymous_actions == load().server.anonymous_actions
    said = example.model_copy(update={"server": example.server.model_copy(update={"anonymous": None})})
    assert said == load()
