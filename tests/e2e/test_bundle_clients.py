"""Bundles through other programs: tar and sha256sum, oras and skopeo; and a server that serves a bundle to them."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import oras, skopeo
from tests.harness.command import CommandFailedError, run
from tests.harness.image import OCI, PackedImage, pack_image, write_oci_layout
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.packing import PackedPlugin, pack
from tests.harness.plugins import contiv_plugin
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PLUGIN, IMAGE = "contiv/v2plugin:1.0", "acme/image:1"


@dataclass(frozen=True)
class Carried:
    """A bundle with a plugin, its signature and an image.

    Attributes:
        file: The bundle.
        key: Public key of its signature.
        plugin: The plugin under `PLUGIN`.
        image: The image under `IMAGE`.
        signature: Digest of the artifact that refers to the plugin.
    """

    file: Path
    key: Path
    plugin: PackedPlugin
    image: PackedImage
    signature: str


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Carried:
    require(skopeo.missing())
    require(oras.missing())
    folder = tmp_path_factory.mktemp("bundle")
    plugin = pack(contiv_plugin(folder / "plugin"))
    image = pack_image({"etc/greeting": b"hello\n"}, OCI)
    (folder / "signature").write_text("a signature")
    with Mirror() as mirror:
        push(plugin, mirror.url, *PLUGIN.split(":"))
        skopeo.copy(write_oci_layout(image, folder / "image", "1"), f"docker://{mirror.host}/{IMAGE}")
        attached = oras.attach(
            f"{mirror.host}/{PLUGIN}", "signature:text/plain", artifact_type="application/vnd.acme", folder=folder
        )
        plugin_mirror("bundle", "keygen", str(folder / "site"))
        file = folder / "F.tar"
        mirror.command("bundle", "export", "--all", "-o", str(file), "--key", str(folder / "site"))
    return Carried(file, folder / "site.pub", plugin, image, str(attached["digest"]))


def test_tar_and_sha256sum_read_a_bundle(carried: Carried, tmp_path: Path) -> None:
    listed = run(["tar", "-tf", str(carried.file)])
    assert listed.stderr == ""
    names = listed.stdout.splitlines()
    assert names[:4] == ["oci-layout", "index.json", "plugin-mirror/statement.json", "plugin-mirror/report.json"]
    run(["tar", "-xf", str(carried.file), "-C", str(tmp_path)])
    blobs = tmp_path / "blobs/sha256"
    sums = "".join(f"{blob.name}  {blob.name}\n" for blob in sorted(blobs.iterdir()))
    assert run(["sha256sum", "-c", "--quiet", "--strict"], input_text=sums, folder=blobs).stdout == ""
    assert len(sums.splitlines()) == len(names) - 4 >= 8
    assert (blobs / carried.plugin.manifest_digest.removeprefix("sha256:")).read_bytes() == carried.plugin.manifest


def test_oras_reads_names_manifests_and_blobs_from_the_file(carried: Carried) -> None:
    names = oras.oras("repo", "tags", "--oci-layout", str(carried.file)).stdout.splitlines()
    assert sorted(names) == [IMAGE, PLUGIN, f"{PLUGIN.partition(':')[0]}@{carried.signature}"]
    plugin = carried.plugin
    fetched = oras.oras("manifest", "fetch", "--oci-layout", f"{carried.file}@{plugin.manifest_digest}")
    assert fetched.stdout_bytes == plugin.manifest
    layer = f"{carried.file}@{plugin.layer_digest}"
    assert oras.oras("blob", "fetch", "--oci-layout", "--output", "-", layer).stdout_bytes == plugin.layer


def test_other_programs_bring_the_content_of_the_file_to_a_registry(carried: Carried) -> None:
    with Mirror() as mirror:
        from_file = f"{carried.file}@{carried.plugin.manifest_digest}"
        oras.oras("copy", "--from-oci-layout", "--to-plain-http", "--recursive", from_file, f"{mirror.host}/{PLUGIN}")
        skopeo.copy(f"oci-archive:{carried.file}:{IMAGE}", f"docker://{mirror.host}/{IMAGE}")
        for name, manifest in ((PLUGIN, carried.plugin.manifest), (IMAGE, carried.image.manifest)):
            assert skopeo.inspect(f"docker://{mirror.host}/{name}", raw=True).stdout_bytes == manifest
        (referrer,) = oras.discover(f"{mirror.host}/{PLUGIN}")
        assert referrer["digest"] == carried.signature


def test_two_workers_serve_a_bundle_without_a_data_folder(carried: Carried, tmp_path: Path) -> None:
    with Mirror(workers=2, arguments=["--bundle", str(carried.file), "--key", str(carried.key)]) as mirror:
        assert not mirror.data.exists()
        image = f"docker://{mirror.host}/{IMAGE}"
        skopeo.copy(image, f"dir:{tmp_path / 'image'}")
        assert (tmp_path / "image/manifest.json").read_bytes() == carried.image.manifest
        (referrer,) = oras.discover(f"{mirror.host}/{PLUGIN}")
        assert referrer["digest"] == carried.signature
        with pytest.raises(CommandFailedError, match="read-only"):
            skopeo.copy(f"dir:{tmp_path / 'image'}", f"docker://{mirror.host}/acme/image:2")
        (stream,) = json.loads(
            run(["curl", "--silent", "--noproxy", "*", "--fail", f"{mirror.url}/api/v1/bundles"]).stdout
        )["bundles"]
        assert (stream["serial"], stream["signed"]) == (1, True)
    assert not mirror.data.exists()


def test_a_bundle_that_nobody_trusted_has_signed_is_not_served(carried: Carried, tmp_path: Path) -> None:
    arguments = ["serve", "--bundle", str(carried.file), "--listen", "127.0.0.1:0", "--data", str(tmp_path / "none")]
    refused = plugin_mirror(*arguments, check=False)
    assert refused.exit_code == 1
    assert "fix: name the public key of the sender with --key F.pub" in refused.stderr
    alone = plugin_mirror("serve", "--key", str(carried.key), check=False)
    assert (alone.exit_code, alone.stderr) == (
        2,
        "error: --key is about a bundle; fix: name the bundle with --bundle FILE\n",
    )
