"""Failures of commands: each is one line that says what, why and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from mirror.bundle import bundle_errors
from mirror.cli.async_command import Interrupted
from mirror.cli.start.failure_report import lines_of, reported
from mirror.cli.terminal.output import OutputClosed, flush_output
from mirror.hosts import engine_errors
from mirror.oci.errors import ConfigurationFault, MirrorError, NotFound, StorageFault
from mirror.runtime.system_errors import LocalFault

#: Modules whose classes are below.
TREES = (bundle_errors, engine_errors)


def classes(family: type[MirrorError] = MirrorError) -> Iterator[type[MirrorError]]:
    yield family
    for below in family.__subclasses__():
        yield from classes(below)


@pytest.mark.parametrize("kind", sorted(set(classes()), key=lambda kind: kind.__name__))
def test_every_error_has_advice(kind: type[MirrorError]) -> None:
    error = kind.__new__(kind)
    MirrorError.__init__(error, "it failed")
    (line,) = lines_of(error)
    what, _, fix = line.partition("; fix: ")
    assert what == "it failed"
    assert fix
    MirrorError.__init__(error, "it failed; fix: do this")
    assert list(lines_of(error)) == ["it failed; fix: do this"]


def test_each_mistake_of_a_configuration_is_a_line() -> None:
    first, second = lines_of(ConfigurationFault("a: wrong\nb: wrong; fix: write c"))
    assert first.startswith("a: wrong; fix: ")
    assert second == "b: wrong; fix: write c"


@pytest.mark.parametrize("kind", [ConfigurationFault, StorageFault])
def test_the_system_knows_the_advice(kind: type[MirrorError]) -> None:
    error = kind("f cannot be read")
    error.__cause__ = OSError(errno.EISDIR, "Is a directory", "/srv/f")
    assert list(lines_of(error)) == ["f cannot be read; fix: name a file, because /srv/f is a folder"]


def test_the_advice_about_other_registries_is_not_about_the_store() -> None:
    assert "plugin-mirror ls" in next(lines_of(NotFound("no x")))
    assert "at that registry" in next(lines_of(NotFound("no x", upstream="hub")))


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [
        (KeyboardInterrupt(), 4, "interrupted: nothing is lost; fix: "),
        (Interrupted(), 4, "interrupted: nothing is lost; fix: "),
        (OutputClosed(), 4, ""),
        (LocalFault("the port is used"), 5, "error: the port is used; fix: "),
        (OSError(errno.ENOSPC, "No space left on device"), 5, "error: the output cannot be used: No space left on dev"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            5,
            "error: /x/y cannot be used: Permission denied; ",
        ),
    ],
)
def test_a_failure_is_a_line_and_a_code(
    failure: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reported(failure, trace=False) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(told)
    assert len(shown.err.splitlines()) == (1 if told else 0)


def test_a_fault_of_the_program_keeps_its_trace() -> None:
    assert reported(ZeroDivisionError(), trace=False) is None


@pytest.mark.parametrize(("number", "expected"), [(errno.EPIPE, OutputClosed), (errno.ENOSPC, OSError)])
def test_the_output_is_written_before_the_end(
    number: int, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("sys.stdout.flush", fail)
    with pytest.raises(expected):
        flush_output()
