"""Packed, unpacked and captured plugins with real engines. Each plugin is installed, enabled and used."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import oras, plugins, skopeo
from tests.harness.engine import Engine
from tests.harness.image import OCI, pack_image, write_oci_layout
from tests.harness.mirror import Mirror
from tests.harness.requirement import require
from tests.harness.saved_image import save_docker

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine]

SETTINGS = ("plugin_name=site/contiv:1.0", "cluster_store=etcd://10.0.0.5:2379", "plugin_role=worker")


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """Folder of a working volume driver."""
    require(plugins.missing())
    return plugins.volume_plugin(tmp_path / "driver", version="7")


@contextmanager
def working(engine: Engine, name: str) -> Iterator[None]:
    """Use an installed and enabled volume driver, then run the block, then remove the driver."""
    engine.docker("volume", "create", "-d", name, "shelf")
    assert engine.inspect_volume("shelf")["Status"] == {"version": "7"}
    engine.docker("volume", "rm", "shelf")
    yield
    engine.docker("plugin", "disable", name)
    engine.docker("plugin", "rm", name)


def digest_of(mirror: Mirror, reference: str) -> str:
    return str(json.loads(mirror.command("inspect", reference, "--json").stdout)["digest"])


def test_a_packed_plugin_is_installed_and_works(engine: Engine, mirror: Mirror, driver: Path) -> None:
    rootfs = driver / "rootfs"
    names = [os.fsdecode(b"\xff\xfe"), "länge", "n" * 200, f"{'d' * 120}/{'e' * 120}"]
    for name in names:
        (rootfs / name).parent.mkdir(exist_ok=True)
        (rootfs / name).write_text(name, errors="surrogateescape")
    (rootfs / "again").hardlink_to(rootfs / names[2])
    os.chown(rootfs / names[1], 1000, 70_000)
    mirror.command("pack", str(driver), "-t", "built/packed:1")
    assert json.loads(mirror.command("inspect", "built/packed:1", "--json").stdout)["findings"] == []
    name = f"{mirror.host}/built/packed:1"
    engine.docker("plugin", "install", name)
    with working(engine, name):
        installed = engine.folder / "data/plugins" / engine.inspect_plugin(name)["Id"] / "rootfs"
        assert [(installed / name).read_text(errors="surrogateescape") for name in names] == names
        assert (installed / "again").samefile(installed / names[2])
        assert ((installed / names[1]).stat().st_uid, (installed / names[1]).stat().st_gid) == (1000, 70_000)


def test_a_plugin_is_pushed_while_it_is_packed(engine: Engine, mirror: Mirror, driver: Path) -> None:
    name = f"{mirror.host}/built/pushed:1"
    packed = json.loads(mirror.command("pack", str(driver), "-t", name, "--json").stdout)
    assert digest_of(mirror, "built/pushed:1") == packed["digest"]
    engine.docker("plugin", "install", name)
    with working(engine, name):
        pass


def test_an_unpacked_plugin_can_be_created_again(engine: Engine, mirror: Mirror, driver: Path, tmp_path: Path) -> None:
    mirror.command("pack", str(driver), "-t", "built/again:1")
    folder = tmp_path / "unpacked"
    mirror.command("unpack", "built/again:1", str(folder))
    engine.docker("plugin", "create", "site/again:2", str(folder))
    engine.docker("plugin", "enable", "site/again:2")
    with working(engine, "site/again:2"):
        pass


def test_a_captured_plugin_has_a_new_name_and_the_same_bytes(engine: Engine, mirror: Mirror, driver: Path) -> None:
    mirror.command("pack", str(driver), "-t", "built/original:1")
    engine.docker("plugin", "install", "--alias", "original", f"{mirror.host}/built/original:1")
    root = str(engine.folder / "data")
    with working(engine, "original"):
        told = mirror.command("capture", "original", "-t", "built/verbatim:1", "--docker-root", root, "--json")
    captured = json.loads(told.stdout)
    assert (captured["verbatim"], captured["plugin"], captured["notes"]) == (True, "original:latest", [])
    assert captured["digest"] == digest_of(mirror, "built/original:1") == digest_of(mirror, "built/verbatim:1")
    engine.docker("plugin", "install", f"{mirror.host}/built/verbatim:1")
    with working(engine, f"{mirror.host}/built/verbatim:1"):
        pass


def test_a_plugin_whose_blobs_are_gone_is_captured_from_its_files(
    engine: Engine, mirror: Mirror, driver: Path, tmp_path: Path
) -> None:
    mirror.command("pack", str(driver), "-t", "built/enabled:1")
    engine.docker("plugin", "install", "--alias", "enabled", f"{mirror.host}/built/enabled:1")
    engine.docker("plugin", "create", "other", str(plugins.contiv_plugin(tmp_path / "other")))
    # Removing any plugin makes the engine delete the blobs that it believes to be unused.
    engine.docker("plugin", "rm", "other")
    root = str(engine.folder / "data")
    with working(engine, "enabled"):
        told = mirror.command("capture", "enabled", "-t", "built/rebuilt:1", "--docker-root", root, "--json")
    captured = json.loads(told.stdout)
    assert captured["verbatim"] is False
    assert any("the plugin is enabled" in note for note in captured["notes"])

    folder = tmp_path / "rebuilt"
    mirror.command("unpack", "built/rebuilt:1", str(folder))
    kept = sorted(str(path.relative_to(folder / "rootfs")) for path in (folder / "rootfs").rglob("*"))
    # The plugin shipped run/docker/plugins, and enabling made dev and etc.
    assert kept == ["run", "run/docker", "run/docker/plugins", "version", "volume-driver", "volumes"]
    engine.docker("plugin", "install", f"{mirror.host}/built/rebuilt:1")
    with working(engine, f"{mirror.host}/built/rebuilt:1"):
        pass


def test_the_story_of_contiv(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    """Pack contiv's plugin from its template and an image, then push, install under our name, and set it."""
    plain = plugins.contiv_plugin(tmp_path / "plain")
    source = tmp_path / "v2plugin"
    source.mkdir()
    lines = (plain / "config.json").read_text().replace("contiv/v2plugin:latest", "PluginName").splitlines()
    lines.insert(1, "  ## the default of plugin_name is put in when the plugin is built")
    (source / "config.template").write_text("\n".join(lines))
    start = (plain / "rootfs" / "startcontiv.sh").read_bytes()
    image = pack_image({"startcontiv.sh": start, "opt/contiv/netplugin": bytes(100_000)}, OCI)
    saved = save_docker([gzip.decompress(image.layer)], tmp_path / "contivrootfs.tar")

    unnamed = mirror.command("pack", str(source), "-t", "x", "--rootfs", str(saved), check=False)
    assert unnamed.exit_code == 2
    assert "--set PluginName=VALUE" in unnamed.stderr

    name = f"{mirror.host}/site/contiv:1.0"
    mirror.command("pack", str(source), "-t", name, "--rootfs", str(saved), "--set", "PluginName=site/contiv:1.0")
    unasked = ("--disable", "--grant-all-permissions", "--alias", "site/contiv:1.0")
    engine.docker("plugin", "install", *unasked, name, *SETTINGS)
    described = engine.inspect_plugin("site/contiv:1.0")
    assert set(SETTINGS) <= set(described["Settings"]["Env"])
    defaults = {env["Name"]: env["Value"] for env in described["Config"]["Env"]}
    assert defaults["plugin_name"] == "site/contiv:1.0"
    rootfs = engine.folder / "data/plugins" / described["Id"] / "rootfs"
    assert (rootfs / "startcontiv.sh").read_bytes() == start

    # The engine's record has the settings of the installed plugin, which must not become part of the captured one.
    told = mirror.command(
        "capture", "site/contiv:1.0", "-t", "site/moved:1", "--docker-root", str(engine.folder / "data"), "--json"
    )
    captured = json.loads(told.stdout)
    assert captured["settings"] == ["cluster_store=etcd://10.0.0.5:2379", "plugin_role=worker"]
    engine.docker("plugin", "rm", "site/contiv:1.0")


def test_an_image_that_skopeo_saves_gives_the_same_plugin(mirror: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    folder = plugins.contiv_plugin(tmp_path / "contiv")
    files = {"startcontiv.sh": (folder / "rootfs/startcontiv.sh").read_bytes(), "a/b": b"c"}
    image = pack_image(files, OCI)
    layout = write_oci_layout(image, tmp_path / "layout", "1")
    skopeo.copy(layout, f"docker-archive:{tmp_path / 'saved.tar'}:acme/x:1")
    skopeo.copy(layout, f"oci-archive:{tmp_path / 'layout.tar'}:1")
    digests = {
        json.loads(
            mirror.command("pack", str(folder), "-t", "built/same", "--rootfs", str(tmp_path / name), "--json").stdout
        )["digest"]
        for name in ("layout", "saved.tar", "layout.tar")
    }
    assert len(digests) == 1


def test_a_packed_file_is_copied_into_a_registry_by_oras(mirror: Mirror, tmp_path: Path) -> None:
    require(oras.missing())
    folder = plugins.contiv_plugin(tmp_path / "contiv")
    file = tmp_path / "contiv.tar"
    packed = json.loads(mirror.command("pack", str(folder), "-t", "site/contiv:1", "-o", str(file), "--json").stdout)
    oras.oras("copy", "--from-oci-layout", f"{file}:1", "--to-plain-http", f"{mirror.host}/built/copied:1")
    assert digest_of(mirror, "built/copied:1") == packed["digest"]


def test_a_created_plugin_is_captured_with_the_manifest_that_it_would_be_pushed_with(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    name = f"{mirror.host}/built/created:1"
    engine.docker("plugin", "create", name, str(plugins.contiv_plugin(tmp_path / "created", payload_size_bytes=3)))
    engine.docker("plugin", "push", name)
    engine.docker("plugin", "create", "other", str(plugins.contiv_plugin(tmp_path / "other")))
    engine.docker("plugin", "rm", "other")  # removing any plugin makes the engine delete the manifests of all plugins
    root = str(engine.folder / "data")
    told = mirror.command("capture", name, "-t", "built/taken:1", "--docker-root", root, "--json")
    captured = json.loads(told.stdout)
    (note,) = captured["notes"]
    assert captured["verbatim"]
    assert note.startswith("plugin_name is contiv/v2plugin:latest, so the driver does not know its name built/taken:1")
    assert captured["digest"] == digest_of(mirror, "built/created:1")
    engine.docker("plugin", "rm", name)


def test_what_an_engine_saves_of_an_image_packs_as_its_folder_does(
    engine: Engine, mirror: Mirror, driver: Path, tmp_path: Path
) -> None:
    archive, saved = tmp_path / "rootfs.tar", tmp_path / "saved.tar"
    with tarfile.open(archive, "w") as writing:
        writing.add(driver / "rootfs", arcname=".")
    engine.docker("import", str(archive), "site/rootfs:1")
    engine.docker("save", "-o", str(saved), "site/rootfs:1")
    container = engine.docker("create", "--network", "none", "site/rootfs:1", "/bin/driver").stdout.strip()
    exported = tmp_path / "exported.tar"
    engine.docker("export", "-o", str(exported), container)
    engine.docker("rm", container)
    engine.docker("image", "rm", "site/rootfs:1")
    digests = [
        json.loads(mirror.command("pack", str(driver), "-t", "built/saved:1", *image, "--json").stdout)["digest"]
        for image in ((), ("--rootfs", str(archive)), ("--rootfs", str(saved)))
    ]
    assert len(set(digests)) == 1
    # The tar of a container also has the files that the engine adds for /etc/hosts and the like.
    mirror.command("pack", str(driver), "-t", "built/exported:1", "--rootfs", str(exported))
    compared = json.loads(mirror.command("diff", "built/saved:1", "built/exported:1", "--json").stdout)
    added = {change["path"] for change in compared["files"] if change["how"] == "added"}
    assert ".dockerenv" in added
    assert not [change for change in compared["files"] if change["path"] not in added]
