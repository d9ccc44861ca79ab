"""Signatures of plugins: cosign signs and ours verifies, ours signs and cosign verifies, and rules ask for them."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import clock, cosign, plugins
from tests.harness.clock import SetClock
from tests.harness.command import CompletedRun, run
from tests.harness.cosign import KeyPair
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import PackedPlugin, pack
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

#: Ways in which cosign signs.
Sign = Callable[[str, KeyPair, Path], CompletedRun]
WAYS: dict[str, Sign] = {
    "tag": lambda reference, keys, login: cosign.sign(reference, keys, login=login),
    "referrer": lambda reference, keys, login: cosign.sign(reference, keys, referrers=True, login=login),
    "bundle": cosign.sign_with_bundle,
}
WORD = "a word that nobody guesses"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    require(cosign.missing())
    return cosign.generate_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    require(cosign.missing())
    return cosign.generate_key_pair(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    require(plugins.missing())
    return pack(plugins.volume_plugin(tmp_path_factory.mktemp("plugin")))


@pytest.fixture(scope="module")
def strict(keys: KeyPair) -> Iterator[Mirror]:
    """A mirror that serves what a key has signed."""
    rule = {"name": "store", "names": ["store/**"], "action": "allow", "signed": {"by": [str(keys.public)]}}
    with Mirror(workers=2, sections={"admission": {"default": "hold", "rules": [rule]}}) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def login(strict: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The login of a user who may push, in a folder of Docker's command line. Held plugins can be read with it."""
    strict.command("user", "add", "robot", "--password-stdin", input_text=f"{WORD}\n")
    folder = tmp_path_factory.mktemp("login")
    auth = base64.b64encode(f"robot:{WORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {strict.host: {"auth": auth}}}))
    return folder


def answer(mirror: Mirror, repository: str, reference: str, **headers: str) -> tuple[int, str]:
    """Return the status of a manifest request, and the body of a refusal."""
    url = f"{mirror.url}/v2/{repository}/manifests/{reference}"
    request = urllib.request.Request(url, headers={"Accept": "*/*", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status), ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def verified(mirror: Mirror, reference: str, *keys: Path, check: bool = True) -> dict[str, Any]:
    """Return what the command ``verify`` tells about content."""
    flags = [flag for key in keys for flag in ("--key", str(key))]
    told: dict[str, Any] = json.loads(mirror.command("verify", reference, *flags, "--json", check=check).stdout)
    return told


@pytest.mark.parametrize("way", WAYS)
def test_what_cosign_signs_is_served(
    strict: Mirror, keys: KeyPair, other: KeyPair, packed: PackedPlugin, login: Path, way: str
) -> None:
    repository = f"store/{way}"
    digest = push(packed, strict.url, repository, "1")
    reference = f"{strict.host}/{repository}@{digest}"
    status, why = answer(strict, repository, "1")
    assert status == 403
    assert "there is no signature" in why

    WAYS[way](reference, other, login)
    status, why = answer(strict, repository, "1")
    assert status == 403
    assert "was made by none of the known keys" in why

    WAYS[way](reference, keys, login)
    assert answer(strict, repository, "1") == (200, "")
    found = verified(strict, f"{repository}:1")
    assert [signer["key"] for signer in found["signers"]] == [str(keys.public)]
    assert {each["name"] for each in found["signatures"] if each["counts"]} == {f"{strict.host}/{repository}"}
    assert "signed by" in strict.command("inspect", f"{repository}:1").stdout.lower()


@pytest.mark.parametrize("way", WAYS)
def test_a_signature_of_other_content_or_of_another_repository_is_refused(
    strict: Mirror, keys: KeyPair, packed: PackedPlugin, login: Path, way: str
) -> None:
    here, there = f"store/{way}-copy", f"elsewhere/{way}"
    digest = push(packed, strict.url, there, "1")
    WAYS[way](f"{strict.host}/{there}@{digest}", keys, login)
    # Pushed by hand with its signatures, as `crane copy` does.
    assert push(packed, strict.url, here, "1") == digest
    _copy_signatures(strict, there, here, digest)
    status, why = answer(strict, here, "1")
    assert status == 403
    assert f"is for another repository: {strict.host}/{there}" in why
    # By the command of the site, the plugin keeps the name at its source.
    strict.command("tag", f"{there}:1", f"store/{way}-tagged:1")
    assert answer(strict, f"store/{way}-tagged", "1") == (200, "")


def test_a_key_on_ed25519(strict: Mirror, packed: PackedPlugin, login: Path, tmp_path: Path) -> None:
    # cosign 2.5 of Debian imports no other kinds of keys.
    run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", "key.pem"], folder=tmp_path)
    pair = cosign.import_key_pair(tmp_path / "key.pem", tmp_path)
    digest = push(packed, strict.url, "kinds/ed25519", "1")
    for sign in WAYS.values():
        sign(f"{strict.host}/kinds/ed25519@{digest}", pair, login)
    found = verified(strict, "kinds/ed25519:1", pair.public)
    assert [each["problem"] for each in found["signatures"]] == [None, None, None]


def test_cosign_verifies_what_we_sign(strict: Mirror, keys: KeyPair, packed: PackedPlugin, tmp_path: Path) -> None:
    digest = push(packed, strict.url, "site/driver", "1")
    run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "site"],
        folder=tmp_path,
    )
    run(["openssl", "pkey", "-in", "site", "-pubout", "-out", "site.pub"], folder=tmp_path)
    site = KeyPair(tmp_path / "site", tmp_path / "site.pub")
    reference = f"{strict.host}/site/driver@{digest}"
    assert cosign.verify(reference, site, referrers=True, check=False).exit_code != 0
    told = strict.command("sign", "site/driver:1", "--key", str(site.private)).stdout
    assert f"{strict.host}/site/driver@{digest} is signed by {site.private}" in told
    (claim,) = json.loads(cosign.verify(reference, site, referrers=True).stdout)
    assert claim["critical"]["image"] == {"docker-manifest-digest": digest}
    assert claim["critical"]["identity"] == {"docker-reference": f"{strict.host}/site/driver"}
    assert cosign.verify(reference, keys, referrers=True, check=False).exit_code != 0
    assert verified(strict, "site/driver:1", site.public)["verified"]
    wrong = strict.command("verify", "site/driver:1", "--key", str(keys.public), check=False)
    assert wrong.exit_code == 1
    assert "is signed by none of the keys" in wrong.stdout


@pytest.mark.parametrize("way", WAYS)
def test_signatures_come_with_rules_pull_through_and_bundles(
    keys: KeyPair, packed: PackedPlugin, login: Path, tmp_path: Path, way: str
) -> None:
    rule = {"name": "signed", "action": "allow", "signed": {"by": [str(keys.public)]}}
    admission = {"default": "hold", "rules": [rule]}
    with Mirror() as upstream:
        digest = push(packed, upstream.url, "acme/driver", "1")
        WAYS[way](f"{upstream.host}/acme/driver@{digest}", keys, login)
        unsigned = push(packed, upstream.url, "acme/unsigned", "1")
        sections = {
            "admission": admission,
            "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
            "proxy": [{"from": "hub/**", "to": "pulled/**"}],
            "mirrors": [{"name": "all", "from": "hub/acme/*", "to": "store/*"}],
        }
        with Mirror(sections=sections) as mirror:
            mirror.command("sync", "all")
            assert answer(mirror, "store/driver", "1") == (200, "")
            assert answer(mirror, "pulled/acme/driver", "1") == (200, "")
            for repository in ("store/unsigned", "pulled/acme/unsigned"):
                assert answer(mirror, repository, unsigned)[0] == 403
            bundle = str(tmp_path / "site.tar")
            mirror.command("bundle", "export", "-o", bundle, "--unsigned", "store/driver:1")
            upstream.stop()
            assert answer(mirror, "pulled/acme/driver", "1") == (200, "")
    with Mirror(sections={"admission": admission}) as offline:
        offline.command("bundle", "import", bundle, "--unsigned")
        assert answer(offline, "store/driver", "1") == (200, "")


@pytest.mark.parametrize("way", WAYS)
def test_a_signature_that_comes_to_an_upstream_later_counts_after_a_minute(
    keys: KeyPair, packed: PackedPlugin, login: Path, tmp_path: Path, way: str
) -> None:
    require(clock.missing())
    time = SetClock(tmp_path)
    rule = {"name": "signed", "action": "allow", "signed": {"by": [str(keys.public)]}}
    with Mirror() as upstream:
        digest = push(packed, upstream.url, "acme/driver", "1")
        sections = {
            "admission": {"default": "hold", "rules": [rule]},
            "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
            "proxy": [{"from": "hub/**", "to": "pulled/**"}],
        }
        with Mirror(sections=sections, wrapper=time.wrapper) as mirror:
            for _ in range(3):  # hosts that try again, so that the answer is in memory
                assert answer(mirror, "pulled/acme/driver", "1")[0] == 403
            WAYS[way](f"{upstream.host}/acme/driver@{digest}", keys, login)
            time.set("+61s")
            assert answer(mirror, "pulled/acme/driver", "1") == (200, "")


@pytest.mark.newest_engine
def test_an_engine_installs_what_is_signed(
    engine: Engine, strict: Mirror, keys: KeyPair, packed: PackedPlugin, login: Path
) -> None:
    repository = f"store/engine-{engine.version().partition('+')[0]}"  # signatures of another engine's run stay away
    digest = push(packed, strict.url, repository, "1")
    reference = f"{strict.host}/{repository}:1"
    install = ("plugin", "install", "--disable", "--grant-all-permissions", reference)
    assert engine.docker(*install, check=False).exit_code != 0
    cosign.sign(f"{strict.host}/{repository}@{digest}", keys, login=login)
    engine.docker(*install)
    engine.docker("plugin", "rm", reference)


def test_an_engine_with_the_login_of_a_pusher_gets_nothing_held(
    strict: Mirror, packed: PackedPlugin, login: Path
) -> None:
    push(packed, strict.url, "store/held", "1")
    auth = json.loads((login / "config.json").read_text())["auths"][strict.host]["auth"]
    as_pusher = {"Authorization": f"Basic {auth}"}
    assert answer(strict, "store/held", "1", **as_pusher) == (200, "")
    status, why = answer(strict, "store/held", "1", **as_pusher, **{"User-Agent": "docker/29.3.1 go/go1.25 os/linux"})
    assert status == 403
    assert "there is no signature" in why


def _copy_signatures(mirror: Mirror, source: str, repository: str, digest: str) -> None:
    """Copy the signatures of a manifest to another repository as a client does."""
    root = f"{mirror.url}/v2"

    def ask(method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        headers = {"Content-Type": kind} if kind else {"Accept": "*/*"}
        request = urllib.request.Request(f"{root}/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return bytes(response.read())

    listed = json.loads(ask("GET", f"{source}/referrers/{digest}"))["manifests"]
    tag = f"{digest.replace(':', '-')}.sig"
    places = {each["digest"]: each["digest"] for each in listed} or {tag: tag}
    for place in places:
        manifest = ask("GET", f"{source}/manifests/{place}")
        body = json.loads(manifest)
        for blob in (body["config"], *body["layers"]):
            ask("POST", f"{repository}/blobs/uploads/?mount={blob['digest']}&from={source}", b"")
        ask("PUT", f"{repository}/manifests/{place}", manifest, body["mediaType"])
