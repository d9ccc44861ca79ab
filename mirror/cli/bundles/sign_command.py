"""``plugin-mirror bundle sign``: add a signature to a bundle or a key set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import FoldersOption
from mirror.cli.options import JsonOption
from mirror.cli.printing import RESULTS, counted, print_json
from mirror.oci.printable_text import quoted
from mirror.oci.timestamps import machine_time

if TYPE_CHECKING:
    from mirror.bundle.format.envelope import Envelope
    from mirror.bundle.trust.signing_keys import SigningKey


def run(
    path: Annotated[
        Path, typer.Argument(metavar="F|SET.json", help="The bundle, the table of its parts, or a key set.")
    ],
    *,
    key: Annotated[Path, typer.Option("--key", metavar="F", help="The private key.")],
    folders: FoldersOption = None,
    json: JsonOption = False,
) -> None:
    """Add a signature to a bundle or a key set, in place.

    The bundle is not read or copied, whatever its size. The signature covers
    the statement, and the statement covers every byte. Signing again with the
    same key changes nothing.
    """
    from mirror.bundle.trust.bundle_signing import is_key_set_file
    from mirror.bundle.trust.signing_key_files import load_signing_key

    async def work() -> tuple[dict[str, Any], str]:
        signing_key = await load_signing_key(key)
        if await is_key_set_file(path):
            return await _signed_key_set(path, signing_key)
        return await _signed_bundle(path, folders or [], signing_key)

    signed, described = run_to_the_end(work())
    if json:
        return print_json({"file": str(path), **signed})
    RESULTS.out(f"{path}: {described}", highlight=False)
    RESULTS.out(f"  signed by {signed['key_id']}", highlight=False)
    for key_id in signed["other_signatures"]:
        # Anybody can write such a name into the file.
        RESULTS.out(f"  a signature that names the key {quoted(key_id, 64)} was not checked", highlight=False)
    return None


async def _signed_bundle(path: Path, folders: list[Path], key: SigningKey) -> tuple[dict[str, Any], str]:
    from mirror.bundle.trust.bundle_signing import sign_bundle

    head, envelope = await sign_bundle(path, folders, key)
    statement = head.statement
    described = (
        f"bundle {statement.serial} of stream {statement.stream}, made {machine_time(statement.created)}, "
        f"with {counted(len(head.names), 'name')}"
    )
    found = {
        "stream": statement.stream,
        "serial": statement.serial,
        "created": machine_time(statement.created),
        "statement": str(envelope.digest),
        **_signatures(envelope, key),
    }
    return found, described


async def _signed_key_set(path: Path, key: SigningKey) -> tuple[dict[str, Any], str]:
    from mirror.bundle.trust.bundle_signing import sign_key_set

    signed = await sign_key_set(path, key)
    key_set = signed.key_set
    described = f"key set {key_set.version}, {key_set.demand}"
    found = {
        "version": key_set.version,
        "digest": str(key_set.digest),
        **_signatures(signed.envelope, key),
    }
    return found, described


def _signatures(envelope: Envelope, key: SigningKey) -> dict[str, Any]:
    own = key.public.key_id
    others = [signature.key_id for signature in envelope.signatures if signature.key_id != own]
    return {"key_id": own, "other_signatures": others}
