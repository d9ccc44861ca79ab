"""`make demo`: mirror a plugin under a new name, lose its upstream, and install the plugin anyway.

Everything runs on loopback and in temporary folders, which are removed at the end.
"""

import json
import shlex
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
    """Common interface of both kinds of upstream."""

    @property
    def url(self) -> str: ...
    @property
    def host(self) -> str: ...
    def stop(self) -> object: ...


def main() -> int:
    """Run the demo and return the exit code."""
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-")))

        tell("An upstream registry holds a plugin that your site depends on.")
        upstream = stack.enter_context(an_upstream())
        packed = pack(plugins.contiv_plugin(folder / "contiv", payload_size_bytes=PAYLOAD_BYTES))
        digest = push(packed, upstream.url, THERE, TAG)
        show(f"{upstream.host}/{THERE}:{TAG}", digest)

        tell("A mirror rule copies the plugin and gives it a new name. The second sync finds nothing to do.")
        mirror = stack.enter_context(Mirror(sections=rules(upstream.url)))
        command(mirror, "sync")
        command(mirror, "sync")

        tell("The upstream goes away for good.")
        upstream.stop()
        if answers(f"{upstream.url}/v2/"):
            raise SystemExit("the upstream was stopped but still answers")
        show(f"{upstream.host} refuses connections")

        tell(f"The mirror serves the plugin as {HERE}, byte for byte.")
        for name, found, expected in pulled(mirror.url, digest):
            if found != expected:
                raise SystemExit(f"the {name} has digest {found} instead of {expected}")
            show(f"{name:<9}{found}  verified")
        command(mirror, "inspect", "--quick", f"{HERE}:{TAG}")  # --quick, since the plugin's programs are stand-ins

        tell("A Docker Engine installs the plugin with the first of these lines. The driver learns its new name.")
        install(*install_words(mirror))

    tell(f"Done in {time.monotonic() - begun:.0f} s. To mirror your own plugins, continue with the README.")
    return 0


@contextmanager
def an_upstream() -> Iterator[Upstream]:
    """Start a docker-registry if installed, otherwise another plugin-mirror."""
    with Mirror() if DockerRegistry.missing() else DockerRegistry() as upstream:
        kind = (
            "docker-registry"
            if isinstance(upstream, DockerRegistry)
            else "plugin-mirror (docker-registry is not installed)"
        )
        show(f"{kind} listens on {upstream.host}")
        yield upstream


def rules(url: str) -> dict[str, object]:
    """Return a configuration with one mirror rule for the upstream at `url`."""
    return {
        "upstreams": {"hub": {"url": url, "plain_http": True}},
        "mirrors": [
            {"name": "contiv", "from": f"hub/{THERE}", "to": HERE, "tags": {"include": ["1.0.0-beta.*"], "newest": 5}}
        ],
    }


def command(mirror: Mirror, *arguments: str) -> None:
    """Run a plugin-mirror command like a user, with its output on this terminal."""
    console.print(f"  $ plugin-mirror {' '.join(arguments)}", style="bold", markup=False)
    console.file.flush()  # the command writes to the same file, after the line above
    done = subprocess.run([PROGRAM, *arguments, "--config", str(mirror.config)], check=False)
    if done.returncode:
        raise SystemExit(f"plugin-mirror {arguments[0]} failed with exit code {done.returncode}")


def pulled(url: str, digest: str) -> Iterator[tuple[str, str, str]]:
    """Pull the plugin. Yield name, actual digest and expected digest of each part."""
    manifest = fetch(f"{url}/v2/{HERE}/manifests/{TAG}", MANIFEST_TYPE)
    yield "manifest", digest_of(manifest), digest
    described = json.loads(manifest)
    for name, blob in (("config", described["config"]), *(("layer", layer) for layer in described["layers"])):
        yield name, digest_of(fetch(f"{url}/v2/{HERE}/blobs/{blob['digest']}")), blob["digest"]


def fetch(url: str, accept: str = "*/*") -> bytes:
    """Return the body of a GET."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=30) as answer:
        content: bytes = answer.read()
        return content


def answers(url: str) -> bool:
    """Return True if a GET of `url` succeeds."""
    try:
        fetch(url)
    except OSError:
        return False
    return True


def install_words(mirror: Mirror) -> list[str]:
    """Return the command that `inspect` prints, without `docker`. The plugin's programs cannot be enabled."""
    told = mirror.command("inspect", f"{HERE}:{TAG}", "--as", "docker").stdout
    _, plugin, install, *words = shlex.split(told.splitlines()[0])
    return [plugin, install, "--disable", *words]


def install(*words: str) -> None:
    """Install the plugin with a private Docker Engine, otherwise with the machine's own engine if there is one."""
    name = f"{HERE}:{TAG}"
    why_not = Engine.missing()
    if why_not is None:
        try:
            with Engine() as engine:
                show(f"Docker Engine {engine.version()}, started for this demo")
                console.print(f"  $ docker {shlex.join(words)}", style="bold", markup=False)
                installed = engine.docker(*words, input_text="y\n")
                show(*installed.stdout.splitlines())
                show(*engine.docker("plugin", "ls").stdout.splitlines())
                if f"plugin_name={name}" not in engine.inspect_plugin(name)["Settings"]["Env"]:
                    raise SystemExit("the driver does not know its name")
            return
        except ServiceFailedError as error:
            why_not = f"a Docker Engine cannot start here: {str(error).splitlines()[-1]}"
    if shutil.which("docker") and run(["docker", "info"], check=False, timeout_seconds=10).exit_code == 0:
        show("using the Docker Engine of this machine")
        console.print(f"  $ docker {shlex.join(words)}", style="bold", markup=False)
        installed = run(["docker", *words], input_text="y\n")
        show(*installed.stdout.splitlines())
        run(["docker", "plugin", "rm", name])
        return
    show(f"skipped: {why_not}", "on a Docker host, run:", f"docker {shlex.join(words)}")


def tell(text: str) -> None:
    """Print the headline of a step."""
    console.print(f"\n{text}", style="bold cyan", markup=False)


def show(*lines: str) -> None:
    """Print indented lines."""
    for line in lines:
        console.print(f"  {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
