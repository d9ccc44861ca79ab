"""States that may exist after a kill, and states that break a promise."""

import math

import pytest

from tests.torture.model import (
    BrokenPromise,
    Outcome,
    Repository,
    RepositoryState,
    drop_blob,
    drop_manifest,
    drop_tag,
    hold_blob,
    put_manifest,
)
from tests.torture.register import Move, may_be_last, may_be_read

BLOB_ONLY = RepositoryState(frozenset({"b"}))
IMAGE = RepositoryState(frozenset({"b"}), frozenset({"m"}), frozenset({("1", "m"), ("2", "m")}))


@pytest.fixture
def repository() -> Repository:
    repository = Repository("r")
    repository.done(hold_blob("b"))
    return repository


def test_what_was_acknowledged_is_certain(repository: Repository) -> None:
    repository.done(put_manifest("m", ["1", "2"], ["b"]))
    assert repository.found(IMAGE) is Outcome.CERTAIN


@pytest.mark.parametrize(("found", "outcome"), [(BLOB_ONLY, Outcome.UNDONE), (IMAGE, Outcome.DONE)])
def test_what_was_in_flight_is_done_or_not(repository: Repository, found: RepositoryState, outcome: Outcome) -> None:
    repository.unanswered(put_manifest("m", ["1", "2"], ["b"]))
    assert repository.found(found) is outcome
    assert repository.found(found) is Outcome.CERTAIN


@pytest.mark.parametrize(
    "found",
    [
        RepositoryState(),
        RepositoryState(frozenset({"b"}), frozenset({"m"})),
        RepositoryState(frozenset({"b"}), frozenset({"m"}), frozenset({("1", "m")})),
        RepositoryState(frozenset({"b", "x"})),
    ],
    ids=["lost", "without its tags", "with one of two tags", "with more"],
)
def test_nothing_in_between(repository: Repository, found: RepositoryState) -> None:
    repository.unanswered(put_manifest("m", ["1", "2"], ["b"]))
    with pytest.raises(BrokenPromise, match=r"lost|unexpected"):
        repository.found(found)


def test_a_manifest_takes_its_tags_along(repository: Repository) -> None:
    repository.done(put_manifest("m", ["1", "2"], ["b"]))
    repository.done(put_manifest("n", ["2"]))
    repository.done(drop_manifest("m"))
    assert repository.possible == {RepositoryState(frozenset({"b"}), frozenset({"n"}), frozenset({("2", "n")}))}


@pytest.mark.parametrize("change", [drop_blob("x"), drop_tag("1"), drop_manifest("m"), put_manifest("m", [], ["x"])])
def test_an_acknowledgement_of_what_cannot_be(repository: Repository, change) -> None:
    with pytest.raises(BrokenPromise, match="acknowledged"):
        repository.done(change)


def test_a_refusal_of_what_is_there(repository: Repository) -> None:
    with pytest.raises(BrokenPromise, match="refused"):
        repository.refused(drop_blob("b"))


def test_a_refusal_settles_no_doubt(repository: Repository) -> None:
    repository.unanswered(put_manifest("m", ["1", "2"], ["b"]))
    repository.refused(drop_tag("1"))
    assert repository.possible == {BLOB_ONLY, IMAGE}
    assert repository.held_blobs() == {"b"}


def test_an_acknowledgement_settles_a_doubt(repository: Repository) -> None:
    repository.unanswered(put_manifest("m", ["1", "2"], ["b"]))
    repository.done(drop_tag("2"))
    assert repository.possible == {RepositoryState(frozenset({"b"}), frozenset({"m"}), frozenset({("1", "m")}))}


@pytest.mark.parametrize(
    ("moves", "values"),
    [
        ([Move("a", 0, 1), Move("b", 2, 3)], ["b"]),
        ([Move("a", 0, 2), Move("b", 1, 3)], ["a", "b"]),
        ([Move("a", 0, 4), Move("b", 1, 2), Move("c", 3, 5)], ["a", "c"]),
        ([Move("a", 0), Move("b", 1, 2)], ["a", "b"]),
        ([Move("a", 0, 1), Move("b", 2, math.inf)], ["a", "b"]),
        ([Move("a", 0, 1), Move(None, 2, 3)], [None]),
        ([], []),
    ],
    ids=["in turn", "at once", "a chain", "unanswered before", "unanswered after", "deleted", "none"],
)
def test_which_move_may_be_the_last(moves: list[Move], values: list[str | None]) -> None:
    assert [move.value for move in may_be_last(moves)] == values


@pytest.mark.parametrize(
    ("value", "asked", "answered", "may"),
    [
        ("a", 1.5, 1.6, True),
        ("a", 2.5, 2.6, True),
        ("b", 2.5, 2.6, True),
        ("a", 3.5, 3.6, False),
        ("b", 3.5, 3.6, True),
        ("b", 1.5, 1.9, False),
        ("c", 3.5, 3.6, False),
        ("c", 4.5, 9.0, True),
        ("b", 9.0, 9.1, True),
    ],
)
def test_which_value_a_read_may_find(value: str, asked: float, answered: float, may: bool) -> None:
    moves = [Move("a", 0, 1), Move("b", 2, 3), Move("c", 4)]
    assert may_be_read(moves, value, asked, answered) is may


def test_lists_leave_out_what_nobody_finds_by_a_name() -> None:
    assert BLOB_ONLY.is_listed
    assert IMAGE.is_listed
    assert not RepositoryState(manifests=frozenset({"m"})).is_listed
    assert not RepositoryState().is_listed


NEEDS = {"m": {"b"}, "n": {"c"}}


@pytest.fixture
def collected() -> Repository:
    """A repository with a tagged and an untagged manifest and a spare blob, beside a collection."""
    repository = Repository("r")
    for change in (
        *(hold_blob(blob) for blob in "bcd"),
        put_manifest("m", ["1"], ["b"]),
        put_manifest("n", [], ["c"]),
    ):
        repository.done(change)
    repository.may_be_collected(NEEDS)
    return repository


@pytest.mark.parametrize(("blobs", "manifests"), [("bcd", "mn"), ("bc", "mn"), ("bcd", "m"), ("b", "m")])
def test_a_collection_takes_what_no_tag_needs(collected: Repository, blobs: str, manifests: str) -> None:
    tags = frozenset({("1", "m")})
    assert collected.found(RepositoryState(frozenset(blobs), frozenset(manifests), tags)) is Outcome.CERTAIN


@pytest.mark.parametrize(
    ("blobs", "manifests", "tags"),
    [("cd", "mn", {("1", "m")}), ("bcd", "n", {("1", "m")}), ("bd", "mn", {("1", "m")}), ("bcd", "mn", set())],
    ids=["a blob of a tag", "a manifest of a tag", "a blob of a manifest", "a tag"],
)
def test_a_collection_takes_nothing_else(
    collected: Repository, blobs: str, manifests: str, tags: set[tuple[str, str]]
) -> None:
    with pytest.raises(BrokenPromise, match="lost"):
        collected.found(RepositoryState(frozenset(blobs), frozenset(manifests), frozenset(tags)))


def test_a_collection_is_an_excuse_until_the_next_look(collected: Repository) -> None:
    collected.refused(put_manifest("n", ["2"], ["c"]))
    assert collected.held_blobs() == set()
    collected.found(RepositoryState(frozenset("b"), frozenset("m"), frozenset({("1", "m")})))
    with pytest.raises(BrokenPromise, match="refused"):
        collected.refused(put_manifest("m", ["2"], ["b"]))


def test_what_a_whole_collection_would_take(collected: Repository) -> None:
    assert collected.spare(NEEDS) == {"n", "c", "d"}
