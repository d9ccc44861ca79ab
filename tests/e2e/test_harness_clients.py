"""Tests of the harness's other clients and servers with real programs: images, oras, cosign, nginx, wrk."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.harness import cosign, oras, plugins, skopeo, wrk
from tests.harness.command import CommandFailedError
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.image import DOCKER, OCI, Dialect, pack_image, write_folder, write_oci_layout
from tests.harness.nginx import Nginx
from tests.harness.packing import pack
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("dialect", [pytest.param(DOCKER, id="docker"), pytest.param(OCI, id="oci")])
def test_a_packed_image_goes_through_skopeo_and_an_engine(
    engine: Engine, registry: DockerRegistry, tmp_path: Path, dialect: Dialect
) -> None:
    require(skopeo.missing())
    image = pack_image({"etc/greeting": b"hello from an image\n"}, dialect)
    reference = f"{registry.host}/acme/image:1"
    layout = write_folder(image, tmp_path / "image") if dialect is DOCKER else write_oci_layout(image, tmp_path, "1")
    skopeo.copy(layout, f"docker://{reference}")
    assert skopeo.inspect(f"docker://{reference}", raw=True).stdout_bytes == image.manifest

    assert f"Digest: {image.manifest_digest}\n" in engine.docker("pull", reference).stdout
    container = engine.docker("create", "--network=none", reference, "/none").stdout.strip()
    engine.docker("cp", f"{container}:/etc/greeting", str(tmp_path / "greeting"))
    assert (tmp_path / "greeting").read_text() == "hello from an image\n"

    pushed = f"{registry.host}/acme/pushed:{dialect.layer.count('oci')}"
    engine.docker("commit", container, pushed)
    told = engine.docker("push", pushed).stdout
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", told)
    assert digest
    assert skopeo.inspect(f"docker://{pushed}", "--format={{.Digest}}").stdout.strip() == digest[1]
    engine.docker("rm", container)
    engine.docker("image", "rm", reference, pushed)


def test_oras_pushes_attaches_discovers_copies_and_pulls(registry: DockerRegistry, tmp_path: Path) -> None:
    require(oras.missing())
    (tmp_path / "notes.txt").write_text("notes\n")
    reference = f"{registry.host}/acme/artifact:1"
    pushed = oras.push(reference, "notes.txt:text/plain", artifact_type="application/vnd.acme.notes", folder=tmp_path)
    attached = oras.attach(
        reference, "notes.txt:text/plain", artifact_type="application/vnd.acme.review", folder=tmp_path
    )
    assert [entry["digest"] for entry in oras.discover(reference)] == [attached["digest"]]
    assert oras.discover(reference, artifact_type="application/vnd.acme.other") == []

    copied = f"{registry.host}/acme/copied:1"
    assert pushed["digest"] in oras.copy(reference, copied, recursive=True).stdout
    assert [entry["digest"] for entry in oras.discover(copied)] == [attached["digest"]]
    pulled = oras.pull(copied, tmp_path / "pulled")
    assert [entry["mediaType"] for entry in pulled["files"]] == ["text/plain"]
    assert (tmp_path / "pulled/notes.txt").read_text() == "notes\n"
    with pytest.raises(CommandFailedError, match="not found"):
        oras.pull(f"{registry.host}/acme/artifact:none", tmp_path / "none")


@pytest.mark.parametrize("referrers", [pytest.param(False, id="tags"), pytest.param(True, id="referrers")])
def test_cosign_signs_a_plugin_and_verifies_it(registry: DockerRegistry, tmp_path: Path, referrers: bool) -> None:
    require(cosign.missing(), oras.missing())
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv"))
    repository = f"acme/signed-{referrers}".lower()
    digest = push(packed, registry.url, repository, "1")
    reference = f"{registry.host}/{repository}@{digest}"
    keys = cosign.generate_key_pair(tmp_path)

    unsigned = cosign.verify(reference, keys, referrers=referrers, check=False)
    assert unsigned.exit_code != 0
    assert "no signatures found" in unsigned.stderr

    cosign.sign(reference, keys, referrers=referrers)
    (claim,) = json.loads(cosign.verify(reference, keys, referrers=referrers).stdout)
    assert claim["critical"]["image"] == {"docker-manifest-digest": digest}
    with urllib.request.urlopen(f"{registry.url}/v2/{repository}/tags/list", timeout=120) as response:
        tags = set(json.load(response)["tags"])
    tag = digest.replace(":", "-")
    # This registry has no referrers API, so cosign lists the referrer under the fallback tag of the specification.
    assert tags == {"1", tag if referrers else f"{tag}.sig"}
    if referrers:
        (signature,) = oras.discover(reference)
        assert signature["artifactType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
    else:
        assert f"{tag}.sig" in cosign.tree(reference).stdout

    (tmp_path / "other").mkdir()
    others = cosign.generate_key_pair(tmp_path / "other")
    assert cosign.verify(reference, others, referrers=referrers, check=False).exit_code != 0


def test_nginx_serves_a_folder_and_wrk_measures_it(tmp_path: Path) -> None:
    require(Nginx.missing(), wrk.missing())
    (tmp_path / "file").write_bytes(bytes(1000))
    script = tmp_path / "post.lua"
    script.write_text('function init(arguments) wrk.method, wrk.body = "POST", arguments[1] end\n')
    with Nginx.static(tmp_path) as nginx:
        got = wrk.load(f"{nginx.url}/file", connections=4, threads=2, seconds=1)
        assert got.requests_per_second > 100
        assert got.bytes_per_second > 1000 * got.requests_per_second
        assert 0 < got.p50_seconds <= got.p99_seconds < 1
        assert (got.socket_errors, got.http_errors) == (0, 0)

        absent = wrk.load(f"{nginx.url}/absent", connections=1, threads=1, seconds=1, headers={"User-Agent": "absent"})
        assert absent.http_errors == absent.requests

        wrk.load(f"{nginx.url}/file", connections=1, threads=1, seconds=1, script=script, script_arguments=["body"])
        logged = nginx.access_log.read_text()
        assert '"POST /file HTTP/1.1" 405 ' in logged
        assert '"GET /absent HTTP/1.1" 404 ' in logged
        assert '"absent"' in logged
    assert not nginx.folder.exists()
    with pytest.raises(CommandFailedError, match="Connection refused"):
        wrk.load(f"{nginx.url}/file", connections=1, threads=1, seconds=1)


def test_nginx_in_front_of_a_registry_slows_it_down(registry: DockerRegistry, tmp_path: Path) -> None:
    require(Nginx.missing())
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=300_000))
    with Nginx.front(registry.url, limit_rate_bytes_per_second=200_000) as nginx:
        push(packed, nginx.url, "acme/slow", "1")  # the upload's Location must lead through nginx, too
        started = time.monotonic()
        with urllib.request.urlopen(f"{nginx.url}/v2/acme/slow/blobs/{packed.layer_digest}", timeout=120) as response:
            assert response.read() == packed.layer
        assert time.monotonic() - started > 0.9
        uploads = [line for line in nginx.access_log.read_text().splitlines() if '"PUT /v2/acme/slow/blobs/' in line]
        assert len(uploads) == 2

        nginx.stop()
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{nginx.url}/v2/", timeout=120)
        nginx.start()
        with urllib.request.urlopen(f"{nginx.url}/v2/", timeout=120) as response:
            assert response.status == 200
