"""`make check` fails if a locked package has a known vulnerability, and passes if there are no data."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from deploy.release import known_vulnerabilities
from deploy.release.known_vulnerabilities import CONSTRAINTS, Audit, main, read_report
from tests.support.quiet_http import QuietHTTPServer

VULNERABILITY = {
    "id": "PYSEC-2018-28",
    "aliases": ["CVE-2018-18074"],
    "affected": [
        {
            "package": {"name": "requests", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.20.0"}]}],
        }
    ],
}


@contextmanager
def source(status: int = 200) -> Iterator[list[str]]:
    """Serve data with one vulnerability, of requests. Yield the arguments for pip-audit."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": [VULNERABILITY]} if asked["package"]["name"] == "requests" else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with QuietHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ["-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/"]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    file = tmp_path / "constraints.txt"
    file.write_text("# versions\nrequests==2.19.1\nidna==3.20\n")
    return file


def test_a_known_vulnerability_fails(locked: Path, capfd):
    with source() as arguments:
        assert main(arguments, locked) == 1
    out, err = capfd.readouterr()
    assert err == (
        "error: requests 2.19.1 has PYSEC-2018-28, CVE-2018-18074; fix: lock version 2.20.0, see CONTRIBUTING.md\n"
    )
    assert out == "known vulnerabilities: 1 in 2 locked packages\n"


def test_packages_without_a_known_vulnerability_pass(locked: Path, capfd):
    locked.write_text("idna==3.20\n")
    with source() as arguments:
        assert main(arguments, locked) == 0
    assert capfd.readouterr() == ("known vulnerabilities: 0 in 1 locked packages\n", "")


def test_an_accepted_vulnerability_passes(locked: Path, capfd, monkeypatch):
    monkeypatch.setattr(known_vulnerabilities, "ACCEPTED", {"CVE-2018-18074": "no redirect is followed"})
    with source() as arguments:
        assert main(arguments, locked) == 0
    assert capfd.readouterr() == ("known vulnerabilities: 0 in 2 locked packages\n", "")


@pytest.mark.parametrize("is_up", [True, False])
def test_without_data_the_check_passes_and_says_so(is_up: bool, locked: Path, capfd):
    with source(503) as arguments:
        if is_up:
            assert main(arguments, locked) == 0
    if not is_up:
        assert main(arguments, locked) == 0
    out, err = capfd.readouterr()
    assert (out.count("\n"), err) == (1, "")
    assert out.startswith("known vulnerabilities: not checked, there are no data")


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [("requests>=2\n", (), "requests"), ("requests==2.19.1\n", ("-s", "nothing"), "invalid")],
)
def test_a_check_that_cannot_work_fails(content: str, arguments: tuple[str, ...], message: str, locked: Path, capfd):
    locked.write_text(content)
    assert main(arguments, locked) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: pip-audit cannot work: ")
    assert message in line


def test_the_default_is_the_locked_packages_of_the_checkout():
    assert Path(__file__).parents[3] / "constraints.txt" == CONSTRAINTS
    assert CONSTRAINTS.is_file()


def test_packages_that_the_source_does_not_know_are_named():
    packages = [
        {"name": "aiohttp", "version": "3.14.5", "vulns": []},
        {"name": "idna", "skip_reason": "not found"},
        {"name": "rich", "version": "15.0.0", "vulns": [{"id": "PYSEC-1", "aliases": [], "fix_versions": []}]},
    ]
    assert read_report({"dependencies": packages}) == Audit(
        ["aiohttp", "rich"], ["idna"], ["rich 15.0.0 has PYSEC-1; fix: none is published"]
    )


def test_a_slow_source_has_no_data(locked: Path, capfd, monkeypatch):
    monkeypatch.setattr(known_vulnerabilities, "TIMEOUT_SECONDS", 0.001)
    assert main([], locked) == 0
    assert "not checked" in capfd.readouterr().out
