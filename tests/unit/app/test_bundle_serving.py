"""A bundle that is served as a registry, without an import."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, encode_basic_auth
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.access.passwords import hashed
from mirror.app import worker
from mirror.app.bundles.bundle_serving import BundleToServe, ServedBundle, open_served, settings_for_bundle
from mirror.app.configuration.serving_series import allocate_shared_metrics
from mirror.app.services import open_services, open_store
from mirror.app.worker import Worker, build_service
from mirror.bundle.bundle_errors import BundleUntrusted
from mirror.bundle.format.statement import Since
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.parts.splitting import split_bundle
from mirror.bundle.trust.key_set import KeySet, SignedKeySet
from mirror.bundle.trust.signing_keys import VerifyingKey
from mirror.oci import Digest, Tag
from mirror.oci.errors import StorageDamaged
from mirror.records.bundle_trust import StreamState, TrustedKeySet
from mirror.records.users import User
from mirror.registry.port import Registry
from mirror.runtime.logs import LogLines
from mirror.server.http_application import Application, build
from mirror.server.http_server import listen
from mirror.settings import Settings, load
from mirror.store.private_state import private_state
from mirror.store.records.bundles.sql_bundle_trust import put_stream
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import REPOSITORY, push_blob
from tests.support.bundles import KEY, OTHER_KEY, BuiltBundle, build_bundle, public_pem, small_plugin
from tests.support.plugins import LAYER
from tests.support.scripted_server import ScriptedServer

NAME = "contiv/v2plugin"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "site.pub"
    path.write_bytes(public_pem(KEY))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


def settings_of(folder: Path, **more: Any) -> Settings:
    return load(flags={"storage": {"path": str(folder / "data")}} | more)


def bundle_in(folder: Path, **options: Any) -> BuiltBundle:
    manifest, blobs = small_plugin()
    return build_bundle(folder / "F.tar", {f"{NAME}:1.0": manifest}, blobs, **{"created": NOW} | options)


@asynccontextmanager
async def serving(settings: Settings, served: ServedBundle) -> AsyncIterator[TestClient[Any, Any]]:
    """Run a worker with the bundle, as ``serve --bundle`` does."""
    with settings_for_bundle(settings) as of_bundle, private_state(of_bundle.storage.path) as state:
        lines = LogLines(io.StringIO())
        with listen("127.0.0.1", 0) as listener:
            process = Worker([listener], allocate_shared_metrics(of_bundle), private_state=state, bundle=served)
            async with (
                build_service(of_bundle, process, lines) as service,
                TestClient(RawTestServer(service.application.handle)) as client,
            ):
                yield client
        lines.close()


async def test_the_content_of_a_bundle_is_pulled_and_nothing_is_written(tmp_path: Path, settings: Settings, key: Path):
    built = bundle_in(tmp_path)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    assert served.warnings == ()
    async with serving(settings, served) as client:
        async with client.get(f"/v2/{NAME}/manifests/1.0") as answer:
            manifest = await answer.read()
            assert answer.status == 200
        assert Digest.of(manifest) in {placed.member.digest for placed in built.layout.blobs()}
        layer = Digest.of(LAYER)
        async with client.get(f"/v2/{NAME}/blobs/{layer}") as answer:
            assert (answer.status, await answer.read()) == (200, LAYER)
        async with client.get(f"/v2/{NAME}/blobs/{layer}", headers={"Range": "bytes=1-3"}) as answer:
            assert (answer.status, await answer.read()) == (206, LAYER[1:4])
        async with client.get("/v2/_catalog") as answer:
            assert await answer.json() == {"repositories": [NAME]}
        async with client.get(f"/v2/{NAME}/tags/list") as answer:
            assert (await answer.json())["tags"] == ["1.0"]
        async with client.post(f"/v2/{NAME}/blobs/uploads/") as answer:
            assert answer.status == 405
        async with client.delete(f"/v2/{NAME}/manifests/1.0") as answer:
            assert answer.status == 405
    assert sorted(path.name for path in tmp_path.iterdir()) == ["F.tar", "site.pub"]


async def test_operators_see_the_bundle_and_its_age(tmp_path: Path, settings: Settings, key: Path):
    built = bundle_in(tmp_path, created=NOW - timedelta(days=40), stream="site", serial=7)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    assert [warning.partition(" (")[0] for warning in served.warnings] == ["the bundle is 40 d old"]
    async with serving(settings, served) as client:
        async with client.get("/readyz") as answer:
            assert await answer.json() == {
                "status": "ok",
                "checks": {"bundle": "ok", "catalog": "ok"},
                "mode": "read-only",
            }
        async with client.get("/metrics") as answer:
            lines = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
        assert float(lines['plugin_mirror_bundle_age_seconds{stream="site"}']) >= timedelta(days=40).total_seconds()
        assert lines['plugin_mirror_bundle_serial{stream="site"}'] == "7.0"
        async with client.get("/api/v1/bundles") as answer:
            (told,) = (await answer.json())["bundles"]
        assert (told["stream"], told["serial"], told["signed"], told["imported_at"]) == ("site", 7, True, None)
        assert told["statement"] == str(built.envelope.digest)


async def test_a_medium_that_was_pulled_out_is_not_ready(tmp_path: Path, settings: Settings, key: Path):
    bundle_in(tmp_path)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    file = tmp_path / "F.tar"
    async with serving(settings, served) as client:
        layer = f"/v2/{NAME}/blobs/{Digest.of(LAYER)}"
        file.rename(tmp_path / "gone")
        async with client.get(layer) as answer:
            assert answer.status == 500
        async with client.get("/readyz") as answer:
            assert answer.status == 503
            told = (await answer.json())["checks"]["bundle"]
            assert re.fullmatch(rf"{file} cannot be read at byte \d+: No such file or directory", told)
        (tmp_path / "gone").rename(file)
        async with client.get(layer) as answer:
            assert (answer.status, await answer.read()) == (200, LAYER)


async def test_another_file_in_its_place_is_not_served(tmp_path: Path, settings: Settings, key: Path):
    built = bundle_in(tmp_path)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    blob = built.layout.blobs()[-1].member
    (tmp_path / "F.tar").write_bytes(built.with_content(blob.path, bytes(blob.size_bytes)))
    async with serving(settings, served) as client:
        async with client.get(f"/v2/{NAME}/blobs/{blob.digest}") as answer:
            with pytest.raises(ClientError):
                await answer.read()
        (tmp_path / "F.tar").write_bytes(bytes(len(built.content)))
        async with client.get("/readyz") as answer:
            assert "is another file than at the start" in (await answer.json())["checks"]["bundle"]


async def test_a_later_bundle_of_the_same_size_is_another_file_and_one_with_more_signatures_is_not(
    tmp_path: Path, settings: Settings, key: Path
):
    built = bundle_in(tmp_path)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    assert len(bundle_in(tmp_path, serial=2).content) == len(built.content)
    with pytest.raises(StorageDamaged, match="is another file than at the start"):
        await served.probe()
    bundle_in(tmp_path, keys=[KEY, OTHER_KEY])
    await served.probe()


@pytest.mark.parametrize(
    ("options", "wanted", "told"),
    [
        ({"keys": [OTHER_KEY]}, {}, "no trusted key has signed the bundle"),
        ({"keys": []}, {}, "the bundle is not signed"),
        ({"created": NOW - timedelta(days=91)}, {}, "refuses bundles older than 90 d"),
    ],
    ids=["another key", "unsigned", "too old"],
)
async def test_a_bundle_that_is_not_trusted_is_not_served(
    tmp_path: Path, key: Path, options: dict[str, Any], wanted: dict[str, Any], told: str
):
    bundle_in(tmp_path, **options)
    settings = settings_of(tmp_path, bundles={"max_age": "90d"})
    with pytest.raises(BundleUntrusted, match=told):
        await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key], **wanted))


async def test_the_chain_is_the_one_that_the_architecture_names(
    tmp_path: Path, settings: Settings, key: Path, monkeypatch: pytest.MonkeyPatch
):
    bundle_in(tmp_path)
    built: list[Registry] = []

    def capture(registry: Registry, **parts: Any) -> Application:
        built.append(registry)
        return build(registry, **parts)

    monkeypatch.setattr(worker, "build", capture)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    async with serving(settings, served):
        chain = [built[0]]
        while (inner := getattr(chain[-1], "inner", None)) is not None:
            chain.append(inner)
    shown = "(".join(type(each).__name__ for each in chain) + ")" * (len(chain) - 1)
    assert f"`{shown}`" in (Path(__file__).parents[3] / "docs/ARCHITECTURE.md").read_text()


@pytest.fixture
async def known(settings: Settings) -> None:
    """Make a data folder that trusts the key and has imported bundle 7 of the stream."""
    root = KeySet.of_key(VerifyingKey(KEY.public_key().public_bytes_raw()))
    state = StreamState("test", 7, Digest.of(b"the seventh"), NOW, NOW, root.digest)
    async with open_store(settings) as store:
        trust = store.records.bundle_trust
        await trust.record_root(TrustedKeySet(root.digest, 1, SignedKeySet(root, root.envelope).to_bytes()))
        await trust._catalog.write_uncached(lambda connection: put_stream(connection, state))


@pytest.mark.usefixtures("known")
async def test_the_data_folder_says_who_is_trusted_and_which_bundle_was_there_before(
    tmp_path: Path, settings: Settings
):
    bundle_in(tmp_path, serial=8)
    assert (await open_served(settings, BundleToServe(tmp_path / "F.tar"))).is_signed
    bundle_in(tmp_path, serial=6)
    with pytest.raises(BundleUntrusted, match=r"is older than bundle 7.*--allow-rollback 6"):
        await open_served(settings, BundleToServe(tmp_path / "F.tar"))
    await open_served(settings, BundleToServe(tmp_path / "F.tar", allow_rollback=6))


@pytest.mark.usefixtures("known")
async def test_nothing_in_a_data_folder_is_changed(tmp_path: Path, settings: Settings):
    bundle_in(tmp_path, serial=8)
    # Reading the recorded trust opens the catalog, which counts a generation as each command does.
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name != "generation"]
    before = {path: path.read_bytes() for path in files}
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar"))
    headers = {"User-Agent": "docker/20.10.5"}
    async with serving(settings, served) as client, client.get(f"/v2/{NAME}/manifests/1.0", headers=headers) as answer:
        assert answer.status == 200
    assert {path: path.read_bytes() for path in files} == before
    assert {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()} == {
        *(path.name for path in files),
        "generation",
    }


async def test_the_policy_of_the_site_withholds_plugins_of_a_bundle(tmp_path: Path, key: Path):
    bundle_in(tmp_path)
    settings = settings_of(tmp_path, admission={"rules": [{"name": "nothing", "action": "deny", "names": [NAME]}]})
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    async with serving(settings, served) as client, client.get(f"/v2/{NAME}/manifests/1.0") as answer:
        assert answer.status == 403
        assert "nothing" in await answer.text()


async def test_the_blobs_of_a_withheld_plugin_are_withheld_too(tmp_path: Path, key: Path):
    denied, blobs = small_plugin(b"its own layer", LAYER)
    other, more = small_plugin(LAYER, Description="another")
    path = tmp_path / "F.tar"
    build_bundle(path, {f"{NAME}:1.0": denied, "other/plugin:1.0": other}, [*blobs, *more], created=NOW)
    settings = settings_of(tmp_path, admission={"rules": [{"name": "nothing", "action": "deny", "names": [NAME]}]})
    served = await open_served(settings, BundleToServe(path, public_keys=[key]))

    async def status(name: str, content: bytes) -> int:
        async with client.get(f"/v2/{name}/blobs/{Digest.of(content)}") as answer:
            return answer.status

    async with serving(settings, served) as client:
        assert [await status(NAME, blob) for blob in blobs] == [403, 403, 403]
        assert [await status("other/plugin", blob) for blob in more] == [200, 200]


async def test_what_the_data_folder_withholds_says_nothing_about_other_plugins_of_a_bundle(
    tmp_path: Path, settings: Settings, key: Path
):
    rejected, blobs = small_plugin(LAYER, Description="rejected")
    async with open_services(settings) as services:
        for blob in blobs:
            await push_blob(services.store, blob)
        await services.store.put_manifest(REPOSITORY, rejected, [Tag("old")])
        await services.approvals.decide(REPOSITORY, rejected.digest, approved=False, by="anna")
    bundle_in(tmp_path)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    async with serving(settings, served) as client, client.get(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}") as answer:
        assert answer.status == 200


async def test_a_bundle_in_parts_is_served_in_place(tmp_path: Path, settings: Settings, key: Path):
    built = bundle_in(tmp_path)
    (tmp_path / "second").mkdir()
    part_bytes = built.layout.blobs()[-1].start_bytes
    source = await open_source(tmp_path / "F.tar")
    await split_bundle(source, "F.tar", tmp_path / "first", part_bytes, SilentProgress())
    (tmp_path / "F.tar").unlink()
    moved = tmp_path / "first/F.tar.part-002"
    moved = moved.rename(tmp_path / "second" / moved.name)
    wanted = BundleToServe(tmp_path / "first/F.tar.parts.json", [tmp_path / "second"], [key])
    served = await open_served(settings, wanted)
    assert served.warnings == ()
    async with serving(settings, served) as client, client.get(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}") as answer:
        assert await answer.read() == LAYER
    moved.unlink()
    served = await open_served(settings, wanted)
    assert "part 2" in served.warnings[0]
    async with serving(settings, served) as client, client.get("/readyz") as answer:
        assert answer.status == 503
        assert "part 2" in (await answer.json())["checks"]["bundle"]


@pytest.mark.parametrize(("anonymous", "status"), [(["pull"], 200), ([], 403)])
async def test_everybody_may_pull_unless_the_configuration_says_otherwise(
    tmp_path: Path, key: Path, anonymous: list[str], status: int
):
    bundle_in(tmp_path)
    settings = settings_of(tmp_path, server={"anonymous": anonymous})
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    async with serving(settings, served) as client, client.get(f"/v2/{NAME}/manifests/1.0") as answer:
        assert answer.status == status


async def test_users_of_the_data_folder_log_in(tmp_path: Path, key: Path):
    access = [{"users": ["anna"], "repositories": ["contiv/**"], "actions": ["pull"]}]
    settings = settings_of(tmp_path, server={"anonymous": []}, access=access)
    async with open_store(settings) as store:
        await store.records.users.add_user(User("anna", hashed("the password"), NOW))
    bundle_in(tmp_path)
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    async with serving(settings, served) as client:
        for password, status in (("the password", 200), ("another one", 401)):
            headers = {"Authorization": encode_basic_auth("anna", password)}
            async with client.get(f"/v2/{NAME}/manifests/1.0", headers=headers) as answer:
                assert answer.status == status


async def test_no_upstream_is_asked_and_nobody_decides_about_plugins(tmp_path: Path, key: Path):
    async with ScriptedServer().running() as hub:
        proxy = [{"from": "hub/**", "to": "**"}]
        settings = settings_of(tmp_path, upstreams={"hub": {"url": hub.url, "plain_http": True}}, proxy=proxy)
        bundle_in(tmp_path)
        served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
        async with serving(settings, served) as client:
            async with client.get(f"/v2/{NAME}/manifests/2.0") as answer:
                assert answer.status == 404
            async with client.post("/api/v1/admission/approve", json={"reference": f"{NAME}:1.0"}) as answer:
                assert answer.status == 405
    assert hub.connections == 0


async def test_an_unsigned_bundle_is_served_where_somebody_says_so(tmp_path: Path, settings: Settings):
    bundle_in(tmp_path, keys=[])
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", unsigned=True))
    assert not served.is_signed


async def test_a_delta_is_served_with_a_warning(tmp_path: Path, settings: Settings, key: Path):
    bundle_in(tmp_path, since=Since(serial=1), serial=2, left_out=[Digest.of(LAYER)])
    served = await open_served(settings, BundleToServe(tmp_path / "F.tar", public_keys=[key]))
    assert "the bundle is a delta" in served.warnings[0]
    async with serving(settings, served) as client, client.get(f"/v2/{NAME}/blobs/{Digest.of(LAYER)}") as answer:
        assert answer.status == 404
