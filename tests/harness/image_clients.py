"""Clients of images that differ in their code: each pulls a reference and pushes what it has pulled."""

import re
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from tests.harness import oras, skopeo
from tests.harness.command import LOOPBACK_ONLY, run
from tests.harness.engine import Engine
from tests.harness.packing import digest_of

_NAMESPACE = "images"


class ImageClient(ABC):
    """A program with a local storage of images. References are `127.0.0.1:PORT/NAME:TAG`."""

    @abstractmethod
    def pull(self, reference: str) -> str:
        """Pull an image into the empty storage and return the digest of its manifest."""

    @abstractmethod
    def push(self, held: str, reference: str) -> str:
        """Push the pulled image `held` as `reference` and return the digest of the manifest at the registry."""

    @abstractmethod
    def forget(self) -> None:
        """Remove all images from the storage."""


class Containers(ImageClient):
    """podman or buildah, which share code and storage. Files stay below `folder`. The programs use no namespaces."""

    def __init__(self, program: str, folder: Path) -> None:
        self._folder = folder
        self._argv = self.command(program, folder)
        if program == "podman":
            self._inspect = ["image", "inspect", "--format={{.Digest}}"]
        else:
            self._inspect = ["inspect", "--type=image", "--format={{.FromImageDigest}}"]

    @staticmethod
    def missing(program: str) -> str | None:
        """Return a sentence that names the missing package, or None."""
        return None if shutil.which(program) else f"{program} is not installed (Debian: apt-get install {program})"

    @staticmethod
    def command(program: str, folder: Path) -> list[str]:
        """Return the program and the arguments that let it keep its files below `folder`."""
        argv = [program, f"--root={folder / 'root'}", f"--runroot={folder / 'run'}", "--storage-driver=vfs"]
        return [*argv, f"--tmpdir={folder / 'tmp'}", "--events-backend=none"] if program == "podman" else argv

    def pull(self, reference: str) -> str:
        self._run("pull", "--quiet", "--tls-verify=false", reference)
        return self._run(*self._inspect, reference).strip()

    def push(self, held: str, reference: str) -> str:
        digest = self._folder / "digest"
        self._run("push", "--tls-verify=false", f"--digestfile={digest}", held, f"docker://{reference}")
        return digest.read_text()

    def forget(self) -> None:
        self._run("rmi", "--all", "--force")

    def _run(self, *arguments: str) -> str:
        environment = {**LOOPBACK_ONLY, "HOME": str(self._folder), "XDG_RUNTIME_DIR": str(self._folder)}
        return run([*self._argv, *arguments], environment=environment).stdout


class Skopeo(ImageClient):
    """skopeo with a folder as storage."""

    missing: ClassVar = staticmethod(skopeo.missing)

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "image"

    def pull(self, reference: str) -> str:
        skopeo.copy(f"docker://{reference}", f"dir:{self._folder}")
        return digest_of((self._folder / "manifest.json").read_bytes())

    def push(self, held: str, reference: str) -> str:
        skopeo.copy(f"dir:{self._folder}", f"docker://{reference}")
        return digest_of(skopeo.inspect(f"docker://{reference}", raw=True).stdout_bytes)

    def forget(self) -> None:
        shutil.rmtree(self._folder)


class Oras(ImageClient):
    """oras with an OCI layout as storage."""

    missing: ClassVar = staticmethod(oras.missing)

    def __init__(self, folder: Path) -> None:
        self._layout = folder / "layout"

    def pull(self, reference: str) -> str:
        copied = oras.oras("copy", "--from-plain-http", reference, "--to-oci-layout", f"{self._layout}:1")
        return _digest_in(copied.stdout)

    def push(self, held: str, reference: str) -> str:
        copied = oras.oras("copy", "--from-oci-layout", f"{self._layout}:1", "--to-plain-http", reference)
        return _digest_in(copied.stdout)

    def forget(self) -> None:
        shutil.rmtree(self._layout)


class Docker(ImageClient):
    """The client of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: set[str] = set()

    def pull(self, reference: str) -> str:
        self._held.add(reference)
        return _digest_in(self._engine.docker("pull", reference).stdout)

    def push(self, held: str, reference: str) -> str:
        self._engine.docker("tag", held, reference)
        self._held.add(reference)
        return _digest_in(self._engine.docker("push", reference).stdout)

    def forget(self) -> None:
        self._engine.docker("image", "rm", "--force", *self._held)
        self._held.clear()


class Ctr(ImageClient):
    """containerd's own client `ctr`, at the containerd of an engine.

    Args:
        engine: Running engine.
        program: `ctr` of the engine's release.
    """

    def __init__(self, engine: Engine, program: Path) -> None:
        socket = engine.folder / "exec/containerd/containerd.sock"
        self._argv = [str(program), f"--address={socket}", f"--namespace={_NAMESPACE}"]

    def pull(self, reference: str) -> str:
        self._images("pull", "--plain-http", "--snapshotter=native", reference)
        return _digest_in(self._images("ls", f"name=={reference}"))

    def push(self, held: str, reference: str) -> str:
        self._images("tag", held, reference)
        self._images("push", "--plain-http", reference)
        return _digest_in(self._images("ls", f"name=={reference}"))

    def forget(self) -> None:
        self._images("rm", "--sync", *self._images("ls", "--quiet").split())

    def _images(self, *arguments: str) -> str:
        return run([*self._argv, "images", *arguments], environment=LOOPBACK_ONLY).stdout


def _digest_in(text: str) -> str:
    found = re.search(r"sha256:[0-9a-f]{64}", text)
    assert found, text
    return found[0]
