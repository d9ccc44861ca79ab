"""cosign as another real client of a registry: signatures by key, without any transparency log.

A signature is kept in one of two ways: under a tag made of the digest (`sha256-….sig`, the default), or as an OCI 1.1
referrer (`referrers=True`). References name a digest: `127.0.0.1:PORT/NAME@sha256:…`.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.harness import command, trixie
from tests.harness.command import LOOPBACK_ONLY, CompletedRun

_PLAIN_HTTP = ("--allow-http-registry", "--allow-insecure-registry")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of a key pair; its password is empty."""

    private: Path
    public: Path


def missing() -> str | None:
    """What must be done first, or None."""
    return trixie.missing(trixie.COSIGN)


def generate_key_pair(folder: Path) -> KeyPair:
    """Make a key pair in `folder`, which must not hold one yet."""
    _cosign("generate-key-pair", folder=folder)
    return KeyPair(folder / "cosign.key", folder / "cosign.pub")


def sign(reference: str, keys: KeyPair, *, referrers: bool = False, check: bool = True) -> CompletedRun:
    """Sign what `reference` names and push the signature beside it."""
    mode = ["--registry-referrers-mode=oci-1-1"] if referrers else []
    flags = ["--key", str(keys.private), "--tlog-upload=false", "--yes", *mode]
    return _cosign("sign", *flags, *_PLAIN_HTTP, reference, check=check)


def verify(reference: str, keys: KeyPair, *, referrers: bool = False, check: bool = True) -> CompletedRun:
    """Verify the signatures of `reference`; the verified claims are JSON in `stdout`."""
    mode = ["--experimental-oci11"] if referrers else []
    flags = ["--key", str(keys.public), "--insecure-ignore-tlog", *mode]
    return _cosign("verify", *flags, *_PLAIN_HTTP, reference, check=check)


def tree(reference: str, *, check: bool = True) -> CompletedRun:
    """Show what is kept about `reference` under tags; referrers are not shown (cosign 2.5), `oras.discover` does."""
    return _cosign("tree", *_PLAIN_HTTP, reference, check=check)


def _cosign(*arguments: str, folder: Path | None = None, check: bool = True) -> CompletedRun:
    environment = {**LOOPBACK_ONLY, "COSIGN_PASSWORD": "", "COSIGN_EXPERIMENTAL": "1"}
    return command.run([str(trixie.COSIGN), *arguments], environment=environment, folder=folder, check=check)
