"""Bundles that are fetched from other registries, without a store."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.app.bundles.bundle_fetching import FetchRequest, fetch_bundle
from mirror.app.bundles.bundle_opening import open_bundle
from mirror.bundle.bundle_errors import BundleFault
from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.trust.signing_key_files import load_verifying_key, make_key_files
from mirror.cli import exit_codes
from mirror.cli.command_line import run
from mirror.oci import Digest, Reference, Repository
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.oci.name_mapping import NameMapping
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from mirror.settings import Settings
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.bundles import CREATED
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.served import CONFIG, LAYER, MANIFEST, REPOSITORY, TAG, put_plugin, served

SETTINGS = Settings.model_validate({})


@pytest.fixture(autouse=True)
def _no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))


async def fetch(port: int, output: Path, *, repository: object = REPOSITORY, **options: object):
    reference = Reference.parse(f"127.0.0.1:{port}/{repository}:{TAG}")
    request = FetchRequest(output=output, references=(reference,), **options)  # type: ignore[arg-type]
    return await fetch_bundle(SETTINGS, request, SilentProgress())


async def read_blob(reader: Registry, repository: Repository, content: bytes) -> bytes:
    async with reader.open_blob(repository, Digest.of(content)) as blob:
        return b"".join([chunk async for chunk in blob])


async def test_content_of_a_registry_becomes_a_signed_bundle(tmp_path: Path):
    key = await make_key_files(tmp_path / "site.key")
    async with served() as hub:
        manifest = await put_plugin(hub.registry)
        exported = await fetch(hub.port, tmp_path / "site.tar", keys=(tmp_path / "site.key",))
    assert exported.stream == f"key-{key.key_id[:12]}"
    reader = await open_bundle(tmp_path / "site.tar")
    assert await reader.get_manifest(REPOSITORY, TAG) == manifest
    for content in (CONFIG, LAYER):
        assert await read_blob(reader, REPOSITORY, content) == content
    head = reader.head
    (signature,) = head.envelope.signatures
    assert (await load_verifying_key(tmp_path / "site.key.pub")).verifies(signature.value, head.envelope.signed_bytes)
    origin = head.statement.notes.origins[f"{REPOSITORY}:{TAG}"]
    assert origin.source == f"127.0.0.1:{hub.port}/{REPOSITORY}"
    assert head.statement.serial == int(head.statement.created.timestamp())


async def test_names_are_mapped(tmp_path: Path):
    async with served() as hub:
        await put_plugin(hub.registry, Repository("store/contiv/v2plugin"))
        mappings = (NameMapping("store/*/*", "*/*"),)
        await fetch(hub.port, tmp_path / "site.tar", repository="store/contiv/v2plugin", mappings=mappings)
    reader = await open_bundle(tmp_path / "site.tar")
    assert [str(named) for named in reader.head.names] == ["contiv/v2plugin:1.0"]


async def test_what_the_receipt_lists_is_left_out(tmp_path: Path):
    async with served() as hub:
        manifest = await put_plugin(hub.registry)
        receipt = Receipt(CREATED, frozenset({Digest.of(LAYER)}), {}, {"unsigned": 2**40})
        (tmp_path / "receipt").write_bytes(receipt.to_bytes())
        exported = await fetch(hub.port, tmp_path / "site.tar", since=tmp_path / "receipt")
    assert exported.serial == 2**40 + 1
    reader = await open_bundle(tmp_path / "site.tar")
    statement = reader.head.statement
    assert statement.since is not None
    assert statement.since.receipt == receipt.digest
    held = {member.digest for member in statement.members if member.is_blob}
    assert held == {manifest.digest, Digest.of(CONFIG)}


async def test_a_name_that_the_registry_lacks_fails_and_leaves_no_bundle(tmp_path: Path):
    async with served() as hub:
        with pytest.raises(NotFound):
            await fetch(hub.port, tmp_path / "site.tar")
    assert list(tmp_path.glob("site.tar*")) == []


async def test_the_login_of_docker_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with ScriptedServer().running() as hub:
        challenge = Reply(401, headers={"WWW-Authenticate": 'Basic realm="hub"'})
        for method in ("HEAD", "GET"):
            hub.on(f"{method} /v2/{REPOSITORY}/manifests/{TAG}", challenge, Reply(404))
        login = base64.b64encode(b"anna:secret").decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{hub.port}": {"auth": login}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        with pytest.raises(NotFound):
            await fetch(hub.port, tmp_path / "site.tar")
    assert f"Basic {login}" in [asked.headers.get("Authorization") for asked in hub.seen]


class Faulty(MemoryRegistry):
    """A registry that has lost the layer."""

    def open_blob(self, repository, digest, part=None, size_bytes=None):
        if digest == Digest.of(LAYER):
            raise ManifestUnknown("lost")
        return super().open_blob(repository, digest, part, size_bytes)


async def test_a_fetch_goes_on_after_a_failure(tmp_path: Path):
    async with served(Faulty()) as hub:
        await put_plugin(hub.registry)
        with pytest.raises(BundleFault, match="or its registry never had it"):
            await fetch(hub.port, tmp_path / "site.tar")
    assert not (tmp_path / "site.tar").exists()
    async with served() as hub:
        await put_plugin(hub.registry)
        exported = await fetch(hub.port, tmp_path / "site.tar")
    # The manifest and the config were there.
    assert exported.continued_bytes == len(MANIFEST) + len(CONFIG)
    reader = await open_bundle(tmp_path / "site.tar")
    assert await read_blob(reader, REPOSITORY, LAYER) == LAYER


def test_a_serial_begins_at_one(tmp_path: Path):
    assert run(["fetch", "-o", f"{tmp_path}/site.tar", "127.0.0.1:1/a/b", "--unsigned", "--serial", "0"]) == 2


@pytest.mark.parametrize("options", [[], ["--unsigned", "--key", "site.key"]])
def test_a_bundle_is_signed_or_unsigned_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]):
    code = run(["fetch", "-o", f"{tmp_path}/site.tar", "127.0.0.1:1/a/b", *options])
    assert code == exit_codes.WRONG_USAGE
    assert "a bundle is either signed or unsigned; fix: give --key F" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--map", "a/b"], "--map 'a/b' is not FROM=TO"),
        (["--platform", "linux"], "not a platform"),
        (["--since", "/no/receipt"], "/no/receipt cannot be read"),
    ],
)
def test_wrong_options_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], told: str
):
    assert run(["fetch", "-o", f"{tmp_path}/site.tar", "127.0.0.1:1/a/b", "--unsigned", *option]) == 2
    assert told in capsys.readouterr().err


def test_a_registry_that_does_not_answer_is_asked_again_and_told_in_one_line(tmp_path: Path):
    """In a process of its own, because loggers keep the configuration of their first use."""
    arguments = ["fetch", "-o", f"{tmp_path}/site.tar", "127.0.0.1:1/a/b", "--unsigned"]
    program = "import sys; from mirror.cli.command_line import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    again, line = done.stderr.splitlines()
    assert again.startswith("warning: upstream request failed, trying again (1 of 2): upstream 127.0.0.1:1: ")
    assert line.startswith("error: upstream 127.0.0.1:1: GET http://127.0.0.1:1/v2/a/b/manifests/latest: no connection")
    assert done.returncode == exit_codes.OTHER_SIDE_FAILED
