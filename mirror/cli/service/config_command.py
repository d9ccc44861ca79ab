"""``plugin-mirror config``: check and print the configuration, and print its JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror.cli.exit_codes import ANSWER_IS_NO, DONE
from mirror.cli.options import ConfigOption, DataOption, JsonOption, configuration_file, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci.errors import ConfigurationFault


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
    json: JsonOption = False,
) -> None:
    """Check the configuration, or the rights that it gives a caller.

    Prints warnings about mirror rules that may want the same tags, and about
    files that this machine cannot use: those of server.tls, upstreams, admission
    rules, the token issuer and events.

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

        may, told = answer(settings, name, *can)
        if json:
            print_json({"allowed": may, "reason": told})
        else:
            RESULTS.out(told)
        raise typer.Exit(DONE if may else ANSWER_IS_NO)
    counts = {
        "upstreams": len(settings.upstreams),
        "mirror rules": len(settings.mirrors),
        "proxy rules": len(settings.proxy),
    }
    file = configuration_file(config)
    from mirror.app.configuration.configuration_warnings import configuration_warnings

    warnings = configuration_warnings(settings, file)
    if json:
        shown = {name.replace(" ", "_"): number for name, number in counts.items()}
        print_json({"file": file and str(file), "valid": True, **shown, "warnings": warnings})
        return
    for warning in warnings:
        MESSAGES.out(f"warning: {warning}", highlight=False)
    rules = ", ".join(f"{number} {name}" for name, number in counts.items())
    RESULTS.out(f"{file or 'the defaults'}: valid ({rules})")


def show(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Print the effective settings.

    They are the defaults, overridden by the file, the environment and flags.
    Logins in URLs, and the paths of webhooks, are replaced by (hidden).
    """
    import yaml  # late: the check of a configuration does not write one

    shown = settings_of(config, data).shown()
    if json:
        print_json(shown)
    else:
        # In the order of the documentation. The output is itself a valid configuration file.
        RESULTS.out(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="", highlight=False)


def print_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from mirror.settings import schema

    print_json(schema())
