"""Programs from the next Debian release, unpacked into a folder and never installed.

`python -m tests.harness.trixie` fetches them once into `.tools/trixie` of the checkout, as any user. apt-get runs with
its own state and the machine's own mirrors and keys. Signatures are verified and nothing else on the machine changes.
To fetch the current versions, remove the folder and run the command again.

The engine from trixie uses the machine's runc and docker-init, since trixie's runc needs a newer C library than
bookworm's.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.command import CommandFailedError, run

MACHINE_RELEASE = "bookworm"
RELEASE = "trixie"
PACKAGES = (
    "containerd",
    "cosign",
    "docker-buildx",
    "docker-cli",
    "docker-compose",
    "docker.io",
    "kubectl",
    "oras",
    "promtool",
)

FOLDER = Path(__file__).resolve().parents[2] / ".tools" / RELEASE
ENGINE_BINARIES = FOLDER / "engine"
"""Value for `Engine(binaries=…)`. `Engine.missing` tells if the folder is incomplete."""
ORAS = FOLDER / "oras/usr/bin/oras"
BUILDX = FOLDER / "docker-buildx/usr/libexec/docker/cli-plugins/docker-buildx"
COMPOSE = FOLDER / "docker-compose/usr/libexec/docker/cli-plugins/docker-compose"
COSIGN = FOLDER / "cosign/usr/bin/cosign"
KUBECTL = FOLDER / "kubectl/usr/bin/kubectl"
PROMTOOL = FOLDER / "promtool/usr/bin/promtool"
REMEDY = "run: python -m tests.harness.trixie"

_ENGINE_FOLDERS = ("containerd/usr/bin", "docker-cli/usr/bin", "docker.io/usr/sbin")
_STAMP = "versions"


class UnpackError(RuntimeError):
    """The programs could not be fetched. The message says why and what to do."""


def missing(program: Path) -> str | None:
    """Return a sentence that says how to fetch `program`, one of this module's paths, or None if it is available."""
    return None if program.exists() else f"Debian {RELEASE}'s {program.name} is not in {FOLDER} ({REMEDY})"


def unpack(folder: Path = FOLDER) -> Mapping[str, str]:
    """Fetch and unpack the packages unless `folder` has all of them, and return their versions by name.

    `folder` appears either complete or not at all, even if two processes unpack at the same time.

    Raises:
        UnpackError: If the packages cannot be fetched or unpacked.
    """
    there = _versions_in(folder)
    if there.keys() == set(PACKAGES):
        return there
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise UnpackError(f"{program} is not installed: only Debian {MACHINE_RELEASE} is supported")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as made:
        fresh = Path(made) / folder.name
        with tempfile.TemporaryDirectory(prefix="apt-") as apt:
            _unpack_archives(_download(Path(apt)), fresh)
        _link_engine(fresh)
        with suppress(FileNotFoundError):
            folder.rename(Path(made) / "old")  # a folder with another set of packages is replaced
        try:
            fresh.rename(folder)
        except OSError:
            if not _versions_in(folder):  # otherwise another process was faster, and its folder is used
                raise
    return _versions_in(folder)


@dataclass(frozen=True, slots=True)
class Source:
    """apt source of the machine's own release.

    Attributes:
        uris: Addresses of the mirrors.
        signed_by: Keys that sign the release. If empty, apt's default keys are used.
    """

    uris: str
    signed_by: str = ""

    def for_release(self, release: str) -> str:
        """Return the stanza of a `.sources` file for `release`."""
        signed_by = f"Signed-By: {self.signed_by}\n" if self.signed_by else ""
        return f"Types: deb\nURIs: {self.uris}\nSuites: {release}\nComponents: main\n{signed_by}"


def machine_sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Return the enabled binary sources of the machine's own release, without duplicates.

    Reads both formats of apt, `.list` and `.sources` files.
    """
    found: dict[Source, None] = {}
    for path in [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*.list"))]:
        if path.exists():
            found.update(dict.fromkeys(_sources_of_lines(path.read_text())))
    for path in sorted((etc_apt / "sources.list.d").glob("*.sources")):
        found.update(dict.fromkeys(_sources_of_stanzas(path.read_text())))
    return list(found)


def _sources_of_lines(text: str) -> Iterator[Source]:
    """Parse lines of the form `deb [signed-by=KEYS] URI SUITE COMPONENT…`."""
    for line in text.splitlines():
        entry = re.fullmatch(
            r"\s*deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>.*)", line
        )
        if entry and entry["suite"] == MACHINE_RELEASE and "main" in entry["rest"].partition("#")[0].split():
            options = dict(option.partition("=")[::2] for option in (entry["options"] or "").split())
            yield Source(entry["uri"], options.get("signed-by", "").replace(",", " "))


def _sources_of_stanzas(text: str) -> Iterator[Source]:
    """Parse stanzas of `Name: value` fields. Empty lines separate stanzas, and indented lines continue a value."""
    text = re.sub(r"(?m)^#.*\n?", "", text)
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            name.lower(): value.strip() for name, value in re.findall(r"(?m)^([\w-]+):(.*(?:\n[ \t].*)*)", stanza)
        }
        wanted = {"types": "deb", "suites": MACHINE_RELEASE, "components": "main"}
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "without", "off", "disable", "0")
        if enabled and all(word in fields.get(name, "").split() for name, word in wanted.items()):
            yield Source(fields.get("uris", ""), fields.get("signed-by", ""))


def _download(folder: Path) -> Iterable[Path]:
    """Download the packages into `folder`, with an apt state that knows only the next release."""
    sources = machine_sources()
    if not sources:
        raise UnpackError(
            f"/etc/apt has no entry for {MACHINE_RELEASE} main: only Debian {MACHINE_RELEASE} is supported"
        )
    folder.chmod(0o755)  # apt-get downloads as another user when root runs it
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    entries = folder / f"{RELEASE}.sources"
    entries.write_text("\n".join(source.for_release(RELEASE) for source in sources))
    # The machine's preferences and update hooks are left out, since they would apply to this private state, too.
    config = folder / "apt.conf"
    config.write_text(f"""\
Dir::State "{folder}/state";
Dir::State::lists "{folder}/state/lists";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{entries}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
""")
    # Without --error-on=any, apt-get only warns about an unreachable mirror, and the download then finds no packages.
    _run("apt-get", "-c", str(config), "--error-on=any", "update")
    _run("apt-get", "-c", str(config), "download", *PACKAGES, folder=folder)
    return sorted(folder.glob("*.deb"))


def _unpack_archives(archives: Iterable[Path], folder: Path) -> None:
    versions = []
    for archive in archives:
        name, version = _run("dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(archive)).split()
        (folder / name).mkdir(parents=True)
        _run("dpkg-deb", "--extract", str(archive), str(folder / name))
        versions.append(f"{name} {version}\n")
    (folder / _STAMP).write_text("".join(versions))


def _link_engine(folder: Path) -> None:
    """Create one folder with links to all programs of the engine."""
    (folder / ENGINE_BINARIES.name).mkdir()
    for name in _ENGINE_FOLDERS:
        for program in (folder / name).iterdir():
            (folder / ENGINE_BINARIES.name / program.name).symlink_to(Path("..", name, program.name))


def _versions_in(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / _STAMP).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split(" ", 1) for line in lines)


def _run(*argv: str, folder: Path | None = None) -> str:
    try:
        return run(argv, folder=folder, environment=os.environ | {"LC_ALL": "C"}, timeout_seconds=600).stdout
    except (CommandFailedError, TimeoutError) as error:
        raise UnpackError(f"the packages could not be fetched or unpacked (no network?)\n{error}") from None


def main() -> int:
    """Fetch the programs and print their versions. Return the exit code."""
    try:
        versions = unpack()
    except UnpackError as error:
        print(f"Debian {RELEASE}'s programs are not available: {error}", file=sys.stderr)
        return 1
    print(f"{FOLDER}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
