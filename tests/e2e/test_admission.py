"""Installation of held and denied plugins with real engines."""

from __future__ import annotations

import hashlib
import json
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
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, digest_of, pack
from tests.harness.pushing import push, push_blob, send
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine]

WORD = "a word that nobody guesses"
RULES = [
    {"name": "no-modules", "action": "deny", "privileges": ["capabilities=CAP_SYS_MODULE"]},
    {"name": "other-platform", "action": "deny", "platforms": ["linux/s390x", "unknown"]},
    {"name": "host-network", "action": "hold", "privileges": ["network=host"]},
]


@pytest.fixture(scope="module")
def strict(registry: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A mirror with a policy, two workers, and an upstream for pull-through."""
    token = tmp_path_factory.mktemp("token") / "word"
    token.write_text(WORD + "\n")
    sections = {
        "admission": {"rules": RULES, "token_file": str(token)},
        "upstreams": {"hub": {"url": registry.url, "plain_http": True}},
        "proxy": [{"from": "hub/upstream/*", "to": "pulled/*"}],
        "mirrors": [{"name": "all", "from": "hub/upstream/*", "to": "mirrored/*"}],
    }
    with Mirror(workers=2, sections=sections) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def front(strict: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The mirror behind TLS.

    Without TLS, an engine reports the TLS error of its first attempt instead of our message.
    """
    require(Nginx.missing())
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with Nginx.front(strict.url, certificate=certificate) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def lax() -> Iterator[Mirror]:
    """A mirror without a policy."""
    with Mirror(workers=2) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def lax_front(lax: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The mirror without a policy, behind TLS."""
    require(Nginx.missing())
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with Nginx.front(lax.url, certificate=certificate) as nginx:
        yield nginx


def packed(folder: Path, version: str, **asked: Any) -> PackedPlugin:
    return pack(plugins.volume_plugin(folder / version, version=version, **asked))


def install(engine: Engine, reference: str) -> str:
    """Install a plugin and remove it again.

    Returns:
        The engine's error, or an empty text if the installation succeeds.
    """
    done = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference, check=False)
    if done.exit_code == 0:
        engine.docker("plugin", "rm", reference)
        return ""
    return done.stdout + done.stderr


def test_a_held_plugin_is_installed_once_it_is_approved(
    engine: Engine, strict: Mirror, front: Nginx, tmp_path: Path
) -> None:
    version = engine.version()[:2]  # the mirror is shared, so each engine gets its own plugin
    reference = f"{front.host}/held/driver:{version}"
    engine.docker(
        "plugin", "create", reference, str(plugins.volume_plugin(tmp_path / "p", version=version, network="host"))
    )
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)

    told = install(engine, reference)
    assert "held/driver is held by the rule 'host-network': it asks for network: host" in told
    assert "plugin-mirror admission approve held/driver@sha256:" in told

    (held,) = [one for one in listed(strict) if one["name"] == "held/driver"]
    assert (held["tags"], held["rule"]) == ([version], "host-network")
    strict.command("admission", "approve", f"held/driver@{held['digest']}", "--by", "alice", "--note", "ticket 1")
    assert install(engine, reference) == ""
    shown = strict.command("inspect", "--quick", f"held/driver:{version}").stdout
    assert f"held/driver@{held['digest']} was approved by alice on " in shown

    rejected = ask(strict, "reject", f"held/driver:{version}", WORD, by="bob", note="no more")
    assert [(one["state"], one["decided_by"]) for one in rejected["admissions"]] == [("rejected", "bob")]
    assert "was rejected by bob" in install(engine, reference)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(strict, "approve", f"held/driver@{held['digest']}", WORD, by="alice")
    assert status_of(refused.value) == 403
    ask(strict, "approve", f"held/driver:{version}", WORD, by="alice", digest=held["digest"], overrule=True)
    assert install(engine, reference) == ""


def test_a_push_that_is_denied_leaves_nothing_and_the_log_says_why(
    engine: Engine, strict: Mirror, front: Nginx, tmp_path: Path
) -> None:
    reference = f"{front.host}/denied/driver:1"
    folder = plugins.volume_plugin(tmp_path / "p", capabilities=["CAP_SYS_MODULE"])
    engine.docker("plugin", "create", reference, str(folder))
    before = len(judged(strict))
    refused = engine.docker("plugin", "push", reference, check=False)
    engine.docker("plugin", "rm", reference)
    assert refused.exit_code != 0
    assert "403 Forbidden" in refused.stdout + refused.stderr
    told = judged(strict)[before:]
    assert {(line["name"], line["rule"], line["reason"]) for line in told} == {
        ("denied/driver", "no-modules", "it asks for capabilities: CAP_SYS_MODULE")
    }
    assert strict.command("ls", "denied/driver", "--json", check=False).stdout in {"", "[]\n"}


def test_what_is_pulled_through_is_held_as_well(
    engine: Engine, strict: Mirror, front: Nginx, registry: DockerRegistry, tmp_path: Path
) -> None:
    version = engine.version()[:2]
    digest = push(packed(tmp_path, f"p{version}", network="host"), registry.url, "upstream/driver", f"p{version}")
    reference = f"{front.host}/pulled/driver:p{version}"
    assert "pulled/driver is held by the rule 'host-network'" in install(engine, reference)
    strict.command("admission", "approve", f"pulled/driver@{digest}")
    assert install(engine, reference) == ""


def test_a_mirror_rule_brings_what_is_held_and_nothing_that_is_denied(
    strict: Mirror, registry: DockerRegistry, tmp_path: Path
) -> None:
    push(packed(tmp_path, "held", network="host"), registry.url, "upstream/synced", "held")
    push(packed(tmp_path, "denied", capabilities=["CAP_SYS_MODULE"]), registry.url, "upstream/synced", "denied")
    done = strict.command("sync", "--json", check=False)
    results = {
        tag["tag"]: tag for tag in json.loads(done.stdout)["rules"][0]["tags"] if tag["tag"] in {"held", "denied"}
    }
    assert (results["held"]["outcome"], results["denied"]["outcome"]) == ("copied", "failed")
    assert "mirrored/synced is denied by the rule 'no-modules'" in results["denied"]["error"]
    assert [one["tags"] for one in listed(strict) if one["name"] == "mirrored/synced"] == [["held"]]


def test_what_no_host_could_run_is_denied(strict: Mirror, tmp_path: Path) -> None:
    folder = plugins.volume_plugin(tmp_path / "script")
    (folder / "rootfs/volume-driver").write_text("#!/bin/sh\n")
    with pytest.raises(urllib.error.HTTPError) as refused:
        push(pack(folder), strict.url, "unknown/driver", "1")
    with refused.value as answer:
        assert answer.code == 403
        (error,) = json.loads(answer.read())["errors"]
    assert error["code"] == "DENIED"
    assert "by the rule 'other-platform': it does not say what it runs on" in error["message"]


def test_a_rejection_holds_without_any_rules_under_every_name_and_digest(
    engine: Engine, lax: Mirror, lax_front: Nginx, tmp_path: Path
) -> None:
    version = engine.version()[:2]  # the mirror is shared, so each engine gets its own plugin
    plugin = packed(tmp_path, f"rejected{version}")
    digest = push(plugin, lax.url, "rejected/driver", version)
    push(plugin, lax.url, "other/driver", version)
    spaced = push(plugin, lax.url, "other/driver", f"spaced{version}", manifest=plugin.manifest + b" ")
    put(lax, "other/driver", sha512_of(plugin.manifest), plugin.manifest, f"long{version}")
    names = [f"rejected/driver:{version}", *(f"other/driver:{tag}{version}" for tag in ("", "spaced"))]
    for name in names:
        assert install(engine, f"{lax_front.host}/{name}") == ""
    blobs = [f"other/driver/blobs/{blob}" for blob in (digest_of(plugin.config), digest_of(plugin.layer))]
    assert [status(lax, "GET", blob) for blob in blobs] == [200, 200]

    lax.command("admission", "reject", f"rejected/driver:{version}", "--by", "bob", "--note", "wants too much")
    for name in [*names, f"other/driver:long{version}"]:
        told = install(engine, f"{lax_front.host}/{name}")
        assert f"rejected/driver@{digest}" in told
        assert "rejected by bob" in told
    assert [status(lax, "GET", blob) for blob in blobs] == [403, 403]
    assert [status(lax, "HEAD", blob) for blob in blobs] == [200, 200]
    for target, content in ((sha512_of(plugin.manifest), plugin.manifest), ("again", plugin.manifest + b"\n")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            put(lax, "third/driver", target, content, blobs=plugin)
        assert status_of(refused.value) == 403
    done = lax.command("tag", f"other/driver:{version}", f"third/driver:{version}", check=False)
    assert (done.exit_code, "rejected by bob" in done.stderr) == (1, True)

    refused_here = lax.command("admission", "approve", f"other/driver@{spaced}", check=False)
    assert (refused_here.exit_code, "--overrule" in refused_here.stderr) == (1, True)
    lax.command("admission", "approve", f"other/driver@{spaced}", "--overrule")
    for name in names:
        assert install(engine, f"{lax_front.host}/{name}") == ""
    assert [status(lax, "GET", blob) for blob in blobs] == [200, 200]


def test_a_plugin_is_not_installed_before_its_layer_has_come(
    engine: Engine, lax: Mirror, lax_front: Nginx, tmp_path: Path
) -> None:
    version = engine.version()[:2]
    plugin = packed(tmp_path, f"late{version}")
    name = f"late{version}/driver"
    body = json.loads(plugin.manifest)
    body["layers"][0]["urls"] = ["x:"]
    push_blob(f"{lax.url}/v2/{name}", plugin.config)
    put(lax, name, "1", json.dumps(body).encode())
    told = install(engine, f"{lax_front.host}/{name}:1")
    assert f"{name} is denied by the rule 'unreadable': it cannot be judged: layer 1 is not here" in told
    assert [one["rule"] for one in listed(lax, "denied") if one["name"] == name] == ["unreadable"]
    push_blob(f"{lax.url}/v2/{name}", plugin.layer)
    assert [one for one in listed(lax, "denied") if one["name"] == name] == []
    assert install(engine, f"{lax_front.host}/{name}:1") == ""


def test_a_layer_that_comes_late_is_looked_at(engine: Engine, lax: Mirror, lax_front: Nginx, tmp_path: Path) -> None:
    version = engine.version()[:2]
    plugin = packed(tmp_path, f"bad{version}")
    name, layer = f"bad{version}/driver", plugin.layer[:-12]
    body = json.loads(plugin.manifest)
    body["layers"][0] |= {"urls": ["x:"], "digest": digest_of(layer), "size": len(layer)}
    push_blob(f"{lax.url}/v2/{name}", plugin.config)
    put(lax, name, "1", json.dumps(body).encode())
    push_blob(f"{lax.url}/v2/{name}", layer)
    told = install(engine, f"{lax_front.host}/{name}:1")
    assert "it cannot be judged: layer 1 ends in the middle of its gzip stream" in told


def listed(mirror: Mirror, state: str = "held") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(mirror.command("admission", "ls", "--json", "--state", state).stdout)
    return found


def sha512_of(content: bytes) -> str:
    return f"sha512:{hashlib.sha512(content).hexdigest()}"


def put(
    mirror: Mirror,
    repository: str,
    target: str,
    content: bytes,
    tag: str | None = None,
    *,
    blobs: PackedPlugin | None = None,
) -> None:
    """Push a manifest, and before it the blobs of a plugin if given."""
    for blob in () if blobs is None else (blobs.config, blobs.layer):
        push_blob(f"{mirror.url}/v2/{repository}", blob)
    query = "" if tag is None else f"?tag={tag}"
    send("PUT", f"{mirror.url}/v2/{repository}/manifests/{target}{query}", content, MANIFEST_TYPE)


def status(mirror: Mirror, method: str, path: str) -> int:
    try:
        send(method, f"{mirror.url}/v2/{path}")
    except urllib.error.HTTPError as error:
        return status_of(error)
    return 200


def judged(mirror: Mirror) -> list[dict[str, Any]]:
    """Return the log lines about decisions."""
    return [line for line in mirror.log if line["event"] == "plugin judged"]


def status_of(refused: urllib.error.HTTPError) -> int:
    with refused as answer:
        return answer.code


def ask(mirror: Mirror, what: str, reference: str, word: str, **sent: str | bool) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{mirror.url}/api/v1/admission/{what}", json.dumps({"reference": reference, **sent}).encode(), method="POST"
    )
    request.add_header("Authorization", f"Bearer {word}")
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found
