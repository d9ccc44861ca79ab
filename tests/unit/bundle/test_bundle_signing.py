"""Signatures that are added to a bundle after it was made."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.envelope import MOST_SIGNATURES
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.parts.splitting import split_bundle
from mirror.bundle.trust.bundle_signing import sign_bundle, sign_key_set
from mirror.bundle.trust.key_set import KeySet
from mirror.bundle.trust.key_set_files import load_key_set, write_key_set
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey
from mirror.bundle.verification import verify_bytes
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.bundles import KEY, build_bundle, small_plugin

MANIFEST, BLOBS = small_plugin()


async def signers(path: Path) -> list[str]:
    return [signature.key_id for signature in (await read_head(await open_source(path))).envelope.signatures]


async def test_a_signature_is_added_in_place(tmp_path: Path):
    path, key = tmp_path / "site.tar", SigningKey.new()
    built = build_bundle(path, {"a/b:1": MANIFEST}, BLOBS)
    first = VerifyingKey(KEY.public_key().public_bytes_raw()).key_id
    for _ in range(2):
        head, envelope = await sign_bundle(path, [], key)
        assert head.statement == built.statement
        assert key.public.verifies(envelope.signatures[1].value, envelope.signed_bytes)
        assert await signers(path) == [first, key.public.key_id]
    # Of the file, nothing but signatures has changed.
    (place,) = (placed for placed in built.layout.documents() if placed.member.path.endswith("statement.json"))
    now, changed_from = path.read_bytes(), built.content.index(b'"signatures"')
    assert now[:changed_from] == built.content[:changed_from]
    assert (
        now[place.content_bytes + place.member.size_bytes :]
        == built.content[place.content_bytes + place.member.size_bytes :]
    )


async def test_an_unsigned_bundle_is_signed_in_parts(tmp_path: Path):
    path, key = tmp_path / "site.tar", SigningKey.new()
    build_bundle(path, {"a/b:1": MANIFEST}, BLOBS, keys=[])
    await split_bundle(await open_source(path), "site.tar", tmp_path, 1024, SilentProgress())
    path.unlink()
    await sign_bundle(tmp_path / "site.tar.parts.json", [], key)
    assert await signers(tmp_path / "site.tar.parts.json") == [key.public.key_id]
    source = await open_source(tmp_path / "site.tar.parts.json")
    assert isinstance(source, PartsSource)
    await verify_bytes(await read_head(source), source, SilentProgress())
    digests = [await source.digest_of_part(number) for number, _ in enumerate(source.table.parts, start=1)]
    assert digests == [part.digest for part in source.table.parts]


async def test_a_bundle_has_room_for_sixteen_signatures(tmp_path: Path):
    path = tmp_path / "site.tar"
    size_bytes = len(build_bundle(path, {"a/b:1": MANIFEST}, BLOBS, keys=[]).content)
    keys = iter(SigningKey.new() for _ in range(MOST_SIGNATURES))
    for key in islice(keys, 16):
        await sign_bundle(path, [], key)

    async def sign_on() -> None:
        for key in keys:
            await sign_bundle(path, [], key)

    with pytest.raises(BundleInvalid, match="do not fit"):
        await sign_on()
    assert path.stat().st_size == size_bytes
    assert len(await signers(path)) >= 16


async def test_of_people_who_sign_at_once_none_is_lost(tmp_path: Path):
    path, keys = tmp_path / "site.tar", [SigningKey.new() for _ in range(4)]
    build_bundle(path, {"a/b:1": MANIFEST}, BLOBS, keys=[])
    await asyncio.gather(*(sign_bundle(path, [], key) for key in keys))
    assert sorted(await signers(path)) == sorted(key.public.key_id for key in keys)
    set_file = tmp_path / "keys.json"
    await write_key_set(set_file, KeySet.of_keys([key.public for key in keys], 4), [])
    await asyncio.gather(*(sign_key_set(set_file, key) for key in keys))
    (await load_key_set(set_file)).require_own_signatures()


async def test_a_file_that_is_no_bundle_stays_as_it_is(tmp_path: Path):
    path = tmp_path / "site.tar"
    path.write_bytes(b"a" * 2048)
    with pytest.raises(BundleInvalid):
        await sign_bundle(path, [], SigningKey.new())
    assert path.read_bytes() == b"a" * 2048
