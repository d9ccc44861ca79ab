import json
import traceback
from dataclasses import fields
from datetime import time, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from mirror.oci import Tag
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.rootfs.layer_limits import LayerLimits
from mirror.server.http.server_limits import ServerLimits
from mirror.settings import AccessAction, Settings, load, schema
from mirror.settings.loading.model_keys import is_section, keys_at, kinds_at
from mirror.settings.loading.unusable_files import unusable_files, without_secret_paths
from mirror.sync.retention import Retention

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
    assert settings.server.anonymous_actions == {AccessAction.PULL, AccessAction.PUSH}


def test_flags_win_over_the_environment_which_wins_over_the_file(written, monkeypatch):
    path = written("server: {listen: '127.0.0.1:1', workers: 2, shutdown_seconds: 3}")
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__WORKERS", "4")
    server = load(path, {"server": {"listen": "127.0.0.1:3"}}).server
    assert (str(server.listen), server.workers, server.shutdown_seconds) == ("127.0.0.1:3", 4, 3)


def test_defaults_of_a_command_are_below_everything_else(written, monkeypatch):
    defaults = {"server": {"workers": 7}, "log": {"level": "error"}}
    file = written("server:\n  workers: 3\n")
    assert (load(None, None, defaults).server.workers, load(file, None, defaults).server.workers) == (7, 3)
    assert load(file, None, defaults).log.level == "error"
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__WORKERS", "4")
    assert load(None, None, defaults).server.workers == 4


def test_actions_can_be_given_by_the_environment_in_words(monkeypatch):
    monkeypatch.setenv("PLUGIN_MIRROR_SERVER__ANONYMOUS", "pull, delete")
    assert load().server.anonymous_actions == {AccessAction.PULL, AccessAction.DELETE}


def test_an_empty_file_is_the_defaults(written):
    assert load(written("")) == load()


def test_an_open_address_wants_words_about_pushing(written):
    with pytest.raises(ConfigurationFault, match=r"'anonymous: \[pull, push\]'"):
        load(written("server: {listen: '0.0.0.0:5000'}"))
    assert load(written("server: {listen: '0.0.0.0:5000', anonymous: [pull]}")).server.anonymous_actions == {
        AccessAction.PULL
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
        ("contiv/v2plugin",),
        5,
    )
    assert settings.shown()["mirrors"][0]["from"] == "hub/store/contiv/v2plugin"


def test_a_rule_with_everything(written):
    text = HUB + (
        "mirrors:\n"
        "  - {name: acme, from: 'hub/acme/*', to: '*', cron: '17 3 * * *', time_zone: Europe/Zurich,\n"
        "     tags: {include: ['/^v[0-9]/'], semver: '>=1 <2'}, on_upstream_delete: follow,\n"
        f"     pin: {{'driver:1.0': 'sha256:{'0' * 64}'}}, keep: {{newest: 3, pulled_within: 90d}}}}\n"
    )
    settings = load(written(text))
    rule = settings.mirrors[0].rule()
    assert str(rule.schedule) == "cron 17 3 * * * (Europe/Zurich)"
    assert rule.tags.takes(Tag("v1.5"))
    assert not rule.tags.takes(Tag("1.5"))
    assert [str(name) for name, _ in rule.pins] == ["driver"]
    assert rule.retention == Retention(3, timedelta(days=90))
    assert load(written(yaml.safe_dump(settings.shown()))) == settings


def test_a_rule_that_takes_a_part_of_the_content(written):
    text = HUB + (
        "mirrors:\n"
        "  - {name: acme, from: hub/acme, to: acme, platforms: [linux/amd64, Linux/arm/v7], foreign_layers: urls,\n"
        "     foreign_hosts: ['layers.example', 'http://[fd00::1]:8080']}\n"
        "proxy: [{from: 'hub/**', to: '**', platforms: [linux/arm64]}]\n"
    )
    settings = load(written(text))
    choice = settings.mirrors[0].rule().choice
    assert str(choice.platforms) == "linux/amd64, linux/arm/v7"
    assert choice.foreign_setting == "urls of layers.example, http://[fd00::1]:8080"
    assert settings.proxy[0].platforms == ("linux/arm64",)
    assert load(written(yaml.safe_dump(settings.shown()))) == settings


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("platforms: [amd64]", r"is not a platform \(amd64\), fix: write OS/ARCHITECTURE"),
        ("foreign_layers: urls", "needs foreign_hosts"),
        ("foreign_hosts: [layers.example]", "needs foreign_hosts, and nothing else uses them"),
        ("foreign_layers: urls, foreign_hosts: ['https://layers.example']", "is not a host"),
        ("foreign_layers: urls, foreign_hosts: ['layers.example/x']", "is not a host"),
        ("foreign_layers: urls, foreign_hosts: ['läyers.example']", "is not a host"),
        ("foreign_layers: never", "foreign_layers"),
    ],
)
def test_a_part_of_the_content_that_makes_no_sense(written, keys, told):
    with pytest.raises(ConfigurationFault, match=told):
        load(written(HUB + f"mirrors: [{{name: a, from: hub/b, to: c, {keys}}}]"))


def test_a_rule_with_several_names_and_changes(written):
    text = HUB + (
        "mirrors:\n"
        "  - {name: acme, from: hub/acme/driver, to: [driver, site/driver],\n"
        "     derive: {env: {name: '{name}:{tag}'}, mounts: {/run: /srv}, devices: {fuse: /dev/fuse}, args: [a],\n"
        "              fix: true}}\n"
    )
    settings = load(written(text))
    rule = settings.mirrors[0].rule()
    assert rule.targets == ("driver", "site/driver")
    assert rule.changes == DerivationChanges(
        {"name": "{name}:{tag}"}, {"/run": "/srv"}, {"fuse": "/dev/fuse"}, ("a",), fix=True
    )
    assert load(written(yaml.safe_dump(settings.shown()))) == settings


def test_secrets_of_changes_are_not_shown(written):
    text = (
        HUB + "mirrors: [{name: a, from: hub/b, to: c, derive: {env: {apikey: q7Rz, role: x}, args: [--token, q7Rz]}}]"
    )
    settings = load(written(text))
    shown = settings.shown()["mirrors"][0]["derive"]
    assert (shown["env"], shown["args"]) == ({"apikey": "(hidden)", "role": "x"}, ["--token", "(hidden)"])
    assert settings.mirrors[0].derive.changes() == DerivationChanges(
        {"apikey": "q7Rz", "role": "x"}, args=("--token", "q7Rz")
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HUB + "mirrors: [{name: a, from: hub/b, to: {}}]", "mirrors[a].to: "),
        (HUB + "mirrors: [{name: a, from: hub/b, to: []}]", "to: a repository is missing or given twice"),
        (HUB + "mirrors: [{name: a, from: hub/b, to: [c, c]}]", "to: a repository is missing or given twice"),
        (HUB + "mirrors: [{name: a, from: hub/b, to: c, derive: {}}]", "there is nothing to change, fix: give env"),
        (HUB + "mirrors: [{name: a, from: hub/b, to: c, derive: {envs: {}}}]", "mirrors[a].derive.envs: unknown key"),
        (HUB + "mirrors: [{name: a, from: hub/b, to: c, derive: {env: {a: [1]}}}]", "mirrors[a].derive.env.a: "),
        (HUB + "mirrors: [{name: a, from: hub/b, to: c, derive: {env: {a: '{x}'}}}]", "a word in braces is unknown"),
        ("server: {lisen: x}", "server.lisen: unknown key, fix: write listen"),
        ("serverr: {}", "serverr: unknown key, fix: write server"),
        ("server: {trusted_proxies: 10.0.0.0/8}", "is not a list (10.0.0.0/8), fix: write [a, b]"),
        ("server: {limits: 3}", "server.limits: is not a section (3)"),
        ("upstreams: [a]", "upstreams: is not a section"),
        ("server: {workers: 0}", "server.workers: "),
        ("server: {listen: nowhere}", "server.listen: is not HOST:PORT (nowhere)"),
        ("server: {anonymous: [fly]}", "server.anonymous[1]: "),
        ("server: [", ":1: a bracket or brace is not closed"),
        ("server: {workers: 1, workers: 2}", "the key workers is given twice"),
        ("- a", "the file has no sections"),
        ("upstreams: {hub: {url: 'http://r.example'}}", "plain_http: true"),
        ("upstreams: {hub: {url: 'https://r.example/path?x=1'}}", "upstreams.hub.url: "),
        ("upstreams: {hub: {url: 'https://u:p@r.example'}}", "upstreams.hub.url: "),
        ("upstreams: {hub: {}}", "upstreams.hub.url: is missing"),
        (
            HUB + "mirrors: [{name: a, from: x/b, to: b}]",
            "mirrors[a].from: no upstream is named 'x' (x/b), fix: add it under upstreams:, or write one of hub",
        ),
        (HUB + "mirrors: [{name: a, from: hub, to: b}]", "is not UPSTREAM/REPOSITORY (hub)"),
        (
            HUB + "mirrors: [{name: a, from: hub/b, to: b}, {name: a, from: hub/c, to: c}]",
            "another rule has the name 'a' too",
        ),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, every: soon}]", "every: "),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, every: 1h, cron: '* * * * *'}]", "every or cron, not both"),
        (
            HUB + "mirrors: [{name: a, from: hub/b, to: b, cron: 'at noon'}]",
            "mirrors[a].cron: does not have the five fields of cron (at noon)",
        ),
        (
            HUB + "mirrors: [{name: a, from: hub/b, to: b, every: 1h, time_zone: UTC}]",
            "time_zone: applies to cron only",
        ),
        (
            HUB + "mirrors: [{name: a, from: hub/b, to: b, cron: '0 3 * * *', time_zone: Mars/Base}]",
            "no time zone is named 'Mars/Base'",
        ),
        (
            HUB + "mirrors: [{name: a, from: hub/b, to: b, tags: {include: ['/(/']}}]",
            "is too long or no regular expression (/(/)",
        ),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, tags: {semver: '1.2'}}]", "is not a bound of versions (1.2)"),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, pin: {'1': latest}}]", "is not a digest (latest)"),
        (HUB + f"mirrors: [{{name: a, from: hub/*, to: '*', pin: {{'1': 'sha256:{'0' * 64}'}}}}]", "REPOSITORY:TAG"),
        (
            HUB + f"mirrors: [{{name: a, from: hub/b, to: b, pin: {{'c:1': 'sha256:{'0' * 64}'}}}}]",
            "the rule copies nothing to c",
        ),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, keep: {}}]", "give newest, pulled_within, or both"),
        (HUB + "mirrors: [{name: a, from: hub/b, to: b, on_upstream_delete: cry}]", "on_upstream_delete: "),
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


def test_the_schema_names_the_keys_of_the_file():
    definitions = schema()["$defs"]
    assert "from" in definitions["MirrorSettings"]["properties"]
    assert definitions["ServerSettings"]["properties"]["listen"]["type"] == "string"


def test_the_schema_allows_no_key_without_a_value():
    assert "null" not in json.dumps(schema())


# The file for `host apply` is no configuration. Its own test reads it.
EXAMPLES = sorted(set(Path("config").glob("*.yaml")) - {Path("config/host-plugins.yaml")})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_load(path):
    assert load(path)


def test_the_default_example_is_the_defaults():
    example = load(Path("config/default.yaml"))
    assert example.server.anonymous_actions == load().server.anonymous_actions
    said = example.model_copy(update={"server": example.server.model_copy(update={"anonymous": None})})
    assert said == load()


def test_the_limits_are_those_of_the_server():
    server = load().server
    ours = server.limits.of_clients() | {"shutdown_seconds": server.shutdown_seconds}
    assert ServerLimits(**ours) == ServerLimits()
    assert server.limits.of_layers() == LayerLimits()
    # The number of connections that get an error answer follows from the limit of open files.
    assert set(ours) == {field.name for field in fields(ServerLimits)} - {"surplus_connections"}


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        ("blob_bytes", 0, "greater than 0"),
        ("header_bytes", 100, "is too small .*write 1024 or more"),
        ("headers", 1, "is too small .*write 16 or more"),
        ("idle_seconds", 0, "greater than 0"),
        ("keep_alive_seconds", -1, "greater than 0"),
        ("uploads_per_client", 0, "is too small .*write 1 or more"),
        ("connections", 0, "is too small .*write 1 or more"),
    ],
)
def test_a_limit_that_would_stop_everything_is_refused(limit, value, problem):
    with pytest.raises(ConfigurationFault, match=rf"server\.limits\.{limit}: .*{problem}"):
        load(flags={"server": {"limits": {limit: value}}})


def test_the_space_that_is_wanted():
    assert load().storage.least_free_bytes == 64 * 1024 * 1024
    assert load(flags={"storage": {"least_free_bytes": 0}}).storage.least_free_bytes == 0


def test_a_value_is_the_text_that_is_written(written):
    text = (
        "upstreams:\n  no: {url: 'https://r.example', limits: {bandwidth: [{bytes_per_second: 2MiB, from: 08:00, "
        "to: 18:30}]}}\nmirrors: [{name: on, from: no/b, to: 1.10, tags: {include: [1.10, 22:22]}}]\n"
        "server: {plugin_checks: off, workers: 0_2, logins: no}\n"
    )
    settings = load(written(text))
    (rule,) = settings.mirrors
    assert (rule.name, rule.to, rule.tags.include) == ("on", ("1.10",), ("1.10", "22:22"))
    assert (settings.server.plugin_checks, settings.server.workers, settings.server.logins) == ("off", 2, False)
    (window,) = settings.upstreams["no"].limits.bandwidth
    assert (window.start, window.stop) == (time(8), time(18, 30))


def test_keys_that_begin_with_x_hold_anchors(written):
    text = (
        "x-tags: &tags {newest: 5, include: ['1.*']}\nx-note: anything\nupstreams: {hub: {url: 'https://r.example'}}\n"
        "mirrors:\n"
        "  - {name: a, from: hub/a, to: a, tags: *tags}\n"
        "  - {name: b, from: hub/b, to: b, tags: {<<: *tags, newest: 3}}\n"
        "  - {name: c, from: hub/c, to: c, tags: {<<: [{newest: 7}, *tags]}}\n"
    )
    tags = [rule.tags for rule in load(written(text)).mirrors]
    assert [(each.newest, each.include) for each in tags] == [(5, ("1.*",)), (3, ("1.*",)), (7, ("1.*",))]
    with pytest.raises(ConfigurationFault, match=r"server\.x-tags: unknown key"):
        load(written("server: {x-tags: 1}"))


def test_home_and_variables_are_expanded_in_every_path(written, monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    text = (
        "server: {tls: {certificate: ~/a.crt, key: '${CREDENTIALS_DIRECTORY}/a.key'}, token_issuer: "
        "{realm: 'https://r', service: s, issuer: i, jwks: '${HOME}/keys.json'}}\n"
        "storage: {path: '${HOME}/$data'}\naudit: {path: ~/audit}\n"
        "upstreams: {hub: {url: 'https://r.example', credentials: {docker_config: ~/.docker/config.json}}}\n"
        "admission: {token_file: ~/token, rules: [{name: a, action: allow, signed: {by: [~/a.pub]}}]}\n"
        "events: [{url: 'https://h.example', secret_file: ~/secret, ca: ~/ca.pem}]\n"
    )
    found = sorted(str(path) for path in paths(load(written(text))))
    assert found == [
        "/home/anna/$data",
        "/home/anna/.docker/config.json",
        "/home/anna/a.crt",
        "/home/anna/a.pub",
        "/home/anna/audit",
        "/home/anna/ca.pem",
        "/home/anna/secret",
        "/home/anna/token",
        "/run/credentials/a.key",
    ]
    assert load(written(text)).server.token_issuer.jwks_file == Path("/home/anna/keys.json")


def test_every_path_of_the_configuration_is_one_that_is_expanded():
    sections = [Settings]
    for section in sections:
        for name, field in section.model_fields.items():
            annotation = str(field.annotation) + str(field.metadata)
            assert "pathlib.Path" not in annotation or "expanded" in annotation, f"{section.__name__}.{name}"
        places = [(name, *below) for name in keys_at(section, ()) for below in ((), (0,), ("hub",))]
        inner = [kind for place in places for kind in kinds_at(section, place)]
        sections += [each for each in inner if is_section(each) and each not in sections]
    assert len(sections) > 20


def paths(value):
    """Yield all paths of a section."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        yield from (path for _, each in value for path in paths(each))
    elif isinstance(value, dict | tuple):
        yield from (path for each in (value.values() if isinstance(value, dict) else value) for path in paths(each))


def test_files_that_this_machine_cannot_read_are_named_with_their_lines(written, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUGIN_MIRROR_ADMISSION__TOKEN_FILE", str(tmp_path))
    text = (
        "upstreams:\n  hub:\n    url: https://r.example\n    credentials:\n      username: anna\n"
        "      password_file: ./gone/password\n"
        f"    tls: {{ca_file: {tmp_path}/config.yaml}}\n"
        "storage:\n  blobs: {url: s3://plugins/site, access_key_id: key, secret_key_file: ./gone/key}\n"
    )
    file = written(text)
    fix = "fix: create the file, or correct the path"
    assert unusable_files(load(file), file) == [
        f"PLUGIN_MIRROR_ADMISSION__TOKEN_FILE: admission.token_file: is a folder or device ({tmp_path}), {fix}",
        f"{file}:9: storage.blobs.secret_key_file: does not exist (gone/key), {fix}",
        f"{file}:6: upstreams.hub.credentials.password_file: does not exist (gone/password), {fix}",
    ]


@pytest.mark.parametrize("value", ["hunter2hunter2", '{"auth": "a/hunter2"}', "glpat-0123456789hunter2hunter2"])
def test_a_secret_in_place_of_its_file_is_in_no_warning(written, value):
    credentials = {"username": "anna", "password_file": value}
    file = written(yaml.safe_dump({"upstreams": {"hub": {"url": "https://r.example", "credentials": credentials}}}))
    (warning,) = unusable_files(load(file), file)
    assert (
        warning.partition("password_file: ")[2] == "does not exist (hidden), fix: create the file, or correct the path"
    )
    assert without_secret_paths(load(file), f"x: {value} is gone") == "x: (hidden) is gone"


def test_an_error_has_no_cause_that_would_show_values(written):
    for text in ("upstreams: {hub: {url: 'https://a:hunter2@r.example'}}", "a: 'hunter2"):
        with pytest.raises(ConfigurationFault) as caught:
            load(written(text))
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
