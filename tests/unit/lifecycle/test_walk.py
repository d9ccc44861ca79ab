"""A model checker: random changes, decisions, removals and crashes. What must stay stays, and the rest goes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import Denied, ManifestBlobUnknown, NotFound
from mirror.records.admission.admissions import AdmissionDecision, Subject
from mirror.records.derivations import Derivation
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.records.origins import Origin
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store
from tests.support.builders import push_blob, read_blob
from tests.support.clocks import HandClock
from tests.support.collecting import kept_bytes
from tests.torture.inspection import inspect
from tests.unit.lifecycle.crashes import CutShort, Death, Died
from tests.unit.lifecycle.walk_world import (
    BLOBS,
    BY_DIGEST,
    CONTENT,
    COPY,
    MANIFESTS,
    PULLED,
    PUSHED,
    REPOSITORIES,
    TAGS,
    TWO,
    Held,
    Place,
    blob_file,
    children,
)
from tests.unit.store.disks import WatchedFilesystem

RULES: Final = CollectionRules(Grace(), untagged_default=timedelta(days=2))
GRACE: Final = RULES.grace.default
STEPS: Final = 150
#: Most calls or awaits of one step.
DEEPEST: Final = 40
DECISIONS: Final = "decisions"

Running = Callable[[Store], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Step:
    """A change by a client.

    Attributes:
        text: the change in words.
        run: makes the change.
        deletes: what the client deletes by name.
        moves: the tags of the repository without pull-through afterwards.
        brings: what certainly stays for the grace afterwards.
        needs: what the change needs to be there already.
    """

    text: str
    run: Running
    deletes: frozenset[Place] = frozenset()
    moves: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    brings: frozenset[Place] = frozenset()
    needs: frozenset[Place] = frozenset()


class Walk:
    """A store, and what is known about it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.choices = random.Random(seed)
        self.clock = HandClock(datetime.now(UTC))
        self.folder = folder
        self.log: list[str] = []
        self.tags: dict[tuple[str, str], str] = {}
        self._deleted: set[Place] = set()
        self._sure_until: dict[Place, datetime] = {}
        self._opened = AsyncExitStack()
        self._death = Death()
        self.store: Store

    async def open(self) -> None:
        """Open the store, again after a death."""
        with suppress(Died):
            await self._opened.aclose()
        self._death = Death()
        filesystem = self._death.watches(WatchedFilesystem(self.folder))
        self.store = await self._opened.enter_async_context(
            Store.open(self.folder, clock=self.clock, filesystem=filesystem)
        )
        self._death.attend(self.store)

    async def close(self) -> None:
        """Close the store."""
        await self._opened.aclose()

    async def step(self) -> None:
        """Make a change, perhaps beside a step of the collection, and perhaps cut short. Check everything."""
        before = Held.read(self.folder)
        step = self._change(before)
        beside = self.choices.choice([None, self._collection()])
        crash = self.choices.choice([None, None, "cancelled", "died"])
        depth = self.choices.randrange(DEEPEST)
        self.log.append(f"{self.clock.now()} {step.text} beside {beside and beside[0]}, {crash} at {depth}")
        if crash == "died":
            self._death.comes_after(depth)
        works: list[Awaitable[object]] = [step.run(self.store)]
        if crash == "cancelled":
            works = [CutShort(work, depth) for work in works]
        if beside is not None:
            works.append(beside[1](self.store))
        outcome, *rest = await asyncio.gather(*works, return_exceptions=True)
        for error in rest:
            if isinstance(error, BaseException) and not isinstance(error, Died):
                raise error
        if crash == "died":
            await self.open()
        # What was begun before a cancellation ends before this.
        await self.store.services.catalog.write_uncached(lambda _: None)
        await self._check(before, step, outcome, beside_decisions=beside is not None and beside[0] == DECISIONS)

    def advance(self) -> None:
        """Let time go by."""
        hours = self.choices.choice([0, 0, 0.1, 1, 11, 25, 60])
        self.clock.advance(hours=hours)

    async def _check(self, before: Held, step: Step, outcome: object, *, beside_decisions: bool) -> None:
        after = Held.read(self.folder)
        refused = isinstance(outcome, NotFound | ManifestBlobUnknown | Denied)
        is_cut = isinstance(outcome, Died | asyncio.CancelledError)
        if isinstance(outcome, BaseException) and not (refused or is_cut):
            raise outcome
        self._check_tags(after, step, done=not (refused or is_cut), may_be_done=not refused)
        now = self.clock.now()
        sure = {place for place, until in self._sure_until.items() if now < until}
        if isinstance(outcome, ManifestBlobUnknown):
            whole = before.manifests | before.blobs
            assert not step.needs <= (before.needed() | sure) & whole, "refused although nothing was missing"
        needed = after.needed(before.places) & before.places
        if beside_decisions:
            needed &= before.needed()  # what only the change makes needed may have been collected just before it
        lost = (needed | sure) - after.places - step.deletes
        assert lost == set(), "collected although it is needed"
        self._deleted = (self._deleted | step.deletes) - after.places
        named = {(name, child) for name, digest in after.manifests for child in children(digest)}
        assert named - after.places - self._deleted == set(), "named by a visible manifest and not there"
        for place in step.deletes:
            self._sure_until.pop(place, None)
        if not (refused or is_cut):
            self._sure_until.update(dict.fromkeys(step.brings, now + GRACE))
        for digest in after.content:
            assert blob_file(self.folder, digest).read_bytes() == CONTENT[digest], "a row without its bytes"
        await self._read_all()

    def _check_tags(self, after: Held, step: Step, *, done: bool, may_be_done: bool) -> None:
        for tag in TAGS:
            key = (PUSHED.name, tag)
            possible = {self.tags.get(key)}
            if key in step.moves and may_be_done:
                possible = {step.moves[key]} if done else possible | {step.moves[key]}
            found = after.tags.get(key)
            assert found in possible, f"{key} points to {found}"
            self.tags.pop(key, None)
            if found is not None:
                self.tags[key] = found

    async def _read_all(self) -> None:
        for (name, tag), digest in Held.read(self.folder).tags.items():
            repository = Repository(name)
            manifest = await self.store.get_manifest(repository, Tag(tag))
            assert str(manifest.digest) == digest
            for child in sorted(children(digest)):
                if (name, child) in self._deleted:
                    continue
                if child in BY_DIGEST:
                    assert (await self.store.get_manifest(repository, Digest.parse(child))).content == CONTENT[child]
                else:
                    assert await read_blob(self.store, Digest.parse(child), repository) == CONTENT[child]

    def _change(self, held: Held) -> Step:
        kinds: dict[Callable[[Repository, Held], Step], int] = {
            self._push_image: 6,
            self._put: 4,
            self._push_blob: 2,
            self._mount: 2,
            self._delete_tag: 3,
            self._delete_manifest: 2,
            self._delete_blob: 1,
            self._head: 1,
            self._open_upload: 1,
            self._end_uploads: 2,
            self._decide: 2,
            self._derive: 1,
            self._pull_through: 5,
            self._arrive: 4,
            self._forget: 2,
            self._evict: 1,
            self._empty: 1,
        }
        (kind,) = self.choices.choices(list(kinds), list(kinds.values()))
        return kind(self.choices.choice(REPOSITORIES), held)

    def _push_image(self, repository: Repository, _held: Held) -> Step:
        manifest = self.choices.choice(MANIFESTS)
        put = self._putting(repository, manifest)

        async def bring(store: Store, one: Manifest) -> None:
            for blob in one.blobs:
                await push_blob(store, CONTENT[str(blob.digest)], repository)
            for member in one.manifests:
                await bring(store, BY_DIGEST[str(member.digest)])
                await store.put_manifest(repository, BY_DIGEST[str(member.digest)])

        async def run(store: Store) -> None:
            await bring(store, manifest)
            await put.run(store)

        # Its parts come in the same moment, so none of them is decided about before the manifest is there.
        return replace(put, text=f"push all of {put.text}", run=run, needs=frozenset())

    def _put(self, repository: Repository, held: Held) -> Step:
        return self._putting(repository, self.choices.choice(MANIFESTS))

    def _putting(self, repository: Repository, manifest: Manifest) -> Step:
        digest = str(manifest.digest)
        tags = self.choices.sample(TAGS, self.choices.randrange(len(TAGS) + 1))

        async def run(store: Store) -> None:
            await store.put_manifest(repository, manifest, [Tag(tag) for tag in tags])

        return Step(
            f"{repository}@{_short(digest)} {tags}",
            run,
            moves={(repository.name, tag): digest for tag in tags},
            brings=frozenset({(repository.name, digest)}),
            needs=frozenset((repository.name, child) for child in children(digest)),
        )

    def _push_blob(self, repository: Repository, _held: Held) -> Step:
        content = self.choices.choice(BLOBS)
        place = (repository.name, str(Digest.of(content)))
        return Step(
            f"push blob {place}", lambda store: push_blob(store, content, repository), brings=frozenset({place})
        )

    def _mount(self, repository: Repository, _held: Held) -> Step:
        digest, source = Digest.of(self.choices.choice(BLOBS)), self.choices.choice([None, *REPOSITORIES])

        async def run(store: Store) -> None:
            if await store.mount_blob(repository, digest, source) is None:
                raise NotFound("nothing to mount")

        return Step(f"mount {digest} to {repository}", run, brings=frozenset({(repository.name, str(digest))}))

    def _delete_tag(self, repository: Repository, _held: Held) -> Step:
        tag = self.choices.choice(TAGS)
        return Step(
            f"delete {repository}:{tag}",
            lambda store: store.delete_tag(repository, Tag(tag)),
            moves={(repository.name, tag): None},
        )

    def _delete_manifest(self, repository: Repository, held: Held) -> Step:
        digest = str(self.choices.choice(MANIFESTS).digest)
        tags = {key: None for key, pointed in held.tags.items() if (key[0], pointed) == (repository.name, digest)}
        return Step(
            f"delete {repository}@{_short(digest)}",
            lambda store: store.delete_manifest(repository, Digest.parse(digest)),
            deletes=frozenset({(repository.name, digest)}),
            moves=tags,
        )

    def _delete_blob(self, repository: Repository, _held: Held) -> Step:
        digest = Digest.of(self.choices.choice(BLOBS))
        place = (repository.name, str(digest))
        return Step(
            f"delete blob {place}", lambda store: store.delete_blob(repository, digest), deletes=frozenset({place})
        )

    def _head(self, repository: Repository, _held: Held) -> Step:
        digest = Digest.of(self.choices.choice(BLOBS))
        return Step(f"head {digest}", lambda store: store.stat_blob(repository, digest))

    def _open_upload(self, repository: Repository, _held: Held) -> Step:
        async def run(store: Store) -> None:
            upload = await store.begin_upload(repository)
            await upload.append(single_chunk(b"a part"))

        return Step(f"open an upload to {repository}", run)

    def _end_uploads(self, _repository: Repository, _held: Held) -> Step:
        return Step("end uploads", lambda store: store.uploads.expire(timedelta(seconds=-1)))

    def _decide(self, repository: Repository, _held: Held) -> Step:
        digest, approved = self.choices.choice(MANIFESTS).digest, self.choices.random() < 0.5
        decision = AdmissionDecision(approved, "alice", self.clock.now(), "")
        subjects = [Subject(digest, (str(digest),))]
        return Step(
            f"approve {repository}@{digest}: {approved}",
            lambda store: store.records.decisions.decide(repository, subjects, decision, overrule=True),
        )

    def _derive(self, _repository: Repository, _held: Held) -> Step:
        derivation = Derivation("walk/pushed", TWO.digest, "alice", self.clock.now(), {}, ())
        return Step("derive", lambda store: store.records.derivations.record_derivation(COPY.digest, derivation))

    def _pull_through(self, _repository: Repository, _held: Held) -> Step:
        manifest, tag = self.choices.choice(MANIFESTS), self.choices.choice([None, *TAGS])
        now = self.clock.now()
        origin = Origin("hub", PUSHED, manifest.digest, now, now)
        return Step(
            f"pull {_short(manifest.digest)} through as {tag}",
            lambda store: store.records.incomplete.keep_incomplete(PULLED, manifest, origin, tag and Tag(tag)),
            brings=frozenset({(PULLED.name, str(manifest.digest))}),
        )

    def _arrive(self, _repository: Repository, held: Held) -> Step:
        wanted = sorted(child for name, digest in held.incomplete for child in children(digest))
        if not wanted:
            return self._pull_through(PULLED, held)
        digest = Digest.parse(self.choices.choice(wanted))

        async def run(store: Store) -> None:
            if str(digest) not in BY_DIGEST:
                await push_blob(store, CONTENT[str(digest)], PULLED)
            await store.records.incomplete.arrived(PULLED, digest)

        return Step(f"{_short(digest)} arrives", run)

    def _forget(self, _repository: Repository, _held: Held) -> Step:
        digest, tag = self.choices.choice(MANIFESTS).digest, Tag(self.choices.choice(TAGS))
        if self.choices.random() < 0.5:
            return Step(f"forget {tag}", lambda store: store.records.origins.forget(PULLED, tag))
        return Step(
            f"forget {_short(digest)}",
            lambda store: store.records.origins.forget(PULLED, digest),
            deletes=frozenset({(PULLED.name, str(digest))}),
        )

    def _evict(self, _repository: Repository, _held: Held) -> Step:
        async def run(store: Store) -> None:
            contents = store.records.pulled_contents
            await contents.evict((await contents.count(lambda _: ("hub",))).artifacts)

        return Step("evict", run)

    def _empty(self, repository: Repository, held: Held) -> Step:
        return Step(
            f"empty {repository}",
            lambda store: store.records.deletions.empty(repository, self.clock.now(), 100),
            deletes=frozenset(place for place in held.places if place[0] == repository.name),
            moves={key: None for key in held.tags if key[0] == repository.name},
        )

    def _collection(self) -> tuple[str, Running]:
        most = self.choices.randint(1, 3)
        prefix = self.choices.choice(sorted(CONTENT)).partition(":")[2][:2]
        grace = self.choices.choice([timedelta(0), timedelta(hours=1)])

        async def decide(store: Store) -> None:
            rules = replace(RULES, uploading=await store.uploads.repositories())
            await store.records.reviews.decide(rules, most)

        async def compare(store: Store) -> None:
            found = await store.records.reviews.compare()
            assert not any(found.values()), f"forgotten: {found}"

        return self.choices.choice(
            [
                (DECISIONS, decide),
                (DECISIONS, decide),
                (DECISIONS, decide),
                ("a removal", lambda store: store.records.reviews.remove_bytes(grace, most)),
                ("a sweep", lambda store: store.records.reviews.doom_orphans(timedelta(days=1), prefix)),
                ("a comparison", compare),
            ]
        )


def _short(digest: object) -> str:
    return str(digest)[7:13]


async def finish(walk: Walk) -> None:
    """Let every grace pass, and collect everything."""
    await walk.open()
    reviews = walk.store.records.reviews
    assert not any((await reviews.compare()).values())
    await walk.store.uploads.expire(timedelta(seconds=-1))
    for _ in range(8):  # as deep as manifests are nested, each level with its own grace
        walk.clock.advance(days=3)
        while (await reviews.decide(RULES, 3)).decided:
            pass
        for digest in CONTENT:
            await reviews.doom_orphans(timedelta(days=1), digest.partition(":")[2][:2])
        walk.clock.advance(hours=1)
        while (await reviews.remove_bytes(timedelta(hours=1), 3)).files:
            pass


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_needed_stays_and_what_is_not_goes(folder: Path, seed: int, whole: bool) -> None:
    walk = Walk(folder, seed)
    await walk.open()
    try:
        for _ in range(STEPS * (10 if whole else 1)):
            await walk.step()
            walk.advance()
        await finish(walk)
        inspect(folder)
        held = Held.read(folder)
        assert held.places - held.needed() == set(), "not needed, and still there"
        assert held.content == {digest for _, digest in held.places}
        assert {str(digest) for digest in kept_bytes(folder)} == held.content
    except BaseException:
        print(*walk.log[-30:], sep="\n")
        raise
    finally:
        await walk.close()
