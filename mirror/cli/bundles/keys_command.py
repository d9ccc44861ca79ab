"""``plugin-mirror bundle keygen`` and ``keyset``: make keys that sign bundles, and sets of keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import JsonOption, pairs
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci.errors import ConfigurationFault

if TYPE_CHECKING:
    from mirror.bundle.trust.key_set import KeySet, SignedKeySet


def keygen(
    path: Annotated[Path, typer.Argument(metavar="F", help="File for the private key. The public key goes to F.pub.")],
    *,
    json: JsonOption = False,
) -> None:
    """Make a pair of keys that signs bundles: F for the sender, F.pub for everybody.

    F is not encrypted, and only its owner can read it. Nothing is overwritten.
    """
    from mirror.bundle.trust.signing_key_files import make_key_files, public_key_path

    key = run_to_the_end(make_key_files(path))
    if json:
        return print_json({"private_key": str(path), "public_key": str(public_key_path(path)), "key_id": key.key_id})
    RESULTS.out(f"{path}      private key: keep it secret, and keep a copy in a safe place", highlight=False)
    RESULTS.out(f"{public_key_path(path)}  public key: for those who check bundles", highlight=False)
    RESULTS.out(f"fingerprint {key.key_id}", highlight=False)
    return None


def keyset(
    public_keys: Annotated[
        list[Path], typer.Argument(metavar="F.pub…", help="Public keys of the set: all of them, also those that stay.")
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="SET.json", help="File for the new key set.")],
    threshold: Annotated[
        int, typer.Option("--threshold", "-t", metavar="N", help="Number of keys that must sign a bundle.")
    ] = 1,
    after: Annotated[
        Path | None,
        typer.Option("--after", metavar="SET|F.pub", help="Key set or public key that the new set replaces."),
    ] = None,
    resets: Annotated[
        list[str] | None,
        typer.Option(
            "--reset",
            metavar="STREAM=SERIAL",
            help="Let sites go on after this serial, also if a lost key has signed higher ones. Repeatable.",
        ),
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="F", help="Sign the set with this private key at once. Repeatable."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a set of keys, of which N must sign each bundle, or the next set after another one.

    A first set needs signatures by N of its keys. A next set also needs those
    that the former set asks for. 'bundle sign SET.json --key F' adds them.
    """
    from mirror.bundle.trust.key_set import KeySet
    from mirror.bundle.trust.key_set_files import load_key_set, write_key_set
    from mirror.bundle.trust.signing_key_files import load_signing_key, load_verifying_key

    serials = {stream: _serial(stream, text) for stream, text in pairs("--reset", resets or ()).items()}

    async def work() -> tuple[KeySet | None, SignedKeySet]:
        former = None if after is None else (await load_key_set(after)).key_set
        members = [await load_verifying_key(path) for path in public_keys]
        signers = [await load_signing_key(path) for path in keys or ()]
        new = KeySet.of_keys(members, threshold, former, serials)
        return former, await write_key_set(output, new, signers)

    former, made = run_to_the_end(work())
    key_set = made.key_set
    missing = made.missing_signatures(former)
    if json:
        return print_json(
            {
                "file": str(output),
                "version": key_set.version,
                "threshold": key_set.threshold,
                "digest": str(key_set.digest),
                "keys": list(key_set.key_ids),
                "missing_signatures": list(missing),
            }
        )
    RESULTS.out(f"{output}: key set {key_set.version}, {key_set.demand}", highlight=False)
    RESULTS.out(f"fingerprint {key_set.fingerprint}", highlight=False)
    for line in missing:
        MESSAGES.out(f"note: {line}; fix: 'plugin-mirror bundle sign {output} --key F'", highlight=False)
    return None


def _serial(stream: str, text: str) -> int:
    from mirror.bundle.format.statement import MOST_SERIAL

    if not text.isascii() or not text.isdigit() or int(text[:20]) > MOST_SERIAL:
        raise ConfigurationFault(f"--reset {stream}={text} has no serial; fix: write a number from 0 to {MOST_SERIAL}")
    return int(text)
