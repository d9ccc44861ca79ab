"""`make demo`: a plugin is mirrored under a new name, its upstream is lost, and it is installed all the same.

Everything runs on loopback, in temporary folders, and is gone at the end.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console

from tests.harness import plugins
from tests.harness.command import run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.packing import MANIFEST_TYPE, digest_of, pack
from tests.harness.process import ServiceFailedError
from tests.harness.pushing import push

TAG = "1.0.0-beta.3"
THERE, HERE = "store/contiv/v2plugin", "contiv/v2plugin"
PAYLOAD_BYTES = 24 * 1024 * 1024

console = Console(highlight=False, soft_wrap=True)


class Upstream(Protocol):
    """What both kinds of upstream have in common."""

    @property
    def url(self) -> str: ...
    @property
    def host(self) -> str: ...
    def stop(self) -> object: ...


def main() -> int:
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-")))

        tell("An upstream registry holds the plugin that a site depends on.")
        upstream = stack.enter_context(an_upstream())
        packed = pack(plugins.contiv_plugin(folder / "contiv", payload_size_bytes=PAYLOAD_BYTES))
        digest = push(packed, upstream.url, THERE, TAG)
        show(f"{upstream.host}/{THERE}:{TAG}", digest)

        tell("A mirror rule copies it and gives it another name.")
        mirror = stack.enter_context(Mirror(sections=rules(upstream.url)))
        command(mirror, "sync")
        command(mirror, "sync")

        tell("The upstream is gone, for good.")
        upstream.stop()
        if answers(f"{upstream.url}/v2/"):
            raise SystemExit("the upstream still answers")
        show(f"{upstream.host} refuses connections")

        tell(f"The mirror serves it as {HERE}, byte for byte.")
        for name, found, expected in pulled(mirror.url, digest):
            if found != expected:
                raise SystemExit(f"{name} has digest {found} instead of {expected}")
            show(f"{name:<9}{found}  verified")
        command(mirror, "inspect", "--quick", f"{HERE}:{TAG}")  # its programs are stand-ins

        tell("A Docker Engine installs it from the mirror.")
        install(mirror)

    tell(f"Done in {time.monotonic() - begun:.0f} s. To mirror your own plugins, go on with the README.")
    return 0


@contextmanager
def an_upstream() -> Iterator[Upstream]:
    """Somebody else's registry where one is installed, else another one of ours."""
    with Mirror() if DockerRegistry.missing() else DockerRegistry() as upstream:
        kind = (
            "docker-registry" if isinstance(upstream, DockerRegistry) else "plugin-mirror (no docker-registry is here)"
        )
        show(f"{kind} listens on {upstream.host}")
        yield upstream


def rules(url: str) -> dict[str, object]:
    return {
        "upstreams": {"hub": {"url": url, "plain_http": True}},
        "mirrors": [
            {"name": "contiv", "from": f"hub/{THERE}", "to": HERE, "tags": {"include": ["1.0.0-beta.*"], "newest": 5}}
        ],
    }


def command(mirror: Mirror, *arguments: str) -> None:
    """Run a command of ours as the reader would, its output on this terminal."""
    console.print(f"  $ plugin-mirror {' '.join(arguments)}", style="bold", markup=False)
    console.file.flush()
    done = subprocess.run([PROGRAM, *arguments, "--config", str(mirror.config)], check=False)
    if done.returncode:
        raise SystemExit(f"plugin-mirror {arguments[0]} ended with {done.returncode}")


def pulled(url: str, digest: str) -> Iterator[tuple[str, str, str]]:
    """What a client gets: name, digest of the bytes, digest that they should have."""
    manifest = fetch(f"{url}/v2/{HERE}/manifests/{TAG}", MANIFEST_TYPE)
    yield "manifest", digest_of(manifest), digest
    described = json.loads(manifest)
    for name, blob in (("config", described["config"]), *(("layer", layer) for layer in described["layers"])):
        yield name, digest_of(fetch(f"{url}/v2/{HERE}/blobs/{blob['digest']}")), blob["digest"]


def fetch(url: str, accept: str = "*/*") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=30) as answer:
        content: bytes = answer.read()
        return content


def answers(url: str) -> bool:
    try:
        fetch(url)
    except OSError:
        return False
    return True


def install(mirror: Mirror) -> None:
    reference = f"{mirror.host}/{HERE}:{TAG}"
    why_not = Engine.missing()
    if why_not is None:
        try:
            with Engine() as engine:
                show(f"Docker Engine {engine.version()}, started for this demo")
                console.print(f"  $ docker plugin install --disable {reference}", style="bold", markup=False)
                installed = engine.docker("plugin", "install", "--disable", reference, input_text="y\n")
                show(*installed.stdout.splitlines())
                show(*engine.docker("plugin", "ls").stdout.splitlines())
            return
        except ServiceFailedError as error:
            why_not = f"a Docker Engine does not start here: {str(error).splitlines()[-1]}"
    if shutil.which("docker") and run(["docker", "info"], check=False, timeout_seconds=10).exit_code == 0:
        show("the Docker Engine that runs here")
        console.print(f"  $ docker plugin install --disable {reference}", style="bold", markup=False)
        installed = run(["docker", "plugin", "install", "--disable", reference], input_text="y\n")
        show(*installed.stdout.splitlines())
        run(["docker", "plugin", "rm", reference])
        return
    show(f"left out: {why_not}", "on a Docker host the line is:", f"docker plugin install {reference}")


def tell(text: str) -> None:
    console.print(f"\n{text}", style="bold cyan", markup=False)


def show(*lines: str) -> None:
    for line in lines:
        console.print(f"  {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
