"""``plugin-mirror sign``: sign content, so that a rule or cosign can verify who stands for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import RESULTS, print_json
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time

_LONGEST: Final = timedelta(days=36500)


def run(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="Content to sign: [HOST[:PORT]/]NAME[:TAG][@DIGEST].")
    ],
    *,
    key: Annotated[Path, typer.Option("--key", metavar="F", help="Private key in PEM: ECDSA on P-256, or Ed25519.")],
    valid_for: Annotated[
        str | None, typer.Option("--valid-for", metavar="TIME", help="The signature counts this long, such as 365d.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(envvar="PLUGIN_MIRROR_KEY_PASSWORD", help="Password of the key. Better in the environment."),
    ] = None,
    plain_http: PlainHttpOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Sign content, and store the signature beside it.

    The signature is a referrer in the format of cosign's simple signing:
    'cosign verify --experimental-oci11 --key F.pub' verifies it too. Make a key:
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out F
    openssl pkey -in F -pubout -out F.pub
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.signing.plugin_signing import sign_reference
    from mirror.runtime.durations import parse_duration

    span = None if valid_for is None else parse_duration(valid_for)
    if span is not None and span > _LONGEST:
        raise ConfigurationFault(f"--valid-for {valid_for} is too long; fix: give {_LONGEST.days}d or less")
    signed = run_to_the_end(
        sign_reference(
            settings_of(config, data),
            Reference.parse(reference),
            key,
            password=password,
            valid_for=span,
            plain_http=plain_http,
        )
    )
    if json:
        return print_json(signed.to_json())
    until = "" if signed.expires_at is None else f", until {machine_time(signed.expires_at)}"
    RESULTS.out(f"{signed.name}@{signed.subject} is signed by {signed.key}{until}", highlight=False)
    RESULTS.out(f"  signature {signed.signature}", highlight=False)
    return None
