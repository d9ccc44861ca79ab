"""Images, artifacts and signatures through other clients, with our server and between our server and others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import cosign, oras, plugins, skopeo
from tests.harness.command import CommandFailedError, CompletedRun, run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.image import DOCKER, OCI, Dialect, PackedImage, pack_image, write_folder, write_oci_layout
from tests.harness.mirror import Mirror
from tests.harness.packing import digest_of, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

INDEX = "application/vnd.oci.image.index.v1+json"
NOTES = "application/vnd.acme.notes"
REVIEW = "application/vnd.acme.review+json"
dialects = pytest.mark.parametrize("dialect", [pytest.param(DOCKER, id="docker"), pytest.param(OCI, id="oci")])


@pytest.fixture(scope="module")
def workers() -> Iterator[Mirror]:
    """Our server with two worker processes, as for many clients."""
    with Mirror(workers=2) as mirror:
        yield mirror


def fetch(mirror: Mirror, path: str, *options: str) -> Any:
    return json.loads(run(["curl", "--silent", "--fail", "--noproxy", "*", *options, mirror.url + path]).stdout_bytes)


def raw(reference: str) -> bytes:
    return skopeo.inspect(f"docker://{reference}", raw=True).stdout_bytes


def write_image(image: PackedImage, folder: Path) -> str:
    return write_folder(image, folder) if image.dialect is DOCKER else write_oci_layout(image, folder, "1")


@dialects
def test_skopeo_keeps_every_byte_of_an_image_on_every_way(workers: Mirror, tmp_path: Path, dialect: Dialect) -> None:
    require(skopeo.missing())
    image = pack_image({"etc/greeting": b"hello\n"}, dialect)
    first = f"{workers.host}/acme/{'docker' if dialect is DOCKER else 'oci'}:1"
    skopeo.copy(write_image(image, tmp_path / "image"), f"docker://{first}")
    assert raw(first) == image.manifest
    described = json.loads(skopeo.inspect(f"docker://{first}").stdout)
    assert (described["Digest"], described["RepoTags"]) == (image.manifest_digest, ["1"])

    skopeo.copy(f"docker://{first}", f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out/manifest.json").read_bytes() == image.manifest
    skopeo.copy(f"docker://{first}", f"docker://{workers.host}/acme/mounted:1")
    assert raw(f"{workers.host}/acme/mounted:1") == image.manifest
    by_digest = f"{workers.host}/acme/mounted@{image.manifest_digest}"
    assert raw(by_digest) == image.manifest


@pytest.mark.parametrize("format_name", ["oci", "v2s2"])
def test_skopeo_translates_an_image_into_the_other_dialect(workers: Mirror, tmp_path: Path, format_name: str) -> None:
    require(skopeo.missing())
    image = pack_image({"etc/greeting": b"hello\n"}, DOCKER if format_name == "oci" else OCI)
    reference = f"{workers.host}/acme/translated:{format_name}"
    skopeo.copy(write_image(image, tmp_path / "image"), f"docker://{reference}", f"--format={format_name}")
    wanted = (OCI if format_name == "oci" else DOCKER).manifest
    assert json.loads(raw(reference))["mediaType"] == wanted
    skopeo.copy(f"docker://{reference}", f"oci:{tmp_path / 'layout'}:1")
    assert (tmp_path / "layout/oci-layout").exists()


def write_multi_platform_layout(folder: Path) -> bytes:
    """Write an OCI layout whose tag `all` is an index of three images, and return the index."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def write(media_type: str, content: bytes, **members: object) -> dict[str, object]:
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **members}

    listed = []
    for architecture in ("amd64", "arm64", "s390x"):
        image = pack_image({"etc/architecture": architecture.encode()}, OCI)
        for content in (image.config, image.layer):
            write("", content)
        platform = {"os": "linux", "architecture": architecture}
        listed.append(write(OCI.manifest, image.manifest, platform=platform))
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, indent=1).encode()
    entry = write(INDEX, index, annotations={"org.opencontainers.image.ref.name": "all"})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return index


def test_skopeo_copies_every_platform_in_between_us_and_others_and_out(
    workers: Mirror, mirror: Mirror, registry: DockerRegistry, tmp_path: Path
) -> None:
    require(skopeo.missing())
    index = write_multi_platform_layout(tmp_path / "layout")
    ways = [f"oci:{tmp_path / 'layout'}:all"]
    for host in (workers.host, registry.host, mirror.host, workers.host):
        target = f"{host}/acme/platforms:all{len(ways)}"
        skopeo.copy(ways[-1], f"docker://{target}", "--all")
        assert raw(target) == index
        ways.append(f"docker://{target}")
    skopeo.copy(ways[-1], f"dir:{tmp_path / 'dir'}", "--all")
    assert (tmp_path / "dir/manifest.json").read_bytes() == index
    skopeo.copy(f"dir:{tmp_path / 'dir'}", f"docker://{workers.host}/acme/back:all", "--all")
    assert raw(f"{workers.host}/acme/back:all") == index

    skopeo.copy(ways[-1], f"dir:{tmp_path / 'arm64'}", "--override-arch=arm64")
    digests = {each["platform"]["architecture"]: each["digest"] for each in json.loads(index)["manifests"]}
    assert digest_of((tmp_path / "arm64/manifest.json").read_bytes()) == digests["arm64"]


def test_skopeo_lists_and_deletes(workers: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    layout = write_image(pack_image({"etc/greeting": b"hello\n"}, OCI), tmp_path / "image")
    name = f"docker://{workers.host}/acme/deleted"
    for tag in ("b", "a", "B"):
        skopeo.copy(layout, f"{name}:{tag}")
    listing = ["skopeo", "list-tags", "--tls-verify=false", name]
    assert json.loads(run(listing).stdout)["Tags"] == ["B", "a", "b"]
    run(["skopeo", "delete", "--tls-verify=false", f"{name}:a"])  # skopeo deletes the manifest with all its tags
    assert json.loads(run(listing).stdout)["Tags"] == []
    gone = skopeo.inspect(f"{name}:a", check=False)
    assert gone.exit_code != 0
    assert "manifest unknown" in gone.stderr.lower() or "acme/deleted" in gone.stderr


def test_skopeo_takes_up_what_is_there_instead_of_sending_it_again(mirror: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    layout = write_image(pack_image({"etc/greeting": b"hello again\n"}, OCI), tmp_path / "image")
    for tag in ("1", "2"):
        skopeo.copy(layout, f"docker://{mirror.host}/acme/once:{tag}")

    def asked() -> list[str]:
        return [line["method"] for line in mirror.log if line.get("path", "").startswith("/v2/acme/once/")]

    wait_until(lambda: asked().count("PUT") == 4, "the access log")
    assert asked().count("POST") == 2  # config and layer are uploaded once; the other two PUTs are manifests


def test_oras_pushes_attaches_discovers_and_pulls(workers: Mirror, tmp_path: Path) -> None:
    require(oras.missing())
    (tmp_path / "notes.txt").write_text("notes\n")
    reference = f"{workers.host}/acme/artifact:1"
    pushed = oras.push(reference, "notes.txt:text/plain", artifact_type=NOTES, folder=tmp_path)
    assert oras.discover(reference) == []
    attached = {
        artifact_type: oras.attach(reference, "notes.txt:text/plain", artifact_type=artifact_type, folder=tmp_path)
        for artifact_type in (NOTES, REVIEW)
    }
    found = oras.discover(reference)
    assert {entry["digest"] for entry in found} == {entry["digest"] for entry in attached.values()}
    assert {entry["artifactType"] for entry in found} == {NOTES, REVIEW}
    (review,) = oras.discover(reference, artifact_type=REVIEW)
    assert review["digest"] == attached[REVIEW]["digest"]
    assert oras.discover(reference, artifact_type="application/vnd.acme.none") == []

    # oras finds the referrers API and therefore stores no list of referrers under a tag.
    assert fetch(workers, "/v2/acme/artifact/tags/list")["tags"] == ["1"]
    listed = fetch(workers, f"/v2/acme/artifact/referrers/{pushed['digest']}")["manifests"]
    assert {entry["digest"] for entry in listed} == {entry["digest"] for entry in found}

    pulled = oras.pull(reference, tmp_path / "pulled")
    assert [entry["mediaType"] for entry in pulled["files"]] == ["text/plain"]
    assert (tmp_path / "pulled/notes.txt").read_text() == "notes\n"
    with pytest.raises(CommandFailedError, match="not found"):
        oras.pull(f"{workers.host}/acme/artifact:none", tmp_path / "none")

    oras.oras("manifest", "delete", "--plain-http", "--force", f"{workers.host}/acme/artifact@{review['digest']}")
    assert [entry["digest"] for entry in oras.discover(reference)] == [attached[NOTES]["digest"]]


def test_oras_copies_artifacts_with_their_referrers_between_all_of_us(
    workers: Mirror, mirror: Mirror, registry: DockerRegistry, tmp_path: Path
) -> None:
    require(oras.missing())
    (tmp_path / "notes.txt").write_text("notes\n")
    first = f"{workers.host}/acme/copied:1"
    pushed = oras.push(first, "notes.txt:text/plain", artifact_type=NOTES, folder=tmp_path)
    attached = oras.attach(first, "notes.txt:text/plain", artifact_type=REVIEW, folder=tmp_path)
    deeper = oras.attach(
        f"{workers.host}/acme/copied@{attached['digest']}", "notes.txt:text/plain", artifact_type=NOTES, folder=tmp_path
    )
    source = first
    for host in (mirror.host, registry.host, workers.host):
        target = f"{host}/acme/travelled:1"
        assert pushed["digest"] in oras.copy(source, target, recursive=True).stdout
        assert [entry["digest"] for entry in oras.discover(target)] == [attached["digest"]]
        below = target.replace(":1", f"@{attached['digest']}")
        assert [entry["digest"] for entry in oras.discover(below)] == [deeper["digest"]]
        source = target


def test_a_list_that_oras_kept_under_the_fallback_tag_comes_along_from_a_registry_without_referrers(
    mirror: Mirror, registry: DockerRegistry, tmp_path: Path
) -> None:
    require(oras.missing(), skopeo.missing())
    (tmp_path / "notes.txt").write_text("notes\n")
    there = f"{registry.host}/acme/older"
    pushed = oras.push(f"{there}:1", "notes.txt:text/plain", artifact_type=NOTES, folder=tmp_path)
    attached = oras.attach(f"{there}:1", "notes.txt:text/plain", artifact_type=REVIEW, folder=tmp_path)
    fallback = pushed["digest"].replace(":", "-")
    here = f"{mirror.host}/acme/older"
    # Copy the index under the fallback tag with its members first, like a tool that mirrors plain tags.
    for tag in (fallback, "1"):
        skopeo.copy(f"docker://{there}:{tag}", f"docker://{here}:{tag}", *(["--all"] if tag == fallback else []))
    assert [entry["digest"] for entry in oras.discover(f"{here}:1")] == [attached["digest"]]


def test_oras_speaks_to_every_endpoint(workers: Mirror, tmp_path: Path) -> None:
    require(oras.missing())
    name = f"{workers.host}/acme/endpoints"
    content = b"x" * 100_000
    (tmp_path / "blob").write_bytes(content)
    oras.oras("blob", "push", "--plain-http", name, "blob", folder=tmp_path)
    blob = f"{name}@{digest_of(content)}"
    fetched = oras.oras("blob", "fetch", "--plain-http", "--output", "-", blob)
    assert fetched.stdout_bytes == content
    assert json.loads(oras.oras("blob", "fetch", "--plain-http", "--descriptor", blob).stdout)["size"] == len(content)

    index = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    (tmp_path / "index.json").write_bytes(index)
    oras.oras("manifest", "push", "--plain-http", f"{name}:a", "index.json", folder=tmp_path)
    assert oras.oras("manifest", "fetch", "--plain-http", f"{name}:a").stdout_bytes == index
    assert digest_of(index) in oras.oras("resolve", "--plain-http", f"{name}:a").stdout
    oras.oras("tag", "--plain-http", f"{name}:a", "b", "c")
    assert oras.oras("repo", "tags", "--plain-http", name).stdout.split() == ["a", "b", "c"]
    assert "acme/endpoints" in oras.oras("repo", "ls", "--plain-http", workers.host).stdout.split()
    oras.oras("blob", "delete", "--plain-http", "--force", blob)
    assert oras.oras("blob", "fetch", "--plain-http", "--descriptor", blob, check=False).exit_code != 0
    oras.oras("manifest", "delete", "--plain-http", "--force", f"{name}:a")
    assert oras.oras("resolve", "--plain-http", f"{name}:a", check=False).exit_code != 0


@pytest.mark.parametrize("referrers", [pytest.param(False, id="tags"), pytest.param(True, id="referrers")])
@pytest.mark.parametrize("what", ["plugin", "image"])
def test_cosign_signs_and_verifies(workers: Mirror, tmp_path: Path, what: str, referrers: bool) -> None:
    require(cosign.missing(), oras.missing(), skopeo.missing())
    repository = f"acme/signed-{what}-{'referrers' if referrers else 'tags'}"
    if what == "plugin":
        digest = push(pack(plugins.contiv_plugin(tmp_path / "contiv")), workers.url, repository, "1")
    else:
        image = pack_image({"etc/greeting": b"hello\n"}, OCI)
        skopeo.copy(write_image(image, tmp_path / "image"), f"docker://{workers.host}/{repository}:1")
        digest = image.manifest_digest
    reference = f"{workers.host}/{repository}@{digest}"
    keys = cosign.generate_key_pair(tmp_path)
    unsigned = cosign.verify(reference, keys, referrers=referrers, check=False)
    assert unsigned.exit_code != 0
    assert "no signatures found" in unsigned.stderr

    cosign.sign(reference, keys, referrers=referrers)
    (claim,) = json.loads(cosign.verify(reference, keys, referrers=referrers).stdout)
    assert claim["critical"]["image"] == {"docker-manifest-digest": digest}
    tags = set(fetch(workers, f"/v2/{repository}/tags/list")["tags"])
    tag = f"{digest.replace(':', '-')}.sig"
    found = oras.discover(reference)
    if referrers:
        assert tags == {"1"}
        (signature,) = found
        assert signature["artifactType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
    else:
        assert tags == {"1", tag}
        assert found == []
        assert tag in cosign.tree(reference).stdout
    (tmp_path / "other").mkdir()
    others = cosign.generate_key_pair(tmp_path / "other")
    assert cosign.verify(reference, others, referrers=referrers, check=False).exit_code != 0


@dialects
def test_an_engine_pulls_and_pushes_images(engine: Engine, workers: Mirror, tmp_path: Path, dialect: Dialect) -> None:
    require(skopeo.missing())
    image = pack_image({"etc/greeting": b"hello from an image\n"}, dialect)
    kind = "docker" if dialect is DOCKER else "oci"
    reference = f"{workers.host}/engine/{kind}:1"
    skopeo.copy(write_image(image, tmp_path / "image"), f"docker://{reference}")
    assert f"Digest: {image.manifest_digest}\n" in engine.docker("pull", reference).stdout
    container = engine.docker("create", "--network=none", reference, "/none").stdout.strip()
    engine.docker("cp", f"{container}:/etc/greeting", str(tmp_path / "greeting"))
    assert (tmp_path / "greeting").read_text() == "hello from an image\n"

    pushed = f"{workers.host}/engine/pushed-{kind}"
    (tmp_path / "payload").write_bytes(bytes(range(256)) * 20_000)
    engine.docker("cp", str(tmp_path / "payload"), f"{container}:/payload")
    engine.docker("commit", container, f"{pushed}:1")
    told = engine.docker("push", f"{pushed}:1").stdout
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", told)
    assert digest
    assert digest_of(raw(f"{pushed}:1")) == digest[1]
    assert len(json.loads(raw(f"{pushed}:1"))["layers"]) == 2

    engine.docker("rm", container)
    engine.docker("image", "rm", reference, f"{pushed}:1")
    again = engine.docker("pull", f"{pushed}@{digest[1]}").stdout
    assert f"Digest: {digest[1]}\n" in again
    # Push the same image under another name: its layers are mounted or already exist.
    engine.docker("tag", f"{pushed}@{digest[1]}", f"{pushed}-too:1")
    told = engine.docker("push", f"{pushed}-too:1").stdout
    assert "Mounted from" in told or "Layer already exists" in told
    assert digest[1] in told
    engine.docker("image", "rm", "--force", f"{pushed}-too:1")


def test_an_engine_picks_its_own_platform(engine: Engine, workers: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    write_multi_platform_layout(tmp_path / "layout")
    for architecture in ("amd64", "arm64"):
        # Each platform needs its own name. Engine 20.10 sometimes fails to store an index ("Error persisting
        # manifest"), continues, and then uses the image that the same name had before.
        reference = f"{workers.host}/engine/on-{architecture}:all"
        skopeo.copy(f"oci:{tmp_path / 'layout'}:all", f"docker://{reference}", "--all")
        engine.docker("pull", "--platform", f"linux/{architecture}", reference)
        container = engine.docker("create", "--platform", f"linux/{architecture}", reference, "/none").stdout.strip()
        engine.docker("cp", f"{container}:/etc/architecture", str(tmp_path / architecture))
        assert (tmp_path / architecture).read_text() == architecture
        engine.docker("rm", container)
        engine.docker("image", "rm", reference)


def test_an_image_that_is_not_there(engine: Engine, workers: Mirror, tmp_path: Path) -> None:
    require(skopeo.missing())
    layout = write_image(pack_image({"etc/greeting": b"hello\n"}, OCI), tmp_path / "image")
    skopeo.copy(layout, f"docker://{workers.host}/engine/some:1")
    for name, reason in (
        ("engine/none", "repository {} not found: name unknown: the registry has no repository engine/none"),
        ("engine/some", "manifest for {}:2 not found: manifest unknown: engine/some has no "),
    ):
        refused = engine.docker("pull", f"{workers.host}/{name}:2", check=False)
        assert refused.exit_code != 0
        assert reason.format(f"{workers.host}/{name}") in refused.stderr


class Curl:
    """Status and headers of a response, parsed from curl's output."""

    def __init__(self, done: CompletedRun) -> None:
        *informational, head, _ = done.stdout.split("\r\n\r\n")
        self.continued = any(" 100 " in each for each in informational)
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def curl(url: str, *options: str, input_text: str = "") -> Curl:
    argv = ["curl", "--silent", "--include", "--max-time", "20", "--noproxy", "*", *options, url]
    return Curl(run(argv, input_text=input_text))


@pytest.mark.parametrize(
    ("way", "version"),
    [
        ("stream", "--http1.1"),
        ("chunks", "--http1.1"),
        ("chunks", "--http1.0"),
        ("post", "--http1.1"),
        ("post", "--http1.0"),
    ],
)
def test_curl_uploads_what_it_reads_from_a_pipe(workers: Mirror, tmp_path: Path, way: str, version: str) -> None:
    text = "".join(f"line {number}\n" for number in range(200_000))
    digest = digest_of(text.encode())
    base = f"{workers.url}/v2/curl/{way}{version[-1]}/blobs"
    if way == "post":
        stored = curl(
            f"{base}/uploads/?digest={digest}", version, "--data-binary", "@-", "--request", "POST", input_text=text
        )
    else:
        location = curl(f"{base}/uploads/", version, "--request", "POST").headers["location"]
        if way == "stream":
            # With `--upload-file -` curl does not know the length, so the body is chunked after a 100 (Continue).
            asked = ("--request", "PATCH", "--upload-file", "-", "--header", "Expect: 100-continue")
            patched = curl(workers.url + location, version, *asked, input_text=text)
            assert patched.continued
            assert (patched.status, patched.headers["range"]) == (202, f"0-{len(text) - 1}")
        else:
            third = len(text) // 3
            for first in range(0, len(text), third):
                piece = text[first : first + third]
                asked = ("--request", "PATCH", "--data-binary", "@-", "--header")
                span = f"Content-Range: {first}-{first + len(piece) - 1}"
                patched = curl(workers.url + location, version, *asked, span, input_text=piece)
                assert (patched.status, patched.headers["range"]) == (202, f"0-{first + len(piece) - 1}")
                location = patched.headers["location"]
        stored = curl(f"{workers.url}{location}?digest={digest}", version, "--request", "PUT")
    assert (stored.status, stored.headers["docker-content-digest"]) == (201, digest)
    got = run(["curl", "--silent", "--noproxy", "*", version, workers.url + stored.headers["location"]])
    assert got.stdout == text
