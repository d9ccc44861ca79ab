"""``inspect``, ``lint`` and ``diff`` on the command line: their output and exit codes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.command_line import run
from mirror.oci import Digest, Manifest, Tag
from mirror.oci.media_types import OCI_MANIFEST
from mirror.records.sync_runs import RunStep, TagChange, TagEvent
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import CONFIG, DRIVER, NAME, TAG, put_blob, put_plugin
from tests.support.rootfs import SOCKET, elf

ARM = Tag("1.0-arm64")
GROWN = {"Network": {"Type": "host"}, "Env": [{"Name": "DEBUG", "Value": "1", "Settable": ["value"]}]}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A store with a driver under two tags, and a larger driver that requests more privileges."""
    async with Store.open(tmp_path / "data") as opened:
        await put_plugin(opened)
        await put_plugin(opened, {"Description": "for arm64, it says"}, tag=ARM)
        layer = zipped(tar(entry("bin/driver", DRIVER + b"new", mode=0o755), entry("etc/new", b"123")))
        await put_plugin(opened, GROWN, layer, tag=Tag("2.0"))
        event = TagEvent(
            NAME,
            TAG,
            datetime(2026, 3, 1, 12, tzinfo=UTC),
            TagChange.MOVED,
            Digest.of(b"a"),
            Digest.of(b"b"),
            "hub/x",
            ("+ network: host",),
        )
        await opened.records.sync_runs.record(await opened.records.sync_runs.begin_run("rule"), [RunStep(event=event)])
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for ``docker plugin create`` without findings."""
    place = tmp_path / "plugin"
    (place / "rootfs/bin").mkdir(parents=True)
    (place / "rootfs/bin/driver").write_bytes(DRIVER)
    (place / "rootfs/bin/driver").chmod(0o755)
    (place / "config.json").write_text(json.dumps(CONFIG))
    return place


def told(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> str:
    assert run(list(arguments)) == exit_code
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> Any:
    return json.loads(told(capsys, *arguments, "--json", exit_code=exit_code))


@pytest.mark.usefixtures("store")
def test_lint_of_what_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "lint", "acme/driver:1.0")
    assert "  warning: diff_ids are not the digests of the uncompressed layers\n    engines up to 19.03: " in shown
    assert shown.endswith("acme/driver:1.0: 1 warning\n")
    found = as_json(capsys, "lint", str(f"acme/driver:{ARM}"), exit_code=1)
    assert (found["source"], found["platform"]) == ("acme/driver:1.0-arm64", "linux/amd64")
    assert [(one["code"], one["severity"]) for one in found["findings"]] == [
        ("platform-wrong", "error"),
        ("diff-ids-wrong", "warning"),
    ]
    assert (
        as_json(capsys, "lint", f"acme/driver:{ARM}", "--platform", "linux/amd64")["findings"][0]["severity"]
        == "warning"
    )


def test_lint_of_folders_and_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("plugin", "./plugin", str(folder), "plugin/config.json"):
        assert told(capsys, "lint", place).endswith(": no findings\n")
    (folder / "rootfs/bin/driver").chmod(0o644)
    shown = told(capsys, "lint", "./plugin", exit_code=1)
    assert "  error: the entrypoint /bin/driver is not executable\n" in shown
    assert 'exec: "/bin/driver": permission denied' in shown
    assert "    fix: chmod +x rootfs/bin/driver" in shown
    assert shown.endswith("plugin: 1 error\n")


def test_a_folder_named_as_a_plugin_is_not_taken_for_it(
    store: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "acme").mkdir()
    folder.rename("acme/driver")
    assert told(capsys, "lint", "acme/driver") == "acme/driver: no findings\n"
    assert told(capsys, "lint", "acme/driver:1.0").endswith("acme/driver:1.0: 1 warning\n")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["lint", "./absent"], 2, "absent is not a folder for 'docker plugin create'"),
        (["lint", "acme/driver:9"], 1, "acme/driver has no"),
        (["lint", "acme/driver:1.0", "--platform", "arm"], 2, "'arm' is not a platform"),
        (["inspect", "/"], 2, "/ is not a folder for 'docker plugin create'"),
        (["diff", "acme/driver:1.0", "./absent"], 2, "absent is not a folder for 'docker plugin create'"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_looked_at(
    arguments: list[str], exit_code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.match(r"error: .*\n\Z", shown.err)
    assert message in shown.err


@pytest.fixture
async def referrers(store: Path) -> None:
    """Thirty manifests that refer to the driver."""
    async with Store.open(store / "data") as opened:
        subject = (await opened.resolve(NAME, TAG)).to_json()
        empty = (await put_blob(opened, b"{}", "application/vnd.oci.empty.v1+json")).to_json()
        for number in range(30):
            body = {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": empty,
                "layers": [],
                "subject": subject,
                "artifactType": "application/sbom" if number % 3 else "application/signature",
                "annotations": {"org.opencontainers.image.created": f"2026-03-01T12:{number:02}:00Z"},
            }
            await opened.put_manifest(NAME, Manifest.parse(json.dumps(body).encode(), OCI_MANIFEST))


@pytest.mark.usefixtures("referrers")
def test_inspect_summarises_many_referrers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime(2026, 3, 1, 15, tzinfo=UTC))
    shown = told(capsys, "inspect", "acme/driver:1.0", "--quick")
    assert "  Signatures:    30 (--json lists all): 20 application/sbom, 10 application/signature\n" in shown
    assert "                 3 h ago: application/sbom (sha256:" in shown
    assert len(re.findall(r"h ago: application/", shown)) == 3
    listed = as_json(capsys, "inspect", "acme/driver:1.0", "--quick")["signatures"]
    assert len(listed) == 30
    assert {one["created"][:14] for one in listed} == {"2026-03-01T12:"}


@pytest.mark.usefixtures("store")
def test_inspect_tells_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime(2026, 3, 1, 15, tzinfo=UTC))
    shown = told(capsys, "inspect", "acme/driver:2.0")
    for expected in (
        "  Platform:      linux/amd64 (from its programs)\n",
        "  Signatures:    none\n",
        "  - network: [host]\n      It is on the host's own network",
        "  DEBUG=1",
        "  1.13 to 19.03:  does not work\n      diff_ids are not",
        "  20.10 to 29:    no known problem\n",
        "  warning: diff_ids",
        "  docker plugin install 127.0.0.1:5000/acme/driver:2.0\n",
    ):
        assert expected in shown
    assert "History" not in shown
    history = "  3 h ago: moved from sha256:"
    shown = told(capsys, "inspect", "acme/driver:1.0")
    assert history in shown
    assert "      privilege + network: host\n" in shown
    found = as_json(capsys, "inspect", "acme/driver:1.0")
    assert found["history"][0]["at"] == "2026-03-01T12:00:00Z"
    assert found["history"][0]["privileges"] == ["+ network: host"]
    assert found["engines"][0] == {"first": "1.13", "last": "19.03", "works": False, "findings": ["diff-ids-wrong"]}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", ["inspect", "lint"])
@pytest.mark.parametrize("tag", ["latest", "9"])
def test_a_name_without_a_tag_is_told_with_its_tags(command: str, tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, str(NAME) if tag == "latest" else f"{NAME}:{tag}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    told, _, tags = line.partition("fix: name one of its tags: ")
    assert told == f"error: {NAME} has no tag {tag}; "
    assert (set(tags.split(", ")), tags.startswith("2.0, ")) == ({"2.0", str(TAG), str(ARM)}, True)


@pytest.mark.usefixtures("store")
def test_a_quick_look_leaves_the_layers_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "inspect", "acme/driver:1.0", "--quick")
    assert (found["platform"], found["findings"]) == (None, [])
    assert as_json(capsys, "inspect", f"acme/driver:{ARM}", "--quick")["platform"] == "linux/arm64"


@pytest.mark.usefixtures("store")
def test_an_install_by_digest_comes_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    digest = as_json(capsys, "inspect", "acme/driver:1.0")["digest"]
    assert "crash on a digest" in told(capsys, "inspect", f"acme/driver@{digest}")


@pytest.mark.usefixtures("folder")
def test_inspect_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "inspect", "./plugin")
    assert shown.startswith("plugin\n  Kind:          folder for docker plugin create\n  Platform:      linux/amd64")
    assert "Privileges that the engine asks for\n  none\n" in shown
    assert as_json(capsys, "inspect", "./plugin")["interface"]["socket"] == SOCKET


def test_a_folder_with_a_template_is_linted_inspected_and_compared(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    filled = {**CONFIG, "Env": [{"Name": "plugin_name", "Value": "acme/x:1", "Settable": ["value"]}]}
    template = folder.rename("template") / "config.template"
    (template.parent / "config.json").unlink()
    template.write_text("## filled by make\n" + json.dumps(filled).replace("acme/x:1", "PluginName"))
    assert [finding["code"] for finding in as_json(capsys, "lint", "template")["findings"]] == ["template-left"]
    assert "plugin_name=PluginName" in told(capsys, "inspect", "template")
    Path("filled.json").write_text(json.dumps(filled))
    shown = told(capsys, "diff", "template", "filled.json")
    assert "  ~ plugin_name: PluginName -> acme/x:1\n" in shown


@pytest.mark.usefixtures("store")
def test_diff_prints_the_commands_of_an_upgrade(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "diff", "acme/driver:1.0", "acme/driver:2.0", "--upgrade", exit_code=1)
    old, new = "127.0.0.1:5000/acme/driver:1.0", "127.0.0.1:5000/acme/driver:2.0"
    for line in (f"upgrade --skip-remote-check {old} {new}", f"set {old} DEBUG=1", f"enable {old}"):
        assert f"\n  docker plugin {line}\n" in shown


@pytest.mark.usefixtures("store")
def test_an_upgrade_of_a_plugin_with_an_alias(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "Env": [{"Name": "OLD", "Value": "\x1b"}]}))
    arguments = ("diff", "./plugin", "acme/driver:2.0", "--upgrade", "--alias", "short")
    shown = told(capsys, *arguments, exit_code=1)
    assert "  env OLD is not removed (old: '\\x1b'): no command unsets a variable\n" in shown
    assert "  docker plugin install --alias short:latest 127.0.0.1:5000/acme/driver:2.0\n" in shown
    plan = as_json(capsys, *arguments, exit_code=1)["upgrade"]
    assert plan["name"] == "short:latest"
    # Engines leave out the host and the folder of Docker Hub, and a variable with the own name has this name.
    on_hub = as_json(capsys, *arguments[:-1], "docker.io/library/short", exit_code=1)["upgrade"]
    assert on_hub["name"] == "short:latest"
    assert plan["not_applied"][0] == {
        "what": "env OLD",
        "stays": "\x1b",
        "wanted": None,
        "why": "no command unsets a variable",
    }


@pytest.mark.usefixtures("store", "folder")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["./plugin", "acme/driver:2.0", "--upgrade"], "give --alias NAME"),
        (["acme/driver:1.0", "./plugin", "--upgrade"], "an engine upgrades only from a registry"),
        (["acme/driver:1.0", "acme/driver:2.0", "--alias", "x"], "--alias has no meaning without --upgrade; fix: "),
        (
            ["acme/driver:1.0", "acme/driver:2.0", "--upgrade", "--alias", f"x@sha256:{'0' * 64}"],
            "has no digest; fix: write NAME[:TAG]",
        ),
    ],
)
def test_upgrades_that_cannot_be_planned(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    assert run(["diff", *arguments]) == 2
    assert error in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.usefixtures("store", "folder")
def test_diff_says_what_changed_and_whether_it_may_do_more(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "diff", "acme/driver:1.0", "acme/driver:2.0", exit_code=1)
    for expected in (
        "acme/driver:1.0 -> acme/driver:2.0\n",
        "  + network: host\n",
        "  ~ DEBUG: 0 -> 1\n",
        "  ~ /bin/driver: content (",
        "  + /etc/new (3 B)\n",
    ):
        assert expected in shown
    back = as_json(capsys, "diff", "acme/driver:2.0", "acme/driver:1.0")
    assert (back["grew"], back["privileges"]["removed"]) == (False, [{"name": "network", "value": "host"}])
    assert {"path": "etc/new", "before_bytes": 3, "after_bytes": None, "how": "removed"} in back["files"]
    assert told(capsys, "diff", "acme/driver:1.0", "./plugin") == "acme/driver:1.0 -> ./plugin\n  no difference\n"


def test_what_a_plugin_says_does_not_reach_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {
        **CONFIG,
        "Description": "\x1b[2J[bold]x",
        "WorkDir": "\x9b2J",
        "Env": [{"Name": "\x1bE", "Settable": ["value"]}],
    }
    (folder / "config.json").write_text(json.dumps(bad))
    (folder / "rootfs/bin/\x1b[31m").write_bytes(elf())
    shown = told(capsys, "inspect", "./plugin")
    shown += told(capsys, "lint", "./plugin", exit_code=1)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    other = Path("other/rootfs")
    other.mkdir(parents=True)
    (other.parent / "config.json").write_text(json.dumps(bad))
    shown += told(capsys, "diff", "./plugin", "./other")
    assert "[bold]x" in shown
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)


@pytest.mark.usefixtures("store")
def test_inspect_names_the_privilege_that_some_engines_never_compare(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "inspect", "acme/driver:2.0")
    assert (
        "engines 17.04 to 25.0.15 and 26.0 to 29.3.0 install the plugin without checking that network: [host] "
        "was granted (CVE-2026-33997); fix: upgrade to 29.3.1" in shown
    )
    assert as_json(capsys, "inspect", "acme/driver:2.0")["never_compared"] == {
        "cve": "CVE-2026-33997",
        "engines": "17.04 to 25.0.15 and 26.0 to 29.3.0",
        "name": "network",
        "values": ["host"],
    }
    assert "CVE" not in told(capsys, "inspect", "acme/driver:1.0")
    assert as_json(capsys, "inspect", "acme/driver:1.0")["never_compared"] is None


def test_what_was_read_before_is_shown_without_layers(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = (
        (["lint", "acme/driver:1.0-arm64", "--json"], 1),
        (["inspect", "acme/driver:1.0", "--json"], 0),
        (["diff", "acme/driver:1.0", "acme/driver:2.0", "--json"], 1),
    )
    before = [told(capsys, *command, exit_code=code) for command, code in commands]
    blobs = [file for file in (store / "data/blobs").rglob("*") if file.is_file()]
    layers = [blob for blob in blobs if blob.read_bytes().startswith(b"\x1f\x8b")]
    for layer in layers:
        layer.unlink()
    assert len(layers) == 2
    assert [told(capsys, *command, exit_code=code) for command, code in commands] == before
    assert '"etc/new"' in before[2]
