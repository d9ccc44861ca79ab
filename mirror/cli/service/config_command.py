"""``plugin-mirror config``: check and print the configuration, and print its JSON Schema."""

from __future__ import annotations

import typer
import yaml

from mirror.admission.key_files import KeyFiles
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load, schema
from mirror.sync.rules.rule_overlap import overlap_warnings

app = typer.Typer(no_args_is_help=True, help="Check and print the configuration.")


@app.command(epilog="Example: plugin-mirror config check --config /etc/plugin-mirror/config.yaml")
def check(config: ConfigOption = None) -> None:
    """Check the configuration.

    Warnings about mirror rules that may want the same tags, and about files of
    server.tls, keys of admission rules and secrets of events that this machine
    cannot use, are printed.
    Exit code 0: it is valid. Exit code 2: it is invalid, and each mistake is
    printed on one line.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.events.event_sending import secret_faults

    settings = load(config)
    if settings.server.tls is not None:
        _warn_about_certificates(settings)
    for warning in overlap_warnings(section.rule() for section in settings.mirrors):
        MESSAGES.out(f"warning: {warning}", highlight=False)
    rules = (
        f"{len(settings.upstreams)} upstreams, {len(settings.mirrors)} mirror rules, {len(settings.proxy)} proxy rules"
    )
    faults = (*KeyFiles.read(settings.admission.key_files).faults, *secret_faults(settings.events))
    for sentence in (*faults, *settings.advice()):
        MESSAGES.out(f"warning: {sentence}", highlight=False)
    RESULTS.print(f"{config or 'the defaults'}: valid ({rules})")


def _warn_about_certificates(settings: Settings) -> None:
    from mirror.app.tls.tls_listening import server_contexts

    try:
        server_contexts(settings)
    except ConfigurationFault as fault:
        # Not an error: the configuration may be checked on another machine than that of the server.
        MESSAGES.out(f"warning: {fault}", highlight=False)


@app.command(epilog="Example: PLUGIN_MIRROR_SERVER__WORKERS=2 plugin-mirror config show")
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


@app.command(name="schema", epilog="Example: plugin-mirror config schema > plugin-mirror.schema.json")
def print_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    print_json(schema())
