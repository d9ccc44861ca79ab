"""Possible states of a repository, from the knowledge of its only client. Pure.

A client sends one request at a time and knows the state before the request. A response tells the state after it. A
missing response leaves two possibilities, the complete state before and the complete state after. So few states are
possible, and any other observed state is a broken promise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

Change = Callable[["RepositoryState"], "RepositoryState | None"]
"""Maps a state to the next one, or to None if the server must refuse the change because something is missing."""


class BrokenPromise(AssertionError):
    """The server responded with, served or stored something wrong."""


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """Content of one repository, by digest. `tags` has pairs of name and digest."""

    blobs: frozenset[str] = frozenset()
    manifests: frozenset[str] = frozenset()
    tags: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_listed(self) -> bool:
        """True if lists of repositories name the repository: not if it holds only manifests without a tag."""
        return bool(self.blobs or self.tags)

    def tag(self, name: str) -> str | None:
        """Return the digest that a tag points to, or None."""
        return dict(self.tags).get(name)


def hold_blob(digest: str) -> Change:
    """Return the change of a blob push or mount."""
    return lambda state: replace(state, blobs=state.blobs | {digest})


def drop_blob(digest: str) -> Change:
    """Return the change of a blob deletion."""
    return lambda state: replace(state, blobs=state.blobs - {digest}) if digest in state.blobs else None


def drop_everything(state: RepositoryState) -> RepositoryState | None:
    """Return the state after the deletion of the whole repository."""
    return None if state == RepositoryState() else RepositoryState()


def put_manifest(digest: str, tags: Collection[str], needs: Collection[str] = ()) -> Change:
    """Return the change of a manifest push that needs the blobs `needs` and moves `tags` to the manifest."""

    def change(state: RepositoryState) -> RepositoryState | None:
        if not state.blobs.issuperset(needs):
            return None
        others = {pair for pair in state.tags if pair[0] not in tags}
        moved = frozenset(others | {(tag, digest) for tag in tags})
        return replace(state, manifests=state.manifests | {digest}, tags=moved)

    return change


def drop_tag(name: str) -> Change:
    """Return the change of a tag deletion. The manifest stays."""

    def change(state: RepositoryState) -> RepositoryState | None:
        digest = state.tag(name)
        return None if digest is None else replace(state, tags=state.tags - {(name, digest)})

    return change


def drop_manifest(digest: str) -> Change:
    """Return the change of a manifest deletion. The tags of the manifest are deleted, too."""

    def change(state: RepositoryState) -> RepositoryState | None:
        if digest not in state.manifests:
            return None
        tags = frozenset(pair for pair in state.tags if pair[1] != digest)
        return replace(state, manifests=state.manifests - {digest}, tags=tags)

    return change


class Outcome(Enum):
    """Fate of the changes that were in flight when the server was killed."""

    CERTAIN = "no change was in flight"
    UNDONE = "no change was done"
    DONE = "a change was done"


class Repository:
    """Possible states of a repository.

    A collection beside the clients may remove what no tag needs. The possible states then tell what may be there at
    most, and their tags what must be there.

    Attributes:
        name: Name of the repository.
        possible: Possible states. One of them is the actual state.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.possible: frozenset[RepositoryState] = frozenset({RepositoryState()})
        self._before = RepositoryState()
        self._needs: Mapping[str, Collection[str]] | None = None

    def may_be_collected(self, needs: Mapping[str, Collection[str]]) -> None:
        """Record that a collection begins, which ends before the next look at the whole state.

        Args:
            needs: Digests of the blobs that each manifest needs.
        """
        self._needs = needs

    def done(self, change: Change) -> None:
        """Record that the server acknowledged a change."""
        after = self._after(change)
        if not after:
            raise BrokenPromise(f"{self.name}: a change was acknowledged that no possible state allows")
        self.possible = after

    def refused(self, change: Change) -> None:
        """Record that the server refused a change because something is missing.

        A refusal does not rule out any possible state. A worker that was killed during a commit may have written the
        whole commit to the catalog's log without a response. The commit becomes visible at the next start, or is
        overwritten by the next change. A refusal is not a change.
        """
        if self._needs is None and all(change(state) is not None for state in self.possible):
            raise BrokenPromise(f"{self.name}: a change was refused although nothing is missing for it")

    def unanswered(self, change: Change) -> None:
        """Record that the server was gone before it responded to a change."""
        if len(self.possible) == 1:
            (self._before,) = self.possible
        self.possible |= self._after(change)

    def found(self, state: RepositoryState) -> Outcome:
        """Compare the state that was read after a start with the possible states.

        Raises:
            BrokenPromise: If the state is not possible.
        """
        before = [one for one in self.possible if one == state or self._is_left_of(one, state)]
        if not before:
            raise BrokenPromise(f"{self.name}: {_difference(state, self.possible)}")
        in_doubt = len(self.possible) > 1
        self.possible, self._needs = frozenset({state}), None
        if not in_doubt:
            return Outcome.CERTAIN
        return Outcome.UNDONE if self._before in before else Outcome.DONE

    def held_blobs(self) -> frozenset[str]:
        """Return the blobs that are certainly in the repository."""
        if self._needs is not None:
            return frozenset()
        return frozenset.intersection(*(state.blobs for state in self.possible))

    def spare(self, needs: Mapping[str, Collection[str]]) -> frozenset[str]:
        """Return the digests of what no tag needs, of what may be in the repository."""
        return frozenset(digest for state in self.possible for digest in _spare(state, needs))

    def _is_left_of(self, before: RepositoryState, state: RepositoryState) -> bool:
        """Return True if a collection may have left `state` of `before`."""
        if self._needs is None or state.tags != before.tags:
            return False
        tagged = {digest for _, digest in before.tags}
        if not tagged <= state.manifests <= before.manifests:
            return False
        return _needed(state.manifests, self._needs) <= state.blobs <= before.blobs

    def _after(self, change: Change) -> frozenset[RepositoryState]:
        return frozenset(after for state in self.possible if (after := change(state)) is not None)


def _needed(manifests: Iterable[str], needs: Mapping[str, Collection[str]]) -> set[str]:
    return {blob for digest in manifests for blob in needs[digest]}


def _spare(state: RepositoryState, needs: Mapping[str, Collection[str]]) -> set[str]:
    tagged = {digest for _, digest in state.tags}
    return {*(state.manifests - tagged), *(state.blobs - _needed(tagged, needs))}


def _difference(state: RepositoryState, possible: Collection[RepositoryState]) -> str:
    lines = [f"the state is none of the {len(possible)} possible states"]
    for number, wanted in enumerate(possible, 1):
        for kind in ("blobs", "manifests", "tags"):
            there, due = getattr(state, kind), getattr(wanted, kind)
            lines += [f"  {number}: {kind}: lost {lost}" for lost in sorted(due - there)]
            lines += [f"  {number}: {kind}: unexpected {extra}" for extra in sorted(there - due)]
    return "\n".join(lines)
