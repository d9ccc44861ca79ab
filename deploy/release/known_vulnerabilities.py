"""Fail if a locked package has a known vulnerability. Run it with `make check`.

pip-audit asks for the data over the network. Without data, the program prints one line and succeeds.
`make check AUDIT="-s osv --osv-url URL"` takes the data from another source.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
#: Vulnerabilities that do not concern this program, each with the reason. Remove an entry when its package has a fix.
ACCEPTED: Mapping[str, str] = {}
#: Longest run of pip-audit. A source that answers slower has no data.
TIMEOUT_SECONDS = 300


class AuditError(Exception):
    """pip-audit cannot work, with or without data."""


@dataclass(frozen=True)
class Audit:
    """Answer of the source of data.

    Attributes:
        known: names of the packages that the source knows.
        unknown: names of the other packages.
        vulnerabilities: a sentence for each known vulnerability.
    """

    known: Sequence[str] = ()
    unknown: Sequence[str] = ()
    vulnerabilities: Sequence[str] = ()


def read_report(report: Mapping[str, Any]) -> Audit:
    """Return the content of a report of pip-audit in JSON."""
    packages = report["dependencies"]
    return Audit(
        [each["name"] for each in packages if "skip_reason" not in each],
        [each["name"] for each in packages if "skip_reason" in each],
        [_sentence(each, found) for each in packages for found in each.get("vulns", ())],
    )


def audit(constraints: Path, arguments: Sequence[str] = ()) -> Audit:
    """Ask pip-audit about packages. Without data, the result is empty.

    Args:
        constraints: file with a line ``NAME==VERSION`` for each package.
        arguments: more arguments for pip-audit.

    Raises:
        AuditError: pip-audit cannot read the file or the arguments.
    """
    accepted = [word for identifier in ACCEPTED for word in ("--ignore-vuln", identifier)]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    command += ["--progress-spinner", "off", "--format", "json", *accepted, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return Audit()
    if done.stdout.startswith("{"):
        return read_report(json.loads(done.stdout))
    # No report: pip-audit got no data, or cannot work at all. A dry run needs no data and tells the two apart.
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if dry.returncode:
        raise AuditError(dry.stderr.strip().rpartition("\n")[2])
    return Audit()


def main(arguments: Sequence[str], constraints: Path = CONSTRAINTS) -> int:
    """Print what is known about the locked packages. Return 1 if one is vulnerable, or if pip-audit cannot work."""
    try:
        found = audit(constraints, arguments)
    except AuditError as error:
        print(f"error: pip-audit cannot work: {error}", file=sys.stderr)
        return 1
    if not found.known:
        print("known vulnerabilities: not checked, there are no data (fix: check again on a machine with network)")
        return 0
    for sentence in found.vulnerabilities:
        print(f"error: {sentence}", file=sys.stderr)
    print(f"known vulnerabilities: {len(found.vulnerabilities)} in {len(found.known)} locked packages")
    if found.unknown:
        print(f"known vulnerabilities: no data about {', '.join(found.unknown)}")
    return 1 if found.vulnerabilities else 0


def _sentence(package: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    names = ", ".join([found["id"], *found.get("aliases", ())])
    versions = " or ".join(found.get("fix_versions", ()))
    fix = f"lock version {versions}, see CONTRIBUTING.md" if versions else "none is published"
    return f"{package['name']} {package['version']} has {names}; fix: {fix}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
