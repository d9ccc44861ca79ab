"""Commands, service specifications and scripts that install a plugin, also one with hostile names."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.authoring.inspect import Inspection, inspect
from mirror.authoring.installing.install_lines import CRASHES_ON_DIGEST, install_lines
from mirror.authoring.installing.install_plan import plan_install
from mirror.authoring.installing.install_script import install_script
from mirror.authoring.installing.short_alias import driver_uses, short_alias
from mirror.authoring.installing.swarm_spec import swarm_spec
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import Unsupported
from mirror.oci.names import MAX_REPOSITORY_LENGTH
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.registry.memory import MemoryRegistry
from tests.support.plugins import NAME, TAG, put_plugin

HOST, REFERENCE = "mirror:5000", "mirror:5000/acme/driver:1.0"
STATE = {"Linux": {"Devices": [{"Name": "state", "Settable": ["path"], "Path": ""}]}}


def own_name(value: str | None, *, variable: str = "plugin_name", settable: bool = True) -> dict[str, Any]:
    return {"Env": [{"Name": variable, "Value": value, "Settable": ["value"] if settable else []}]}


def found(config: dict[str, Any], repository: Repository = NAME, target: Tag | Digest = TAG) -> Inspection:
    """Return the inspection of a plugin with this config."""
    content = json.dumps(config).encode()
    described = Descriptor(media_types.DOCKER_PLUGIN_CONFIG, Digest.of(content), len(content))
    body = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST, "config": described.to_json(), "layers": []}
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    plugin = view_plugin(PluginContent(PluginConfig.parse(content), None))
    return Inspection(repository, target, manifest, plugin)


def commands(inspected: Inspection) -> dict[str, str]:
    return {line.kind: line.command for line in install_lines(inspected, HOST)}


def test_a_plugin_that_need_not_know_its_name_has_a_short_alias() -> None:
    inspected = found({}, Repository("grafana/loki-docker-driver"), Tag("3.2"))
    reference = "mirror:5000/grafana/loki-docker-driver:3.2"
    assert commands(inspected) == {
        "name": f"docker plugin install {reference}",
        "alias": f"docker plugin install --alias loki {reference}",
        "digest": f"docker plugin install {reference}@{inspected.manifest.digest}",
    }
    notes = {line.kind: line.note for line in install_lines(inspected, HOST)}
    assert notes == {"name": "", "alias": "", "digest": CRASHES_ON_DIGEST}


@pytest.mark.parametrize("variable", ["plugin_name", "DRIVER-NAME", "CONTIV_NETMASTER_PLUGIN_NAME"])
@pytest.mark.parametrize("default", ["store/acme/driver:1.0", "PluginName", "netplugin", "", None])
def test_a_plugin_that_must_know_its_name_is_told_its_alias_in_every_line(variable: str, default: str | None) -> None:
    lines = commands(found(own_name(default, variable=variable)))
    assert set(lines) == {"name", "digest"}
    for line in lines.values():
        assert line.startswith("docker plugin install --alias acme/driver:1.0 mirror:5000/acme/driver:1.0")
        assert line.endswith(f" {variable}=acme/driver:1.0")


def test_a_copy_that_has_its_name_needs_only_the_alias() -> None:
    lines = commands(found(own_name("acme/driver:1.0")))
    assert lines["name"] == f"docker plugin install --alias acme/driver:1.0 {REFERENCE}"


def test_a_name_that_cannot_be_set_decides_the_alias() -> None:
    fixed = commands(found(own_name("store/acme:1", settable=False)))["name"]
    assert fixed == f"docker plugin install --alias store/acme:1 {REFERENCE}"
    no_name = commands(found(own_name("PluginName", settable=False)))["name"]
    assert no_name == f"docker plugin install --alias acme/driver:1.0 {REFERENCE}"


def test_what_must_be_set_is_named() -> None:
    lines = commands(found(STATE))
    assert lines["name"] == f"docker plugin install {REFERENCE} state=VALUE"
    assert lines["alias"] == f"docker plugin install --alias acme {REFERENCE} state=VALUE"


def test_a_digest_is_pinned_already() -> None:
    digest = Digest.of(b"manifest")
    plain, short = install_lines(found({}, target=digest), HOST)
    assert plain.command == f"docker plugin install mirror:5000/acme/driver@{digest}"
    assert short.command == f"docker plugin install --alias acme mirror:5000/acme/driver@{digest}"
    assert plain.note == short.note == CRASHES_ON_DIGEST
    assert plain.driver == "mirror:5000/acme/driver"


async def test_a_config_that_cannot_be_read_and_content_of_other_kinds() -> None:
    registry = MemoryRegistry()
    await put_plugin(registry, {"Env": "A=b"})
    unreadable = await inspect(registry, NAME, TAG)
    assert commands(unreadable)["name"] == f"docker plugin install {REFERENCE}"
    for refuse in (swarm_spec, install_script):
        with pytest.raises(Unsupported, match="no config that engines can read"):
            refuse(plan_install(unreadable, HOST))

    config, kinds = Descriptor("application/x", Digest.of(b""), 0), {}
    for media_type in (media_types.DOCKER_IMAGE_CONFIG, "application/vnd.acme.thing"):
        described = Descriptor(media_type, config.digest, 0)
        body = {"schemaVersion": 2, "config": described.to_json(), "layers": []}
        manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
        kinds[media_type] = commands(Inspection(NAME, TAG, manifest))
    assert list(kinds.values()) == [{"name": f"docker pull {REFERENCE}"}, {}]


@pytest.mark.parametrize(
    ("repository", "alias"),
    [
        ("grafana/loki-docker-driver", "loki"),
        ("contiv/v2plugin", "contiv"),
        ("vieux/sshfs", "sshfs"),
        ("sapk/plugin-rclone", "rclone"),
        ("weaveworks/net-plugin", "weaveworks"),
        ("store/weaveworks/net-plugin", "weaveworks"),
        ("acme/docker-volume-netshare", "netshare"),
        ("openpolicyagent/opa-docker-authz-v2", "opa"),
        ("splunk/docker-logging-plugin", "docker-logging-plugin"),
        ("acme/fluentd-log-driver", "fluentd-log-driver"),
        ("docker/driver", "driver"),
        ("driver", "driver"),
        ("acme/log.driver", "acme"),
        ("acme/network", "acme"),
    ],
)
def test_the_short_alias(repository: str, alias: str) -> None:
    assert short_alias(Repository(repository)) == alias


@given(st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*", fullmatch=True))
def test_a_short_alias_is_a_name(repository: str) -> None:
    alias = short_alias(Repository(repository))
    assert "/" not in alias
    assert Repository.is_valid(alias[:MAX_REPOSITORY_LENGTH].rstrip("._-"))
    assert alias in repository


@pytest.mark.parametrize(
    ("types", "uses"),
    [
        (["docker.volumedriver/1.0"], ["docker volume create -d x VOLUME"]),
        (["docker.volumedriver/1.1"], ["docker volume create -d x VOLUME"]),
        (["docker.logdriver/1.0"], ["docker run --log-driver x IMAGE"]),
        (["docker.authz/1.0"], ["dockerd --authorization-plugin=x"]),
        (["docker.csinode/1.0", "docker.csicontroller/1.0"], ["docker volume create -d x --type mount VOLUME"]),
        (["docker.ipamdriver/1.0"], ["docker network create --ipam-driver x NETWORK"]),
        (
            ["docker.ipamdriver/1.0", "docker.networkdriver/1.0"],
            ["docker network create -d x --ipam-driver x NETWORK"],
        ),
        (["docker.metricscollector/1.0", "acme.thing/1.0", "docker.", "docker.$(x)/1.0"], []),
    ],
)
def test_the_uses_of_each_interface(types: list[str], uses: list[str]) -> None:
    assert driver_uses(types, "x:1") == tuple(use.replace(" x", " x:1").replace("=x", "=x:1") for use in uses)


@pytest.mark.parametrize(("interface", "name"), [("volumedriver", "acme"), ("networkdriver", "acme:latest")])
def test_the_name_for_commands_has_no_tag_latest_unless_for_networks(interface: str, name: str) -> None:
    types = {"Interface": {"Types": [f"docker.{interface}/1.0"], "Socket": "a"}}
    plain, short, pinned = install_lines(found(types), HOST)
    assert (plain.driver, short.driver, pinned.driver) == (REFERENCE, name, REFERENCE)
    assert all(f" -d {line.driver} " in line.uses[0] for line in (plain, short, pinned))


def test_the_service_of_a_swarm() -> None:
    config = own_name("x:1") | {"Network": {"Type": "host"}, "Linux": {"Capabilities": ["CAP_SYS_ADMIN"]}}
    spec = swarm_spec(plan_install(found(config), HOST))
    assert (spec["Name"], spec["Mode"], spec["TaskTemplate"]["Runtime"]) == ("acme", {"Global": {}}, "plugin")
    assert spec["TaskTemplate"]["PluginSpec"] == {
        "Name": "acme/driver:1.0",
        "Remote": REFERENCE,
        "Disabled": False,
        "Privileges": [
            {"Name": "network", "Description": "permissions to access a network", "Value": ["host"]},
            {
                "Name": "capabilities",
                "Description": "list of additional capabilities required",
                "Value": ["CAP_SYS_ADMIN"],
            },
        ],
        "Env": ["plugin_name=acme/driver:1.0"],
    }
    assert swarm_spec(plan_install(found({}), HOST))["TaskTemplate"]["PluginSpec"]["Name"] == "acme:latest"
    with pytest.raises(Unsupported, match=r"a swarm service sets only variables, .* needs state; fix: make a copy"):
        swarm_spec(plan_install(found(STATE), HOST))


FAKE_DOCKER = """\
#!/bin/sh
for word in "$@"; do printf '%s\\036' "$word"; done >>"$LOG"
printf '\\035' >>"$LOG"
case "$4" in *Settings*) printf '%s\\n' "$SETTINGS" ;; esac
[ "$2" != inspect ]
"""


def calls(script: str, folder: Path, *arguments: str, settings: str = "") -> tuple[int, list[list[str]], str]:
    """Run a script beside a docker that has no plugins. Return the exit code, the calls of docker and the errors.

    After the install, the plugin has the ``settings``.
    """
    folder.mkdir(exist_ok=True)
    (folder / "docker").write_text(FAKE_DOCKER)
    (folder / "docker").chmod(0o755)
    grep = folder / "grep"
    if not grep.exists():
        grep.symlink_to(shutil.which("grep") or "")
    log = folder / "log"
    log.write_text("")
    done = subprocess.run(
        ["/bin/sh", "-s", "--", *arguments],
        input=script.encode(),
        env={"PATH": str(folder), "LOG": str(log), "SETTINGS": settings},
        cwd=folder,
        capture_output=True,
        check=False,
    )
    made = [call.split("\x1e")[:-1] for call in log.read_bytes().decode().split("\x1d")[:-1]]
    return done.returncode, [call for call in made if call[:2] != ["plugin", "inspect"]], done.stderr.decode()


def test_the_script_sets_and_enables(tmp_path: Path) -> None:
    script = install_script(plan_install(found(own_name("x:1") | STATE), HOST))
    assert calls(script, tmp_path / "a")[0::2] == (
        2,
        "error: the plugin needs the setting state; fix: run this script with state=VALUE\n",
    )
    assert calls(script, tmp_path / "a", "--yes", "state=/srv/a b") == (
        0,
        [
            ["plugin", "ls", "--quiet"],
            [
                *("plugin", "install", "--disable", "--grant-all-permissions", "--alias", "acme/driver:1.0", "--"),
                *(REFERENCE, "plugin_name=acme/driver:1.0", "state=/srv/a b"),
            ],
            ["plugin", "set", "--", "acme/driver:1.0", "plugin_name=acme/driver:1.0"],
            ["plugin", "set", "--", "acme/driver:1.0", "state=/srv/a b"],
            ["plugin", "enable", "acme/driver:1.0"],
        ],
        "",
    )


@pytest.mark.parametrize(
    ("setting", "is_set"), [("A=x", False), ("A.value=x", False), ("A=y", True), ("A=x\nB=y", True)]
)
def test_the_script_sets_what_differs(setting: str, is_set: bool, tmp_path: Path) -> None:
    script = install_script(plan_install(found({}), HOST))
    code, made, _ = calls(script, tmp_path / "a", setting, settings="A=x")
    assert (code, [call[-1] for call in made if call[1] == "set"]) == (0, [setting] if is_set else [])


@pytest.mark.parametrize("argument", ["--grant-all-permissions", "-x=y", "=x", "x", ""])
def test_the_script_takes_only_settings(argument: str, tmp_path: Path) -> None:
    code, made, _ = calls(install_script(plan_install(found({}), HOST)), tmp_path / "a", argument)
    assert (code, made) == (2, [])


def test_the_script_grants_nothing_without_a_word(tmp_path: Path) -> None:
    script = install_script(plan_install(found({"Network": {"Type": "host"}}), HOST))
    code, made, told = calls(script, tmp_path / "a")
    assert (code, made) == (1, [["plugin", "ls", "--quiet"]])
    assert "requests these privileges:\n  - network: [host]\nerror: nobody can be asked" in told


HOSTILE = st.text(max_size=30) | st.sampled_from(
    [
        "$(touch evil)",
        "`touch evil`",
        "'; touch evil #",
        '"; touch evil',
        "\n touch evil",
        "--grant-all-permissions",
        "\\",
    ]
)


def hostile(junk: str, value: str, name: str) -> Inspection:
    return found(
        {
            "Env": [{"Name": f"{junk} plugin_name", "Value": value, "Settable": ["value"]}],
            "Mounts": [{"Name": name, "Settable": ["source"]}, {"Source": value, "Destination": "/x"}],
            "Network": {"Type": value},
            "Linux": {"Capabilities": [junk]},
            "rootfs": {"diff_ids": [value]},
        }
    )


@given(HOSTILE, HOSTILE, HOSTILE)
def test_every_line_is_read_by_a_shell_as_it_is_meant(junk: str, value: str, name: str) -> None:
    for line in install_lines(hostile(junk, value, name), HOST):
        assert line.command.isprintable()
        assert shlex.split(line.command) == list(line.words)
        after = line.words[line.words.index("--alias") + 2 :] if "--alias" in line.words else line.words[3:]
        assert after[0] == "--" or not any(word.startswith("-") for word in after)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE, HOSTILE, HOSTILE)
def test_a_script_runs_nothing_but_its_own_commands(tmp_path: Path, junk: str, value: str, name: str) -> None:
    plan = plan_install(hostile(junk, value, name), HOST)
    folder = tmp_path / "a"
    given = [f"{key}=v" for key in plan.open_keys]
    usable = all(key[:1] not in {"-", "="} for key in plan.open_keys)
    code, made, told = calls(install_script(plan), folder, "--yes", *(given if usable else []))
    assert sorted(path.name for path in folder.iterdir()) == ["docker", "grep", "log"]
    if usable:
        assert code == 0, told
        (install,) = [call for call in made if call[1] == "install"]
        assert install[4:] == ["--alias", plan.lasting_name, "--", plan.reference, *plan.settings, *given]
    assert {call[1] for call in made} <= {"ls", "install", "set", "enable"}
