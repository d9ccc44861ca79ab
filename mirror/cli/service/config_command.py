"""``plugin-mirror config``: check and print the configuration, and print its JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml

from mirror.admission.key_files import KeyFiles
from mirror.cli.exit_codes import ANSWER_IS_NO
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings, schema
from mirror.settings.server.token_issuer_settings import TokenIssuerSettings
from mirror.sync.rules.rule_overlap import overlap_warnings


def check(
    config: ConfigOption = None,
    data: DataOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Say whether this caller may do what --can names: a user, 'anonymous', or a client such as "
            "cert:CN=host-12.",
        ),
    ] = None,
    can: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--can",
            metavar="ACTION REPOSITORY",
            help="Action of access rules, and the name of a repository, or '**' for all.",
        ),
    ] = None,
) -> None:
    """Check the configuration, or the rights that it gives a caller.

    Warnings about mirror rules that may want the same tags, and about files of
    server.tls, keys of admission rules, keys of the token issuer and secrets of
    events that this machine cannot use, are printed.
    Exit code 0: it is valid. Exit code 2: it is invalid, and each mistake is
    printed on one line. With --as and --can, the rule that decides is printed.
    Exit code 0: the caller may. Exit code 1: the caller may not.
    """
    if (name is None) != (can is None):
        raise ConfigurationFault("--as and --can belong together; fix: write --as NAME --can ACTION REPOSITORY")
    settings = settings_of(config, data)
    if name is not None and can is not None:
        # Imported late: other checks need no server.
        from mirror.cli.service.access_answer import answer

        if not answer(settings, name, *can):
            raise typer.Exit(ANSWER_IS_NO)
        return
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.events.event_sending import secret_faults

    if settings.server.tls is not None:
        _warn_about_certificates(settings)
    for warning in overlap_warnings(section.rule() for section in settings.mirrors):
        MESSAGES.out(f"warning: {warning}", highlight=False)
    rules = (
        f"{len(settings.upstreams)} upstreams, {len(settings.mirrors)} mirror rules, {len(settings.proxy)} proxy rules"
    )
    if settings.server.token_issuer is not None:
        _warn_about_issuer_keys(settings.server.token_issuer)
    faults = (*KeyFiles.read(settings.admission.key_files).faults, *secret_faults(settings.events))
    for sentence in (*faults, *settings.advice()):
        MESSAGES.out(f"warning: {sentence}", highlight=False)
    RESULTS.out(f"{config or 'the defaults'}: valid ({rules})")


def _warn_about_certificates(settings: Settings) -> None:
    from mirror.app.tls.tls_listening import server_contexts

    try:
        server_contexts(settings)
    except ConfigurationFault as fault:
        # Not an error: the configuration may be checked on another machine than that of the server.
        MESSAGES.out(f"warning: {fault}", highlight=False)


def _warn_about_issuer_keys(issuer: TokenIssuerSettings) -> None:
    from mirror.access.issuer.key_sources import KeyFile

    try:
        if issuer.jwks_file is not None:
            KeyFile(issuer.jwks_file, SystemClock())
    except ConfigurationFault as fault:
        MESSAGES.out(f"warning: {fault}", highlight=False)  # as above


def show(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Print the effective settings.

    They are the defaults, overridden by the file, the environment and flags.
    """
    shown = settings_of(config, data).shown()
    if json:
        print_json(shown)
    else:
        # In the order of the documentation. The output is itself a valid configuration file.
        RESULTS.out(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="", highlight=False)


def print_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    print_json(schema())
