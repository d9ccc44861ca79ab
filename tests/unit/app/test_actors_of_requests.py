"""Who a change is recorded for, and what allowed it: requests of several callers on the same connections."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mirror.access.caller_names import CLIENT_PREFIX
from mirror.records.changes.actor import Actor, ActorKind
from mirror.records.changes.change import ChangeKind
from mirror.store.registry import Store
from tests.support.certificate_site import basic, certificate_site
from tests.support.served import Connection
from tests.support.token_issuer import ISSUER, SERVICE, TokenIssuer, access

CONFIG = b"{}"
CONFIG_DIGEST = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
HOSTS = {"users": ["cert:CN=host-*"], "repositories": ["acme/*"], "actions": ["push"]}
ANNA = {"users": ["anna"], "repositories": ["acme/*"], "actions": ["push", "approve"]}
AT = "127.0.0.1"


async def push(connection: Connection, tag: str, *headers: tuple[str, str]) -> None:
    """Push an image without layers under a tag."""
    upload = f"/v2/acme/driver/blobs/uploads/?digest={CONFIG_DIGEST}"
    await connection.send("POST", upload, [*headers, ("Content-Type", "application/octet-stream")], CONFIG)
    assert (await connection.receive()).status == 201
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": CONFIG_DIGEST, "size": len(CONFIG)}
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}).encode()
    target = f"/v2/acme/driver/manifests/{tag}"
    await connection.send("PUT", target, [*headers, ("Content-Type", MANIFEST_TYPE)], body)
    assert (await connection.receive()).status == 201


async def delete(connection: Connection, tag: str, *headers: tuple[str, str]) -> None:
    await connection.send("DELETE", f"/v2/acme/driver/manifests/{tag}", headers)
    assert (await connection.receive()).status == 202


async def actors(folder: Path) -> list[tuple[ChangeKind, Actor]]:
    """Return the changes of tags, with their actors."""
    async with Store.open(folder / "data") as store:
        found = await store.records.changes.read(0, 100)
    return [(one.change.kind, one.actor) for one in found if one.change.kind.value.startswith("tag.")]


async def test_each_request_of_a_connection_is_that_of_its_own_caller(tmp_path: Path) -> None:
    async with certificate_site(tmp_path, [HOSTS, ANNA], ["anna"], {"anonymous": ["delete"]}) as site:
        token = await site.token(None, "repository:acme/driver:push", headers=[basic("anna")])
        async with site.connect(site.ca.issue("host-12")) as connection:
            await push(connection, "1", basic("anna"))
            await push(connection, "2")
            await push(connection, "3", token)
        async with site.connect() as connection:
            await push(connection, "4", basic("anna", site.secrets["anna"]))
            await delete(connection, "4")
    found = await actors(tmp_path)
    proof, of_secret = found[0][1].proof, found[3][1].proof
    assert proof.startswith("password:")
    assert of_secret.startswith("token:")
    # On the connection of a host, anna has the rights of both, and the first rule that allows the push is the host's.
    by_password = Actor(ActorKind.USER, "anna", proof, AT, "access: rule 1")
    assert found == [
        (ChangeKind.TAG_CREATED, by_password),
        (ChangeKind.TAG_CREATED, Actor(ActorKind.CERTIFICATE, f"{CLIENT_PREFIX}CN=host-12", "", AT, "access: rule 1")),
        (ChangeKind.TAG_CREATED, by_password),
        (ChangeKind.TAG_CREATED, Actor(ActorKind.USER, "anna", of_secret, AT, "access: rule 2")),
        (ChangeKind.TAG_DELETED, Actor(ActorKind.ANONYMOUS, "", "", AT, "server.anonymous")),
    ]


async def test_tokens_of_an_issuer_allow_and_are_named(tmp_path: Path) -> None:
    issuing = TokenIssuer()
    (tmp_path / "keys.json").write_bytes(issuing.key_set)
    keys = str(tmp_path / "keys.json")
    issuer = {"realm": "https://auth.example/token", "service": SERVICE, "issuer": ISSUER, "jwks": keys}
    async with certificate_site(tmp_path, [], (), {"token_issuer": issuer}) as site, site.connect() as connection:
        for number, identifier in enumerate(("01J-8", "two\nlines", 7)):
            token = issuing.token(access("acme/driver", "push"), jti=identifier)
            await push(connection, str(number), ("Authorization", f"Bearer {token}"))
    found = [actor for _, actor in await actors(tmp_path)]
    assert [actor.proof for actor in found] == ["issued:01J-8", "issued:", "issued:"]
    assert {(actor.kind, actor.allowed_by) for actor in found} == {(ActorKind.USER, "server.token_issuer")}
