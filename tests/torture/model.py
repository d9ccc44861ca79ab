"""What a repository may hold, as far as its one client can know. Pure.

A client sends one request at a time and knows the state before it. An answer says what the state is after it; silence
leaves two possibilities, the state before and the state after, each of them whole. So there are few possibilities, and
anything else that is seen is a broken promise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum

Change = Callable[["RepositoryState"], "RepositoryState | None"]
"""A state into the next one; None where the server is to answer that what is needed is not there."""


class BrokenPromise(AssertionError):
    """The server answered, served or kept what it must not."""


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """What one repository holds, by digest."""

    blobs: frozenset[str] = frozenset()
    manifests: frozenset[str] = frozenset()
    tags: frozenset[tuple[str, str]] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether the repository is not there at all."""
        return not (self.blobs or self.manifests)

    def tag(self, name: str) -> str | None:
        """Where a tag points."""
        return dict(self.tags).get(name)


def hold_blob(digest: str) -> Change:
    """A blob is pushed, or mounted."""
    return lambda state: replace(state, blobs=state.blobs | {digest})


def drop_blob(digest: str) -> Change:
    """A blob is deleted."""
    return lambda state: replace(state, blobs=state.blobs - {digest}) if digest in state.blobs else None


def put_manifest(digest: str, tags: Collection[str], needs: Collection[str] = ()) -> Change:
    """A manifest is pushed that needs blobs, and tags are moved to it."""

    def change(state: RepositoryState) -> RepositoryState | None:
        if not state.blobs.issuperset(needs):
            return None
        others = {pair for pair in state.tags if pair[0] not in tags}
        moved = frozenset(others | {(tag, digest) for tag in tags})
        return replace(state, manifests=state.manifests | {digest}, tags=moved)

    return change


def drop_tag(name: str) -> Change:
    """A tag is deleted; its manifest stays."""

    def change(state: RepositoryState) -> RepositoryState | None:
        digest = state.tag(name)
        return None if digest is None else replace(state, tags=state.tags - {(name, digest)})

    return change


def drop_manifest(digest: str) -> Change:
    """A manifest is deleted, and its tags with it."""

    def change(state: RepositoryState) -> RepositoryState | None:
        if digest not in state.manifests:
            return None
        tags = frozenset(pair for pair in state.tags if pair[1] != digest)
        return replace(state, manifests=state.manifests - {digest}, tags=tags)

    return change


class Outcome(Enum):
    """What became of the changes that were in flight when the server was killed."""

    CERTAIN = "no change was in flight"
    UNDONE = "none was done"
    DONE = "one was done"


class Repository:
    """What a repository may hold now.

    Attributes:
        name: of the repository.
        possible: its states, of which one is true.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.possible: frozenset[RepositoryState] = frozenset({RepositoryState()})
        self._before = RepositoryState()

    def done(self, change: Change) -> None:
        """The server said that it has made a change."""
        after = self._after(change)
        if not after:
            raise BrokenPromise(f"{self.name}: a change was acknowledged that nothing it can hold allows")
        self.possible = after

    def refused(self, change: Change) -> None:
        """The server said that what the change needs is not there.

        What could be there before still could: a worker that was killed in a commit may have written all of it to the
        catalog's log and told nobody. That becomes visible at the next start, or is overwritten by the next change,
        which a refusal is not.
        """
        if all(change(state) is not None for state in self.possible):
            raise BrokenPromise(f"{self.name}: a change was refused although all that it needs is there")

    def unanswered(self, change: Change) -> None:
        """The server was gone before it answered."""
        if len(self.possible) == 1:
            (self._before,) = self.possible
        self.possible |= self._after(change)

    def found(self, state: RepositoryState) -> Outcome:
        """This is what it holds, by all that can be read of it after a start."""
        if state not in self.possible:
            raise BrokenPromise(f"{self.name}: {_difference(state, self.possible)}")
        in_doubt = len(self.possible) > 1
        self.possible = frozenset({state})
        if not in_doubt:
            return Outcome.CERTAIN
        return Outcome.UNDONE if state == self._before else Outcome.DONE

    def held_blobs(self) -> frozenset[str]:
        """Blobs that are certainly there."""
        return frozenset.intersection(*(state.blobs for state in self.possible))

    def _after(self, change: Change) -> frozenset[RepositoryState]:
        return frozenset(after for state in self.possible if (after := change(state)) is not None)


def _difference(state: RepositoryState, possible: Collection[RepositoryState]) -> str:
    lines = [f"it holds none of the {len(possible)} states that it may hold"]
    for number, wanted in enumerate(possible, 1):
        for kind in ("blobs", "manifests", "tags"):
            there, due = getattr(state, kind), getattr(wanted, kind)
            lines += [f"  {number}: {kind}: lost {lost}" for lost in sorted(due - there)]
            lines += [f"  {number}: {kind}: not to be there {extra}" for extra in sorted(there - due)]
    return "\n".join(lines)
