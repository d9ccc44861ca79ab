"""Renewal of the server certificate by the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mirror.access.certificates.certificate_folder import CertificateFolder, ServerFiles, make_server_files
from mirror.app.tls import certificate_keeping
from mirror.app.tls.certificate_keeping import CertificateKeeper, certificate_chores, renew_before_start
from mirror.oci.errors import ConfigurationFault
from mirror.runtime import logs
from mirror.settings import Settings, load
from tests.support.clocks import START, HandClock
from tests.support.local_ca import leaf, made, names

Line = dict[str, Any]


@pytest.fixture(autouse=True)
def logging_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configured", lambda *_, **__: nullcontext())


@pytest.fixture
def files(tmp_path: Path) -> ServerFiles:
    folder = CertificateFolder(tmp_path)
    make_server_files(folder, names("mirror.example"), START)
    return folder.server


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    with capture_logs() as found:
        yield found  # type: ignore[misc]


def settings_with(files: ServerFiles, **changed: Path | None) -> Settings:
    tls = {key: getattr(files, key) for key in ("certificate", "key", "ca", "ca_key")} | changed
    return load(flags={"server": {"tls": {key: str(path) for key, path in tls.items() if path is not None}}})


async def test_a_certificate_is_renewed_when_a_third_is_left(files: ServerFiles, lines: list[Line]) -> None:
    clock = HandClock()
    keeper, first = CertificateKeeper(files, clock), leaf(files)
    for days in (0, 59):
        clock.time = START + timedelta(days=days)
        await keeper.look()
        assert leaf(files) == first
    clock.advance(days=1)
    await keeper.look()
    assert leaf(files).not_valid_after_utc == START + timedelta(days=150)
    assert lines == [
        {
            "event": "server certificate renewed",
            "log_level": "info",
            "file": str(files.certificate),
            "names": ["mirror.example", "localhost", "127.0.0.1", "::1"],
            "expires": "2026-06-01T03:04:00Z",
        }
    ]


async def test_a_failure_is_told_once_a_day(files: ServerFiles, lines: list[Line]) -> None:
    clock = HandClock(START)
    clock.advance(days=60)
    part = files.certificate.with_name(".server.crt.new")
    part.mkdir()
    keeper, first = CertificateKeeper(files, clock), leaf(files)
    for _ in range(50):
        await keeper.look()
        clock.advance(hours=1)
    assert [line["event"] for line in lines] == ["server certificate not renewed"] * 3
    assert "; fix: name a file, because " in lines[0]["error"]
    assert leaf(files) == first
    part.rmdir()
    await keeper.look()
    assert leaf(files) != first


async def test_an_unexpected_error_ends_no_server(
    files: ServerFiles, lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of the library")

    monkeypatch.setattr(certificate_keeping, "renew_if_due", fail)
    await CertificateKeeper(files, HandClock(START)).look()
    assert [(line["event"], line["error"]) for line in lines] == [("server certificate not renewed", "of the library")]


async def test_a_jumping_clock_renews_no_more_than_three_times_a_day(files: ServerFiles, lines: list[Line]) -> None:
    clock = HandClock()
    keeper, found = CertificateKeeper(files, clock), []
    for number in range(10):
        clock.set(days=1000 if number % 2 == 0 else -1000)
        await keeper.look()
        clock.advance(minutes=1)
        found.append(leaf(files).serial_number)
    assert len(set(found)) == 3
    assert [line["event"] for line in lines] == ["server certificate renewed"] * 3 + [
        "server certificate renewed too often"
    ]
    clock.advance(days=1)
    await keeper.look()
    assert leaf(files).serial_number not in found


async def test_a_clock_before_the_ca_renews_nothing(files: ServerFiles, lines: list[Line]) -> None:
    clock = HandClock()
    clock.set(days=-20_000)
    first = leaf(files)
    await CertificateKeeper(files, clock).look()
    assert leaf(files) == first
    assert "fix: set the clock of this machine" in lines[0]["error"]


def test_an_expired_certificate_is_renewed_before_the_start(tmp_path: Path, lines: list[Line]) -> None:
    files = made(tmp_path, ago=timedelta(days=100)).server
    first = leaf(files)
    renew_before_start(settings_with(files))
    assert leaf(files) != first
    assert [line["event"] for line in lines] == ["server certificate renewed"]
    renew_before_start(settings_with(files))
    assert len(lines) == 1


def test_a_server_starts_with_a_valid_certificate_that_it_cannot_renew(
    tmp_path: Path, lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made(tmp_path).server
    monkeypatch.setattr(certificate_keeping.os, "access", lambda *_, **__: False)
    renew_before_start(settings_with(files))
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("server certificate will not be renewed", f"{tmp_path} is not writable")
    ]


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (lambda own, other: {"ca": other.ca}, "do not belong together"),
        (lambda own, other: {"certificate": other.certificate}, "renews only its own certificates"),
        (lambda own, other: {"ca_key": own.certificate}, "has no private key"),
        (lambda own, other: {"key": own.ca.with_name("absent")}, "cannot be read"),
    ],
)
def test_files_that_do_not_belong_together_are_refused_at_the_start(
    mix: Callable[[ServerFiles, ServerFiles], dict[str, Path]], message: str, tmp_path: Path
) -> None:
    own, other = made(tmp_path / "own").server, made(tmp_path / "other").server
    with pytest.raises(ConfigurationFault, match=message):
        renew_before_start(settings_with(own, **mix(own, other)))


def test_an_unusable_certificate_of_the_ca_is_told_before_the_workers_start(files: ServerFiles) -> None:
    settings = settings_with(files, ca=files.key, ca_key=None)
    with pytest.raises(ConfigurationFault, match=r"^server\.tls\.ca \S+server\.key has no certificate in PEM format"):
        renew_before_start(settings)


def test_only_the_first_process_renews_and_only_with_the_key_of_the_ca(files: ServerFiles) -> None:
    assert len(certificate_chores(settings_with(files), 0)) == 1
    assert certificate_chores(settings_with(files), 1) == []
    assert certificate_chores(settings_with(files, ca_key=None), 0) == []
    assert certificate_chores(load(), 0) == []
