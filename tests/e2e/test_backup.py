"""Backup, restore and recovery with the real program: beside a server under load, and killed at random points."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.packing import digest_of
from tests.support.killing import kill_at_random_points
from tests.torture import contents
from tests.torture.connection import Connection, NoAnswer

pytestmark = pytest.mark.e2e

NAME = "carried/plugin"


def push(connection: Connection, tag: str, layer_bytes: int = 50_000) -> None:
    """Push an image with a layer of its own, again if a collection without grace has removed a blob meanwhile."""
    while not pushed(connection, tag, layer_bytes):
        pass


def pushed(connection: Connection, tag: str, layer_bytes: int) -> bool:
    config, layer = contents.blob(f"config {tag}", 200), contents.blob(f"layer {tag}", layer_bytes)
    for blob in (config, layer):
        uploads = f"/v2/{NAME}/blobs/uploads/?digest={blob.digest}"
        assert connection.ask("POST", uploads, blob.data, {"Content-Type": "application/octet-stream"}).status == 201
    manifest = contents.image(tag, config, [layer])
    path = f"/v2/{NAME}/manifests/{tag}"
    answer = connection.ask("PUT", path, manifest.data, {"Content-Type": contents.MANIFEST_TYPE})
    assert answer.status == 201 or b"MANIFEST_BLOB_UNKNOWN" in answer.body
    return answer.status == 201


def held(data: Path) -> set[str]:
    """Serve a data folder, pull every image, and return the tags."""
    with Mirror(data=data) as mirror, Connection(mirror.port) as connection:
        tags = json.loads(connection.ask("GET", f"/v2/{NAME}/tags/list?n=1000").body)["tags"]
        for tag in tags:
            manifest = json.loads(connection.ask("GET", f"/v2/{NAME}/manifests/{tag}").body)
            for blob in (manifest["config"], *manifest["layers"]):
                answer = connection.ask("GET", f"/v2/{NAME}/blobs/{blob['digest']}")
                assert digest_of(answer.body) == blob["digest"]
    return set(tags)


@contextmanager
def pushing(mirror: Mirror) -> Iterator[list[str]]:
    """Push, delete and collect during the block. Yields the acknowledged tags, which stay."""
    acknowledged: list[str] = []
    ended = threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        number = 0
        try:
            with Connection(mirror.port) as connection:
                while not ended.wait(0.2):
                    push(connection, f"stays-{number}")
                    acknowledged.append(f"stays-{number}")
                    push(connection, f"goes-{number}")
                    assert connection.ask("DELETE", f"/v2/{NAME}/manifests/goes-{number}").status == 202
                    number += 1
        except (AssertionError, NoAnswer) as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield acknowledged
    finally:
        ended.set()
        thread.join()
        assert failures == []


def test_backups_under_load_have_everything_that_was_acknowledged_before(tmp_path: Path) -> None:
    with Mirror(workers=2) as mirror:
        with pushing(mirror) as acknowledged:
            for _ in range(2):
                before = set(acknowledged)
                mirror.command("backup", str(tmp_path / "backup"))
                mirror.command("gc", "--grace", "0s", "--untagged", "0s")
            piped = set(acknowledged)
            with (tmp_path / "backup.tar").open("wb") as tar:
                subprocess.run([PROGRAM, "backup", "-", "--config", str(mirror.config)], stdout=tar, check=True)
        shown = json.loads(mirror.command("backup", str(tmp_path / "backup"), "--json").stdout)
        with Connection(mirror.port) as connection:
            metrics = connection.ask("GET", "/metrics").body.decode()
        everything = set(acknowledged)
    assert shown["serial"] == 3
    assert shown["damaged"] == {}
    assert "plugin_mirror_backup_created_timestamp_seconds" in metrics

    plugin_mirror("restore", str(tmp_path / "backup"), "--data", str(tmp_path / "restored"))
    with (tmp_path / "backup.tar").open("rb") as tar:
        subprocess.run([PROGRAM, "restore", "-", "--data", str(tmp_path / "from-tar")], stdin=tar, check=True)
    assert held(tmp_path / "restored") >= everything
    assert held(tmp_path / "from-tar") >= piped >= before


def filled(data: Path, images: int = 12) -> None:
    with Mirror(data=data) as mirror, Connection(mirror.port) as connection:
        for number in range(images):
            push(connection, f"v{number}", 3_000_000)


@pytest.mark.timeout(1200)  # the long form has 50 kills
def test_a_killed_backup_is_the_earlier_one_and_goes_on(tmp_path: Path, kills: int) -> None:
    data, backup, small = tmp_path / "data", tmp_path / "backup", tmp_path / "small"
    filled(small, 1)
    filled(data)
    # The earlier backup has other content.
    plugin_mirror("backup", str(backup), "--data", str(small))

    def check() -> None:
        restored = tmp_path / "restored"
        plugin_mirror("restore", str(backup), "--data", str(restored))
        shutil.rmtree(restored)

    def afresh() -> None:
        shutil.rmtree(backup)
        plugin_mirror("backup", str(backup), "--data", str(small))

    kill_at_random_points(
        [PROGRAM, "backup", str(backup), "--data", str(data), "--replace"],
        kills=kills,
        seed=15,
        check=check,
        afresh=afresh,
        begun=(backup / "2").exists,
    )
    plugin_mirror("restore", str(backup), "--data", str(tmp_path / "restored"))
    assert held(tmp_path / "restored") == {f"v{number}" for number in range(12)}


@pytest.mark.timeout(1200)  # the long form has 50 kills
def test_a_killed_restore_is_no_store_and_goes_on(tmp_path: Path, kills: int) -> None:
    data, backup, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    filled(data)
    plugin_mirror("backup", str(backup), "--data", str(data))

    def check() -> None:
        if (restored / "restoring").exists():
            listed = plugin_mirror("ls", "--data", str(restored), check=False)
            assert listed.exit_code == 5
            assert "run 'plugin-mirror restore' with the same backup again" in listed.stderr

    # A restore that is killed after the marker went is complete, and is not run again.
    complete = f"test -e {restored}/catalog.sqlite && test ! -e {restored}/restoring"
    kill_at_random_points(
        ["sh", "-c", f"{complete} || exec {PROGRAM} restore {backup} --data {restored}"],
        kills=kills,
        seed=15,
        check=check,
        afresh=lambda: shutil.rmtree(restored),
        begun=(restored / "restoring").exists,
    )
    assert held(restored) == {f"v{number}" for number in range(12)}


def test_a_lost_catalog_is_rebuilt_from_the_snapshot_of_the_server(tmp_path: Path) -> None:
    sections = {"storage": {"path": str(tmp_path / "data"), "names_snapshot_minutes": 0.005}}
    with Mirror(data=tmp_path / "data", sections=sections) as mirror:
        with Connection(mirror.port) as connection:
            push(connection, "v1")
            push(connection, "v2")
        snapshot, changed = mirror.data / "names.sqlite", time.time()
        deadline = time.monotonic() + 30
        while not snapshot.exists() or snapshot.stat().st_mtime < changed:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running = mirror.command("recover", check=False)
        assert running.exit_code == 1
        assert "running server" in running.stderr
    for file in (tmp_path / "data").glob("catalog.sqlite*"):
        file.unlink()
    lost = plugin_mirror("ls", "--data", str(tmp_path / "data"), check=False)
    assert lost.exit_code == 5
    assert "plugin-mirror recover" in lost.stderr

    recovered = plugin_mirror("recover", "--data", str(tmp_path / "data"))

    assert "rebuilt the catalog: 1 repository, 2 tags" in recovered.stdout
    assert "later changes are not known" in recovered.stdout
    assert held(tmp_path / "data") == {"v1", "v2"}
    again = plugin_mirror("recover", "--data", str(tmp_path / "data"))
    assert "is whole: nothing was changed" in again.stdout
