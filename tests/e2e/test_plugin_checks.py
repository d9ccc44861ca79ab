"""Plugins that real engines damage by mistake, and the responses of the mirror."""

from __future__ import annotations

import http.client
import io
import json
import random
import socket
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE, digest_of, pack, packed_from
from tests.harness.pushing import push
from tests.harness.requirement import require
from tests.support.layers import DRIVER, END, entry, read, tar, zipped

pytestmark = [pytest.mark.e2e, pytest.mark.long]


@pytest.fixture(scope="module")
def front(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The mirror behind TLS.

    Without TLS, an engine reports the TLS error of its first attempt instead of our message.
    """
    require(Nginx.missing())
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with Nginx.front(mirror.url, certificate=certificate) as nginx:
        yield nginx


def refusals(mirror: Mirror) -> list[dict[str, Any]]:
    """Return the log lines about refused plugins."""
    return [line for line in mirror.log if line["event"] == "plugin refused"]


def holds(mirror: Mirror, repository: str) -> bool:
    """Return True if the repository has a manifest."""
    listed = mirror.command("ls", repository, "--json", check=False)
    return listed.exit_code == 0 and json.loads(listed.stdout) != []


def findings(mirror: Mirror, reference: str) -> list[str]:
    """Return the codes of findings about the packing and the config.

    Hints are left out, since these plugins cannot be enabled. So is the finding about the name, since these plugins are
    copies of contiv's under other names.
    """
    shown = json.loads(mirror.command("inspect", reference, "--quick", "--json").stdout)
    return [
        finding["code"]
        for finding in shown["findings"]
        if finding["severity"] != "hint" and finding["code"] != "own-name"
    ]


def create(engine: Engine, reference: str, archive: bytes) -> tuple[int, str]:
    """Send the request of `docker plugin create` with any body. Return the status and body of the response."""
    connection = http.client.HTTPConnection("engine", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(engine.socket))
    try:
        connection.request("POST", f"/plugins/create?name={reference}", archive, {"Content-Type": "application/x-tar"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def archive_of(folder: Path) -> bytes:
    """Return the archive that the client makes of a plugin's folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


def test_a_plugin_that_an_engine_created_is_taken_with_a_warning(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    reference = f"{mirror.host}/checks/created:1"
    engine.docker("plugin", "create", reference, str(plugins.contiv_plugin(tmp_path / "contiv")))
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)
    assert findings(mirror, "checks/created:1") == ["diff-ids-compressed"]
    shown = mirror.command("inspect", "checks/created:1").stdout
    assert "  warning: diff_ids are the digests of the compressed layers\n" in shown
    assert "    engines up to 19.03: layers from manifest don't match image configuration\n" in shown


def test_nothing_is_wrong_with_a_packed_plugin(mirror: Mirror, tmp_path: Path) -> None:
    require(plugins.missing())
    push(pack(plugins.volume_plugin(tmp_path / "volumes")), mirror.url, "checks/packed", "1")
    assert findings(mirror, "checks/packed:1") == []
    assert "Findings" not in mirror.command("inspect", "checks/packed:1").stdout


def test_an_installed_plugin_that_has_lost_its_layer_is_refused(
    engine: Engine, mirror: Mirror, front: Nginx, tmp_path: Path
) -> None:
    push(pack(plugins.contiv_plugin(tmp_path / "contiv")), mirror.url, "checks/installed", "1")
    again = f"{front.host}/checks/again:1"
    other = f"{mirror.host}/checks/other:1"
    engine.docker("plugin", "create", other, str(plugins.contiv_plugin(tmp_path / "other", payload_size_bytes=10)))
    source = f"{mirror.host}/checks/installed:1"
    engine.docker("plugin", "install", "--disable", "--grant-all-permissions", "--alias", again, source)
    engine.docker("plugin", "rm", other)  # makes the engine delete the blobs that it believes to be unused

    before = len(refusals(mirror))
    refused = engine.docker("plugin", "push", again, check=False)
    engine.docker("plugin", "rm", again)
    assert refused.exit_code != 0
    assert "400 Bad Request" in refused.stdout + refused.stderr
    told = refusals(mirror)[before:]
    assert {line["name"] for line in told} == {"checks/again"}
    assert "push the plugin from the host that created it" in told[-1]["reason"]
    assert not holds(mirror, "checks/again")


def test_a_layer_that_begins_with_what_a_failed_create_left_is_refused(
    engine: Engine, mirror: Mirror, front: Nginx, tmp_path: Path
) -> None:
    reference = f"{front.host}/checks/twice:1"
    archive = archive_of(plugins.contiv_plugin(tmp_path / "contiv", payload_size_bytes=3_000_000))
    status, text = create(engine, reference, archive[: len(archive) // 2])
    assert (status, "unexpected EOF" in text) == (500, True)
    assert create(engine, reference, archive) == (204, "")

    before = len(refusals(mirror))
    refused = engine.docker("plugin", "push", reference, check=False)
    engine.docker("plugin", "rm", reference)
    assert refused.exit_code != 0
    assert "400 Bad Request" in refused.stdout + refused.stderr
    told = refusals(mirror)[before:]
    assert {line["name"] for line in told} == {"checks/twice"}
    assert "plugins/storage/ingest" in told[-1]["reason"]
    assert not holds(mirror, "checks/twice")


def test_what_is_refused_is_told_to_clients_that_show_it(mirror: Mirror, tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv"))
    without_layers = json.dumps(json.loads(packed.manifest) | {"layers": None}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        push(packed, mirror.url, "checks/null", "1", manifest=without_layers)
    with refused.value as answer:
        assert answer.code == 400
        (error,) = json.loads(answer.read())["errors"]
    assert error["code"] == "MANIFEST_INVALID"
    assert "the plugin has no layers" in error["message"]
    assert not holds(mirror, "checks/null")


@pytest.mark.parametrize(("mode", "expected"), [("warn", ["layers-missing"]), ("off", ["layers-missing"])])
def test_what_is_not_refused_is_shown(mode: str, expected: list[str], tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv"))
    without_layers = json.dumps(json.loads(packed.manifest) | {"layers": None}).encode()
    with Mirror(sections={"server": {"plugin_checks": mode}}) as mirror:
        assert push(packed, mirror.url, "checks/null", "1", manifest=without_layers) == digest_of(without_layers)
        assert findings(mirror, "checks/null:1") == expected
        request = urllib.request.Request(f"{mirror.url}/v2/checks/null/manifests/1", without_layers, method="PUT")
        request.add_header("Content-Type", MANIFEST_TYPE)
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert bool(answer.headers["Warning"]) is (mode == "warn")


def test_a_mirror_rule_brings_no_faulty_plugin(registry: DockerRegistry, tmp_path: Path) -> None:
    packed = pack(plugins.contiv_plugin(tmp_path / "contiv"))
    without_layers = json.dumps(json.loads(packed.manifest) | {"layers": None}).encode()
    push(packed, registry.url, "faulty/plugin", "1")
    push(packed, registry.url, "faulty/plugin", "2", manifest=without_layers)
    sections = {
        "upstreams": {"hub": {"url": registry.url, "plain_http": True}},
        "mirrors": [{"name": "faulty", "from": "hub/faulty/plugin", "to": "checks/synced"}],
    }
    with Mirror(sections=sections) as mirror:
        done = mirror.command("sync", "--json", check=False)
        results = {tag["tag"]: tag for tag in json.loads(done.stdout)["rules"][0]["tags"]}
        assert (done.exit_code, results["1"]["outcome"], results["2"]["outcome"]) == (1, "copied", "failed")
        assert "the plugin has no layers" in results["2"]["error"]
        held = json.loads(mirror.command("ls", "checks/synced", "--json").stdout)
        assert [row["tag"] for row in held] == ["1"]
        assert findings(mirror, "checks/synced:1") == []


def test_an_engine_unpacks_what_is_found_to_be_whole_and_nothing_else(engine: Engine) -> None:
    noise = zipped(tar(entry("noise", random.Random(1).randbytes(300_000))))
    half = len(DRIVER) // 2
    whole = {
        "streams": zipped(DRIVER[:half]) + zipped(DRIVER[half:] + END),
        "plain": tar(DRIVER),
        "no-end": zipped(DRIVER),
        "half-an-end": zipped(DRIVER + END[:512]),
        "no-padding": zipped(DRIVER[:-300]),
        "global": zipped(tar(entry("g", b"13 comment=a\n", kind=b"g"), DRIVER)),
        "nothing-extended": zipped(tar(entry("x", kind=b"x"), DRIVER)),
    }
    broken = {
        "left-over": noise[:100_000] + noise,
        "truncated": zipped(DRIVER[:600]),
        "records": zipped(tar(entry("x", b"4 a=\n", kind=b"x"), DRIVER)),
        "extended": zipped(tar(entry("x", bytes(1_500_000), kind=b"x"), DRIVER)),
        "zeros": zipped(DRIVER + END[:512] + tar(DRIVER)),
        "sparse": zipped(tar(entry("s", b"x", kind=b"S"), DRIVER)),
        "unknown": zipped(tar(entry("z", b"x", kind=b"Z"), DRIVER)),
    }
    with Mirror(sections={"server": {"plugin_checks": "off"}}) as lenient:
        for name, layer in (whole | broken).items():
            push(packed_from(b"{}", layer), lenient.url, f"layers/{name}", "1")
            source = f"{lenient.host}/layers/{name}:1"
            installed = engine.docker("plugin", "install", "--disable", source, check=False)
            assert (name, installed.exit_code == 0, read(layer).problem is None) == (name, name in whole, name in whole)
            if installed.exit_code == 0:
                rootfs = engine.folder / "data/plugins" / engine.inspect_plugin(source)["Id"] / "rootfs"
                assert (rootfs / "bin/driver").stat().st_size == 704
                engine.docker("plugin", "rm", source)
