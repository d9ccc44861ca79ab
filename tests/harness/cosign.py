"""cosign as another real registry client: signatures by key, without a transparency log.

Signatures are stored in one of two ways: under a tag derived from the digest (`sha256-….sig`, the default) or as an
OCI 1.1 referrer (`referrers=True`). References name a digest: `127.0.0.1:PORT/NAME@sha256:…`.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.harness import command, trixie
from tests.harness.command import LOOPBACK_ONLY, CompletedRun

_PLAIN_HTTP = ("--allow-http-registry", "--allow-insecure-registry")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Files of a key pair. The private key has an empty password."""

    private: Path
    public: Path


def missing() -> str | None:
    """Return a sentence that says how to fetch cosign, or None if cosign is available."""
    return trixie.missing(trixie.COSIGN)


def generate_key_pair(folder: Path) -> KeyPair:
    """Create a key pair in `folder`, which must not contain one yet."""
    _cosign("generate-key-pair", folder=folder)
    return KeyPair(folder / "cosign.key", folder / "cosign.pub")


def sign(
    reference: str, keys: KeyPair, *, referrers: bool = False, login: Path | None = None, check: bool = True
) -> CompletedRun:
    """Sign the content that `reference` names and push the signature to the same repository.

    `login` is a folder with the file `config.json` of Docker's command line, with logins.
    """
    mode = ["--registry-referrers-mode=oci-1-1"] if referrers else []
    flags = ["--key", str(keys.private), "--tlog-upload=false", "--yes", *mode]
    return _cosign("sign", *flags, *_PLAIN_HTTP, reference, login=login, check=check)


def sign_with_bundle(reference: str, keys: KeyPair, login: Path | None = None) -> CompletedRun:
    """Sign content with a Sigstore bundle as a referrer: the statement that `cosign sign` of version 3 makes.

    cosign 2.5 makes such bundles for attestations only.
    """
    predicate = keys.private.with_name("predicate.json")
    predicate.write_text("{}")
    kind = ["--type", "https://sigstore.dev/cosign/sign/v1", "--predicate", str(predicate), "--new-bundle-format"]
    flags = ["--key", str(keys.private), "--tlog-upload=false", "--yes", *kind]
    return _cosign("attest", *flags, *_PLAIN_HTTP, reference, login=login)


def import_key_pair(private: Path, folder: Path) -> KeyPair:
    """Turn a private key in PEM into a key pair of cosign in `folder`, which must not contain one yet."""
    _cosign("import-key-pair", "--key", str(private), folder=folder)
    return KeyPair(folder / "import-cosign.key", folder / "import-cosign.pub")


def verify(reference: str, keys: KeyPair, *, referrers: bool = False, check: bool = True) -> CompletedRun:
    """Verify the signatures of `reference`. The verified claims are JSON in `stdout`."""
    mode = ["--experimental-oci11"] if referrers else []
    flags = ["--key", str(keys.public), "--insecure-ignore-tlog", *mode]
    return _cosign("verify", *flags, *_PLAIN_HTTP, reference, check=check)


def verify_blob_attestation(
    subject: Path, envelope: Path, kind: str, public: Path, *, check: bool = True
) -> CompletedRun:
    """Verify the DSSE envelope of an in-toto statement about a file.

    Args:
        subject: the file that the statement is about.
        envelope: the envelope.
        kind: predicate type of the statement.
        public: the public key.
        check: False to return a failed run instead of raising.
    """
    flags = ["--key", str(public), "--insecure-ignore-tlog", "--type", kind, "--signature", str(envelope)]
    return _cosign("verify-blob-attestation", *flags, str(subject), check=check)


def tree(reference: str, *, check: bool = True) -> CompletedRun:
    """Show the signatures and attestations that are stored under tags of `reference`.

    cosign 2.5 does not show referrers here. `oras.discover` does.
    """
    return _cosign("tree", *_PLAIN_HTTP, reference, check=check)


def _cosign(*arguments: str, folder: Path | None = None, login: Path | None = None, check: bool = True) -> CompletedRun:
    environment = {**LOOPBACK_ONLY, "COSIGN_PASSWORD": "", "COSIGN_EXPERIMENTAL": "1"}
    if login is not None:
        environment["DOCKER_CONFIG"] = str(login)
    return command.run([str(trixie.COSIGN), *arguments], environment=environment, folder=folder, check=check)
