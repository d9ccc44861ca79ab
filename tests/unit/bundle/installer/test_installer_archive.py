"""The installer as one file: it runs without this project, and does on a host what its options say.

``docker`` is a script here that writes down its arguments. ``e2e/test_air_gap.py`` has real engines.
"""

from __future__ import annotations

import ast
import os
import pty
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import pytest

from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.member import STATEMENT
from mirror.bundle.installer_archive import installer_archive
from mirror.oci import Digest, Manifest
from mirror.oci.descriptor import Descriptor
from mirror.oci.media_types import OCI_INDEX
from tests.support.builders import manifest_of
from tests.support.bundles import KEY, OTHER_KEY, build, build_bundle, public_pem, small_plugin
from tests.support.layers import entry, tar, zipped

NAME = "acme/driver:1.0"
FOLDER = Path(__file__).parents[4] / "mirror/bundle/installer"
DOCKER = """#!/bin/sh
echo "$*" >> "$LOG"
case "$1 $2" in
  "version --format") [ -e "$LOG.dead" ] && { echo "Cannot connect" >&2; exit 1; }; echo linux/amd64;;
  "plugin ls") echo held/driver:1.0;;
  "plugin create")
    [ -e "$LOG.interrupted" ] && { kill -TERM $PPID; exec sleep 600; }
    cp -a "$4" "$LOG.plugin"; echo "$3";;
  "plugin enable") [ -e "$LOG.broken" ] && { echo "no such socket" >&2; exit 1; }; echo "$3";;
esac
"""


@dataclass(frozen=True)
class Host:
    """A host with the installer, a bundle and a script in place of docker."""

    folder: Path
    python: tuple[str, ...] = (sys.executable, "-I", "-S")  # no packages, and not this project

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines() if (self.folder / "log").exists() else []

    @property
    def plugin(self) -> Path:
        return self.folder / "log.plugin"

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        environment = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "LOG": f"{self.folder}/log",
            "TMPDIR": str(self.tmp),
            "LC_ALL": "C",
        }
        return [*self.python, "install-plugin", *arguments], environment

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments)
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            stdin=DEVNULL,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert list(self.tmp.iterdir()) == []
        return done


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "install-plugin").write_bytes(installer_archive())
    for folder in ("bin", "tmp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin/docker").write_text(DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    manifest, blobs = small_plugin(Network={"Type": "host"}, Linux={"Capabilities": ["CAP_SYS_ADMIN"]})
    build_bundle(tmp_path / "b.tar", {NAME: manifest, "held/driver:1.0": manifest}, blobs)
    (tmp_path / "k.pub").write_bytes(public_pem(KEY))
    (tmp_path / "other.pub").write_bytes(public_pem(OTHER_KEY))
    return Host(tmp_path)


SIGNED = ("--key", "k.pub")


def test_a_plugin_is_created_set_and_enabled(host: Host) -> None:
    done = host.run("b.tar", NAME, *SIGNED, "--grant-all-permissions", "--set", "DEBUG=1", "--enable")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"created {NAME}\nenabled {NAME}\n"
    assert "signature valid" in done.stderr
    assert " - network: [host]\n - capabilities: [CAP_SYS_ADMIN]\n" in done.stderr
    assert [line.split(" /")[0] for line in host.log[-3:]] == [
        f"plugin create {NAME}",
        f"plugin set {NAME} DEBUG=1",
        f"plugin enable {NAME}",
    ]
    assert (host.plugin / "config.json").read_bytes() == small_plugin(
        Network={"Type": "host"}, Linux={"Capabilities": ["CAP_SYS_ADMIN"]}
    )[1][0]
    assert os.access(host.plugin / "rootfs/bin/driver", os.X_OK)


def test_a_name_may_follow_options_and_the_plugin_may_get_another(host: Host) -> None:
    done = host.run("--alias", "short", "b.tar", *SIGNED, "--grant-all-permissions", NAME)
    assert (done.returncode, done.stdout) == (0, "created short\n")
    assert done.stderr.endswith("next: docker plugin enable short\n")


def test_names_are_listed_without_an_engine(host: Host) -> None:
    (host.folder / "bin/docker").unlink()
    done = host.run("b.tar", "--list")
    assert (done.returncode, done.stdout) == (0, f"{NAME}\nheld/driver:1.0\n")
    assert "signature not checked" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("b.tar", NAME), 2, "fix: name the key of the sender with --key F.pub, or --unsigned"),
        (
            ("b.tar", NAME, "--key", "other.pub"),
            1,
            "not signed with other.pub: 0 of these keys have signed it, 1 must, and it has 1 signatures",
        ),
        (("b.tar", NAME, "--key", "b.tar"), 2, "not a public key"),
        (("b.tar", NAME, "--key", "no.pub"), 2, "no.pub cannot be read"),
        (("no.tar", NAME, *SIGNED), 2, "does not exist"),
        (("b.tar", "acme/other:1.0", *SIGNED), 1, f"has no acme/other:1.0; it has {NAME}"),
        (("b.tar", "held/driver:1.0", *SIGNED), 1, "has a plugin held/driver:1.0 already"),
        (("b.tar", NAME, *SIGNED, "--alias", "held/driver:1.0"), 1, "already"),
        (("b.tar", NAME, *SIGNED), 1, "nobody can be asked; fix: --grant-all-permissions"),
        (("b.tar", NAME, *SIGNED, "--set", "x"), 2, "x is not KEY=VALUE"),
        (("b.tar", NAME, *SIGNED, "--threshold", "0"), 2, "--threshold must be at least 1"),
        (("b.tar", NAME, "more", *SIGNED), 2, "unrecognized arguments: more"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_created(
    host: Host, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    done = host.run(*arguments)
    assert done.returncode == exit_code
    assert said in done.stderr
    assert not host.plugin.exists()


def test_one_of_two_signatures_is_too_few(host: Host) -> None:
    both = (*SIGNED, "--key", "other.pub", "--threshold", "2")
    done = host.run("b.tar", NAME, *both)
    assert (done.returncode, "1 of these keys have signed it, 2 must" in done.stderr) == (1, True)
    shutil.copy(host.folder / "k.pub", host.folder / "again.pub")
    assert host.run("b.tar", NAME, *SIGNED, "--key", "again.pub", "--threshold", "2").returncode == 1
    manifest, blobs = small_plugin()
    build_bundle(host.folder / "two.tar", {NAME: manifest}, blobs, keys=[KEY, OTHER_KEY])
    assert host.run("two.tar", NAME, *both).returncode == 0


def test_content_without_a_tag_is_not_listed_and_needs_a_name(host: Host) -> None:
    manifest, blobs = small_plugin()
    name = f"acme/driver@{manifest.digest}"
    build_bundle(host.folder / "s.tar", {name: manifest}, blobs)
    assert host.run("s.tar").stdout == ""
    assert "fix: --alias NAME" in host.run("s.tar", name, *SIGNED).stderr
    assert host.run("s.tar", name, *SIGNED, "--alias", "driver").returncode == 0


def test_a_bundle_cannot_control_the_terminal(host: Host) -> None:
    bare = build({}, [], keys=[])
    payload = bare.envelope.payload.replace(b'"stream":"test"', b'"stream":"\\u001b["')
    assert payload != bare.envelope.payload
    statement = Envelope(bare.envelope.payload_type, payload).to_bytes(bare.envelope.padded_size_bytes)
    (host.folder / "t.tar").write_bytes(bare.with_content(STATEMENT, statement))
    done = host.run("t.tar")
    assert (done.returncode, "stream ?[" in done.stderr) == (0, True)


def test_names_of_files_do_not_depend_on_the_locale(host: Host) -> None:
    layer = zipped(
        tar(
            entry("bin/dr\u00fc", b"x"),
            entry("to", kind=tarfile.SYMTYPE, form=tarfile.PAX_FORMAT, pax={"linkpath": "\u00fc"}),
        )
    )
    manifest, blobs = small_plugin(layer)
    build_bundle(host.folder / "n.tar", {NAME: manifest}, blobs)
    assert host.run("n.tar", NAME, *SIGNED).returncode == 0
    assert [path.name for path in (host.plugin / "rootfs/bin").iterdir()] == ["dr\u00fc"]
    assert (host.plugin / "rootfs/to").readlink() == Path("\u00fc")


def test_an_unsigned_bundle_is_used_only_by_name(host: Host) -> None:
    manifest, blobs = small_plugin()
    build_bundle(host.folder / "u.tar", {NAME: manifest}, blobs, keys=[])
    assert "it has 0 signatures" in host.run("u.tar", NAME, *SIGNED).stderr
    assert host.run("u.tar", NAME, "--unsigned").returncode == 0


@pytest.mark.parametrize(("answer", "created"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_the_user_is_asked_on_a_terminal(host: Host, answer: str, created: bool) -> None:
    command, environment = host.command("b.tar", NAME, *SIGNED)
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    done = subprocess.run(command, env=environment, cwd=host.folder, stdin=theirs, capture_output=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert b"Do you grant the above permissions? [y/N]" in done.stderr
    assert (done.returncode, host.plugin.exists()) == (0 if created else 1, created)


def test_a_plugin_that_does_not_start_remains_disabled(host: Host) -> None:
    (host.folder / "log.broken").touch()
    done = host.run("b.tar", NAME, *SIGNED, "--grant-all-permissions", "--enable")
    assert done.returncode == 3
    assert f"no such socket; {NAME} was created and is disabled" in done.stderr


def test_an_engine_that_does_not_answer_is_the_other_side(host: Host) -> None:
    (host.folder / "log.dead").touch()
    done = host.run("b.tar", NAME, *SIGNED, "--grant-all-permissions")
    assert (done.returncode, "Cannot connect" in done.stderr) == (3, True)


def test_an_interruption_leaves_nothing_behind(host: Host) -> None:
    (host.folder / "log.interrupted").touch()
    done = host.run("b.tar", NAME, *SIGNED, "--grant-all-permissions")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (4, "interrupted")
    assert not host.plugin.exists()


def test_no_docker_is_trouble_of_this_machine(host: Host) -> None:
    (host.folder / "bin/docker").unlink()
    host = Host(host.folder)
    command, environment = host.command("b.tar", NAME, *SIGNED)
    done = subprocess.run(
        command, env=environment | {"PATH": f"{host.folder}/bin"}, cwd=host.folder, capture_output=True, check=False
    )
    assert (done.returncode, b"'docker' is not installed" in done.stderr) == (5, True)


def test_a_damaged_layer_creates_nothing(host: Host) -> None:
    layer = zipped(tar(entry("bin/x", b"program")))
    manifest, blobs = small_plugin(layer)
    built = build_bundle(host.folder / "d.tar", {NAME: manifest}, blobs)
    damaged = built.with_content(f"blobs/sha256/{Digest.of(layer).hex}", layer[:-1] + b"x")
    (host.folder / "d.tar").write_bytes(damaged)
    done = host.run("d.tar", NAME, *SIGNED)
    assert (done.returncode, "damaged" in done.stderr) == (1, True)
    assert not host.plugin.exists()


def member(manifest: Manifest, architecture: str) -> Descriptor:
    platform = {"os": "linux", "architecture": architecture}
    described = {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": len(manifest.content)}
    return Descriptor.from_json({**described, "platform": platform}, "member")


@pytest.mark.parametrize(("architectures", "works"), [(("arm64", "amd64"), True), (("arm64", "arm"), False)])
def test_an_index_gives_the_plugin_for_the_engine(host: Host, architectures: tuple[str, str], works: bool) -> None:
    plugins = [small_plugin(Description=architecture) for architecture in architectures]
    members = [
        member(manifest, architecture).to_json()
        for (manifest, _), architecture in zip(plugins, architectures, strict=True)
    ]
    index = manifest_of({"manifests": members}, OCI_INDEX)
    contents = [each for manifest, blobs in plugins for each in (manifest, *blobs)]
    build_bundle(host.folder / "i.tar", {NAME: index}, contents)
    done = host.run("i.tar", NAME, *SIGNED)
    assert done.returncode == (0 if works else 1)
    if works:
        assert b"amd64" in (host.plugin / "config.json").read_bytes()
    else:
        assert "no build for the platform of the engine, linux/amd64" in done.stderr


def test_an_image_is_refused(host: Host) -> None:
    config = Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(b"{}"), 2)
    build_bundle(host.folder / "o.tar", {NAME: manifest_of({"config": config.to_json(), "layers": []})}, [b"{}"])
    assert "not a Docker plugin" in host.run("o.tar", NAME, *SIGNED).stderr


def test_the_same_version_writes_the_same_bytes() -> None:
    assert installer_archive() == installer_archive()


def test_the_file_holds_nothing_but_the_installer(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(installer_archive())
    with zipfile.ZipFile(tmp_path / "f") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    modules = {f"mirror/bundle/installer/{path.name}" for path in FOLDER.glob("*.py")}
    assert names == modules | {"__main__.py", "mirror/__init__.py", "mirror/bundle/__init__.py"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_the_modules_have_the_syntax_of_python_3_6_and_import_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 6))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    others = {name for name in imported if not name.startswith("mirror.bundle.installer")}
    assert others <= sys.stdlib_module_names - {"__future__", "dataclasses", "importlib"}


def pythons() -> list[str]:
    """Return the versions of Python on this machine that the installer supports and that start, and this one."""
    on_path = [shutil.which(f"python3.{minor}") for minor in range(6, 30)]
    # A name on the PATH may be a launcher of a version that is not chosen here.
    starts = [path for path in on_path if path and not subprocess.call([path, "-V"], stdout=DEVNULL, stderr=DEVNULL)]
    return [sys.executable, *starts]


def test_each_python_of_this_machine_installs(host: Host) -> None:
    manifest, blobs = small_plugin(zipped(tar(entry("bin/dr\u00fc", b"x"))))
    build_bundle(host.folder / "n.tar", {NAME: manifest}, blobs)
    said = {}
    for python in pythons():
        done = Host(host.folder, (python, "-I", "-S")).run("n.tar", NAME, *SIGNED)
        said[python] = (done.stdout, done.stderr if done.returncode else "")
    assert said == dict.fromkeys(said, (f"created {NAME}\n", ""))
