"""Failures of commands: each is one line that says what, why and what to do."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle import bundle_errors
from mirror.cli.async_command import Interrupted
from mirror.cli.command_line import run
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lss"], "no such command 'lss' (did you mean 'ls', 'tls'?); fix: see 'plugin-mirror --help'"),
        (["ls", "--jsn"], "no such option: --jsn (did you mean --json?); fix: see 'plugin-mirror ls --help'"),
        (["ls", "a", "b"], "too many arguments: b; fix: see 'plugin-mirror ls --help'"),
        (["ls", "a", "b", "c"], "too many arguments: b c; fix: see 'plugin-mirror ls --help'"),
        (["derive", "a:1", "b:1", "--env", "X"], "--env 'X' is not KEY=VALUE; fix: write --env KEY=VALUE"),
    ],
)
def test_a_wrong_command_line_is_told_in_our_words(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lsx"], "no such command 'lsx' (did you mean 'ls', 'tls'?); fix: see 'plugin-mirror --help'"),
        (
            ["inspect", "x", "--as", "foo"],
            "invalid value for '--as': 'foo' is not one of 'docker', 'swarm', 'script'; fix",
        ),
    ],
)
def test_wrong_usage_is_told_in_words_of_this_program(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


@pytest.mark.parametrize("arguments", [["ls", "--config", "f"], ["user", "import", "f"]])
def test_a_closed_file_is_told_with_its_owner(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").touch()
    opened = Path.open

    def refuse(path: Path, *more: Any, **options: Any) -> Any:
        if path == Path("f"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "f")
        return opened(path, *more, **options)

    opened_low = os.open

    def refuse_low(path: Any, *more: Any, **options: Any) -> int:
        return opened_low(path, *more, **options) if str(path) != "f" else refuse(Path(path)).fileno()

    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(os, "open", refuse_low)
    monkeypatch.setattr(Path, "open", refuse)
    assert run(arguments) == 5
    owner = pwd.getpwuid(Path("f").stat().st_uid).pw_name
    assert capsys.readouterr().err == (
        f"error: f cannot be read: Permission denied; "
        f"fix: run as its owner: sudo -u {owner} …, or give this user access\n"
    )


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
