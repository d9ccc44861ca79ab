"""``plugin-mirror verify``: verify the signatures of content."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import RESULTS, print_json
from mirror.oci import Reference


def run(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="Content to verify: [HOST[:PORT]/]NAME[:TAG][@DIGEST].")
    ],
    *,
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="F.pub", help="Public key in PEM. Repeatable. Default: the keys of all rules."),
    ] = None,
    threshold: Annotated[
        int, typer.Option("--threshold", "-t", metavar="N", min=1, help="Number of keys that must have signed.")
    ] = 1,
    plain_http: PlainHttpOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Verify the signatures of content: those of cosign with keys, and those of 'sign'.

    Nothing is asked of any service. Exit code 0: enough of the keys have signed.
    Exit code 1: they have not, and each signature is listed with its problem.
    """
    from mirror.app.signing.plugin_signing import verify_reference

    parsed = Reference.parse(reference)
    found = run_to_the_end(verify_reference(settings_of(config, data), parsed, keys or (), plain_http=plain_http))
    enough = len(found.signers) >= threshold
    if json:
        print_json({**found.to_json(), "threshold": threshold, "verified": enough})
    else:
        by = ", ".join(map(str, found.signers)) or "none of the keys"
        wanted = f", and {threshold} must have signed" if found.signers and not enough else ""
        RESULTS.out(f"{parsed.repository}@{found.subject} is signed by {by}{wanted}", highlight=False)
        for each in found.signatures:
            problem = found.problem(each)
            told = f"counts, by {each.key}" if problem is None else problem
            RESULTS.out(f"  {each.what}: {told}", highlight=False)
        if not found.signatures:
            RESULTS.out("  there is no signature", highlight=False)
    if not enough:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
