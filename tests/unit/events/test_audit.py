"""The audit: its chain, its files, what verification finds, and what a crash leaves."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.events.audit_chain import CHECKPOINT, AuditPlace, ChainEnd, change_line, checkpoint_line
from mirror.events.audit_files import AuditFiles
from mirror.events.audit_verification import AuditVerdict, verify_audit
from mirror.events.audit_writer import READER, AuditServices, AuditWriter
from mirror.records.changes.actor import Actor, ActorKind
from mirror.records.changes.change import Change, ChangeKind, ReaderPosition, RecordedChange
from mirror.signing.private_keys import PrivateKey
from mirror.signing.public_keys import PublicKey
from tests.support.clocks import START, HandClock

KEY, OTHER = PrivateKey.new("audit.key"), PrivateKey.new("other.key")
ANNA = Actor(ActorKind.USER, "anna", "token:1a2b", "10.0.0.7")


def change(number: int, subject: str = "") -> RecordedChange:
    made = Change(ChangeKind.TAG_CREATED, subject or f"acme/driver:{number}", "acme/driver", after="sha256:1")
    return RecordedChange(number, START, ANNA, made)


class MemoryLog:
    """Changes in memory. Implements ChangeLog."""

    def __init__(self, *changes: RecordedChange) -> None:
        self.changes = list(changes)
        self.place = ReaderPosition()
        self.fails = False

    async def read(self, after: int, most: int) -> Sequence[RecordedChange]:
        return [one for one in self.changes if one.id > after][:most]

    async def position(self, reader: str) -> ReaderPosition:
        assert reader == READER
        return self.place

    async def advance(self, reader: str, position: ReaderPosition, readers: Sequence[str]) -> None:
        if self.fails:
            raise OSError(errno.EIO, "the catalog failed")
        self.place = position

    async def begin_anew(self) -> None:
        self.place = ReaderPosition(self.place.change_id)

    async def oldest(self, reader: str) -> datetime | None:
        raise NotImplementedError

    async def note(self, change: Change) -> None:
        raise NotImplementedError


class Audit:
    """An audit in a folder, its changes and its clock."""

    def __init__(self, folder: Path, *, most_bytes: int = 1 << 20, keep: timedelta | None = None) -> None:
        self.log, self.clock = MemoryLog(), HandClock()
        self.files = AuditFiles(folder, most_bytes)
        self.services = AuditServices(self.log, self.files, KEY, self.clock, keep)

    def writer(self) -> AuditWriter:
        """Return a writer as a new process has it."""
        return AuditWriter(self.services)

    def verified(self, *known: ChainEnd, key: PublicKey = KEY.public) -> AuditVerdict:
        begin = AuditPlace.parse(self.log.place.mark).begin if self.log.place.mark else 1
        return verify_audit(self.files.read(), [key], known, begin)

    @property
    def lines(self) -> list[bytes]:
        return [line for _, lines in self.files.read() for line in lines]

    @property
    def known(self) -> ChainEnd:
        """The end that the catalog knows."""
        return AuditPlace.parse(self.log.place.mark).end


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit")


def test_a_line_has_what_was_done_by_whom() -> None:
    line = json.loads(change_line(ChainEnd(), change(7)))
    assert line == {
        "seq": 1,
        "at": "2026-01-02T03:04:00Z",
        "kind": "tag.created",
        "subject": "acme/driver:7",
        "repository": "acme/driver",
        "after": "sha256:1",
        "actor": {"kind": "user", "name": "anna", "proof": "token:1a2b", "address": "10.0.0.7"},
        "change": 7,
        "prev": "0" * 64,
    }


@given(st.text())
def test_no_text_begins_a_line_of_its_own(subject: str) -> None:
    line = change_line(ChainEnd(), change(1, subject or "-"))
    assert line.isascii()
    assert b"\n" not in line
    assert json.loads(line)["subject"] == (subject or "-")


@given(st.integers(1, 10**12), st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
def test_the_text_of_an_end_is_read_again(seq: int, digest: str) -> None:
    assert ChainEnd.parse(str(ChainEnd(seq, digest))) == ChainEnd(seq, digest)


@given(st.text())
def test_other_texts_are_no_ends(text: str) -> None:
    try:
        end = ChainEnd.parse(text)
    except ValueError:
        return
    assert end.seq >= 0
    assert len(end.hash) == 64


async def test_changes_go_into_the_files_once_and_are_signed(audit: Audit) -> None:
    audit.log.changes = [change(number) for number in (3, 4, 8)]
    writer = audit.writer()
    assert await writer.take() == 3
    assert await writer.take() == 0
    audit.clock.advance(minutes=10)
    await writer.take()
    verdict = audit.verified(audit.known)
    assert verdict.problems == []
    assert (verdict.lines, verdict.checkpoints, verdict.signed_end) == (4, 1, verdict.end)
    assert audit.log.place.change_id == 8
    audit.clock.advance(minutes=10)
    await writer.take()  # nothing new to sign
    assert len(audit.lines) == 4


async def test_a_thousand_changes_are_signed_at_once(audit: Audit) -> None:
    audit.log.changes = [change(number) for number in range(1, 1201)]
    await audit.writer().take()
    assert audit.verified().checkpoints == 1


async def test_the_next_process_goes_on(audit: Audit) -> None:
    audit.log.changes = [change(1)]
    await audit.writer().take()
    audit.log.changes.append(change(2))
    await audit.writer().take()
    assert [json.loads(line)["change"] for line in audit.lines] == [1, 2]
    assert audit.verified().problems == []


@pytest.mark.parametrize("before", [0, 1])
async def test_a_crash_between_file_and_catalog_repeats_no_line(audit: Audit, before: int) -> None:
    audit.log.changes = [change(1)] * before
    await audit.writer().take()
    audit.log.changes = [change(2), change(3)]
    audit.log.fails, writer = True, audit.writer()
    with pytest.raises(OSError, match="the catalog failed"):
        await writer.take()
    audit.log.fails = False
    audit.log.changes.append(change(4))
    await audit.writer().take()
    assert [json.loads(line)["change"] for line in audit.lines] == [1, 2, 3, 4][1 - before :]
    assert audit.verified().problems == []


async def test_the_same_process_goes_on_after_the_catalog_failed(audit: Audit) -> None:
    writer = audit.writer()
    await writer.take()
    audit.log.changes, audit.log.fails = [change(1)], True
    with pytest.raises(OSError, match="the catalog failed"):
        await writer.take()
    audit.log.fails = False
    audit.log.changes.append(change(2))
    await writer.take()
    assert [json.loads(line)["change"] for line in audit.lines] == [1, 2]


async def test_half_a_line_of_a_crash_is_written_again(audit: Audit) -> None:
    audit.log.changes = [change(1)]
    await audit.writer().take()
    with audit.files.paths()[0].open("ab") as file:
        file.write(change_line(ChainEnd(1), change(2))[:40])
    audit.log.changes = [change(2)]
    await audit.writer().take()
    assert audit.verified().problems == []
    assert len(audit.lines) == 2


async def test_a_full_disk_loses_no_change(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.log.changes = [change(1)]
    writer = audit.writer()
    await writer.take()
    audit.log.changes = [change(2), change(3)]
    written = os.write

    def half(descriptor: int, content: memoryview) -> int:
        written(descriptor, content[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            await writer.take()
    assert len(audit.lines) == 1
    assert await writer.take() == 2
    assert audit.verified().problems == []


async def test_files_have_a_size_and_former_ones_an_age(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", most_bytes=600, keep=timedelta(days=1))
    writer = audit.writer()
    for number in range(1, 9):
        audit.log.changes.append(change(number))
        await writer.take()
        await writer.sign()
    names = [path.name for path in audit.files.paths()]
    assert len(names) > 2
    assert names[0] == "audit-0000000001.jsonl"
    assert audit.verified(audit.known).problems == []
    audit.clock.set(days=10_000)  # far beyond the times of the files
    audit.log.changes.append(change(9))
    await writer.take()
    await writer.sign()
    assert len(audit.files.paths()) < len(names)
    verdict = audit.verified(audit.known)
    assert verdict.problems == []  # what was removed by age is not missing
    await audit.writer().take()
    assert audit.verified().problems == []


async def test_a_crash_between_a_new_file_and_the_catalog_repeats_no_line(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", most_bytes=1)
    audit.log.changes, writer = [change(1)], audit.writer()
    await writer.take()
    await writer.sign()  # the next line is the first one of another file
    audit.log.changes, audit.log.fails = [change(2)], True
    with pytest.raises(OSError, match="the catalog failed"):
        await writer.take()
    audit.log.fails = False
    audit.log.changes.append(change(3))
    await audit.writer().take()
    assert [json.loads(line).get("change") for line in audit.lines] == [1, None, 2, 3]
    assert audit.verified(audit.known).problems == []


async def test_old_files_that_somebody_removed_are_missed(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", most_bytes=1)
    for number in range(1, 4):
        audit.log.changes, writer = [change(number)], audit.writer()
        await writer.take()
        await writer.sign()
    audit.files.paths()[0].unlink()
    missing = "the begin is missing: the files have no entries 1 to 2, and they are not too old to keep"
    assert audit.verified().problems == [missing]
    audit.log.changes = [change(4)]
    writer = audit.writer()
    await writer.take()
    await writer.sign()
    assert audit.verified().problems == [missing]  # also after another checkpoint


async def test_elsewhere_a_checkpoint_tells_which_files_were_too_old(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", most_bytes=1, keep=timedelta(days=1))
    for number in range(1, 4):
        if number == 3:
            audit.clock.set(days=10_000)
        audit.log.changes, writer = [change(number)], audit.writer()
        await writer.take()
        await writer.sign()
    assert len(audit.files.paths()) == 1
    assert verify_audit(audit.files.read(), [KEY.public]).problems == []
    assert verify_audit(audit.files.read(), [OTHER.public]).problems != []


async def test_a_file_is_read_whole_although_it_becomes_a_former_one(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", most_bytes=1)
    writer, found = audit.writer(), []
    audit.log.changes = [change(1)]
    await writer.take()
    await writer.sign()
    audit.log.changes = [change(2)]
    await writer.take()
    for _, lines in audit.files.read():
        found += list(lines)
        await writer.sign()
        audit.log.changes = [change(3)]
        await writer.take()
    assert [json.loads(line)["seq"] for line in found] == [1, 2, 3, 4]


async def test_a_line_that_is_being_written_is_no_fault(audit: Audit) -> None:
    audit.log.changes = [change(1)]
    await audit.writer().take()
    with audit.files.paths()[0].open("ab") as file:
        file.write(change_line(audit.known, change(2))[:-1])
    assert audit.verified(audit.known).problems == []


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_the_text_of_a_place_is_read_again(seq: int, begin: int) -> None:
    place = AuditPlace(ChainEnd(seq), begin)
    assert AuditPlace.parse(str(place)) == place


@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda one: (
            st.lists(one)
            | st.dictionaries(st.sampled_from(["seq", "at", "prev", "kind", "begin", "signature", "change"]), one)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_line_stops_verification(line: bytes) -> None:
    verdict = verify_audit([("audit.jsonl", [line, line])], [KEY.public])
    assert verdict.problems
    assert all(problem.isprintable() for problem in (*verdict.problems, verdict.first_at, verdict.last_at))


def _swap(lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def _forge(lines: list[bytes]) -> None:
    lines[2] = lines[2].replace(b"acme", b"evil")


def _forge_checkpoint(lines: list[bytes]) -> None:
    end = ChainEnd()
    for line in lines[:-1]:
        end = end.after(line)
    lines[-1] = checkpoint_line(AuditPlace(end), START, OTHER)


TAMPERINGS: dict[str, tuple[Callable[[list[bytes]], object], str]] = {
    "changed": (_forge, "line 4 does not continue entry 3: one of the two was changed"),
    "removed": (lambda lines: lines.pop(2), "line 3 entry 3 is missing before it"),
    "several removed": (lambda lines: lines.__delitem__(slice(1, 3)), "line 2 entries 2 to 3 are missing before it"),
    "moved": (_swap, "line 3 entry 3 is missing before it"),
    "repeated": (lambda lines: lines.insert(2, lines[1]), "line 3 has entry 2, which comes after entry 2"),
    "no entry": (lambda lines: lines.__setitem__(2, b"[" * 10_000), "line 3 is not an entry of an audit"),
    "cut": (lambda lines: lines.pop(), "the end is missing: entry 5 is known, and the files end with entry 4"),
    "emptied": (lambda lines: lines.clear(), "the end is missing: entry 5 is known, and the files end with entry 0"),
    "signed by another": (_forge_checkpoint, "line 5 is a checkpoint that none of the keys has signed"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_verification_finds_what_was_done_to_the_files(audit: Audit, tampering: str) -> None:
    audit.log.changes = [change(number) for number in range(1, 5)]
    writer = audit.writer()
    await writer.take()
    await writer.sign()
    known, (path,) = audit.known, audit.files.paths()
    assert audit.verified(known).problems == []
    tamper, found = TAMPERINGS[tampering]
    lines = audit.lines
    tamper(lines)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    problems = audit.verified(known).problems
    assert any(found in problem for problem in problems), problems


async def test_a_chain_that_was_written_anew_differs_from_what_is_known_elsewhere(audit: Audit) -> None:
    audit.log.changes = [change(1), change(2)]
    await audit.writer().take()
    known, (path,) = audit.known, audit.files.paths()
    forged = change_line(ChainEnd(), change(1, "evil/driver:1"))
    path.write_bytes(forged + b"\n" + change_line(ChainEnd().after(forged), change(2)) + b"\n")
    assert audit.verified().problems == []  # nothing in the files tells
    assert audit.verified(known).problems == ["audit.jsonl, line 2 is not the line that is known from elsewhere"]


async def test_after_a_cut_the_audit_goes_on_and_the_cut_shows(audit: Audit) -> None:
    audit.log.changes = [change(number) for number in range(1, 5)]
    await audit.writer().take()
    (path,) = audit.files.paths()
    path.write_bytes(b"".join(line + b"\n" for line in audit.lines[:2]))
    audit.log.changes = [change(5)]
    await audit.writer().take()
    assert audit.verified().problems == ["audit.jsonl, line 3 entries 3 to 4 are missing before it"]


def test_a_checkpoint_is_a_line_too() -> None:
    line = json.loads(checkpoint_line(AuditPlace(), START, KEY))
    assert (line["kind"], line["key"], line["seq"]) == (CHECKPOINT, KEY.public.fingerprint, 1)
