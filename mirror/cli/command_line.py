"""The program ``plugin-mirror``: its commands."""

from __future__ import annotations

import gc
import sys
from typing import Annotated, NoReturn

import typer

from mirror import __version__
from mirror.cli import exit_codes
from mirror.cli.bundles import (
    bundle_options,
    export_command,
    fetch_command,
    import_command,
    installer_command,
    join_command,
    keys_command,
    receipt_command,
    show_command,
    sign_command,
    split_command,
    trust_command,
    verify_command,
)
from mirror.cli.events import audit_command, events_command
from mirror.cli.failure_report import CTRL_C, flush_output, reported, tell_interrupted
from mirror.cli.hosts import doctor_command, host_apply_command, host_check_command, host_options
from mirror.cli.plugins import (
    capture_command,
    derive_command,
    diff_command,
    inspect_command,
    lint_command,
    ls_command,
    pack_command,
    plugin_sign_command,
    plugin_verify_command,
    tag_command,
    unpack_command,
)
from mirror.cli.service import (
    admission_command,
    config_command,
    serve_command,
    status_command,
    sync_command,
    token_command,
    user_command,
)
from mirror.cli.storage import (
    backup_command,
    gc_command,
    pin_command,
    quota_command,
    recover_command,
    restore_command,
    rm_command,
    scrub_command,
    stats_command,
)
from mirror.cli.tls import (
    host_setup_command,
    tls_client_command,
    tls_init_command,
    tls_options,
    tls_renew_command,
    tls_show_command,
)

_EXAMPLE_SERVE = "Example: plugin-mirror serve --listen 127.0.0.1:5001 --data /srv/plugins"
_EXAMPLE_SYNC = "Example: plugin-mirror sync contiv --config config/contiv-offline.yaml"
_EXAMPLE_STATUS = "Example: plugin-mirror status --config config/contiv-offline.yaml"
_EXAMPLE_LS = "Example: plugin-mirror ls contiv/v2plugin"
_EXAMPLE_INSPECT = "Example: plugin-mirror inspect contiv/v2plugin:1.0.0-beta.3"
_EXAMPLE_TAG = "Example: plugin-mirror tag contiv/v2plugin:1.0.0-beta.3 site/network:stable"
_EXAMPLE_SIGN = "Example: plugin-mirror sign contiv/v2plugin:1.0.0-beta.3 --key site.key --data /srv/plugins"
_EXAMPLE_VERIFY = "Example: plugin-mirror verify contiv/v2plugin:1.0.0-beta.3 --key contiv.pub --data /srv/plugins"
_EXAMPLE_DERIVE = (
    "Example: plugin-mirror derive contiv/v2plugin:1.0.0-beta.3 site/network:1.0 "
    "--env plugin_name=site/network:1.0 --env cluster_store=etcd://10.0.0.5:2379"
)
_EXAMPLE_LINT = "Example: plugin-mirror lint ./my-plugin --platform linux/arm64"
_EXAMPLE_DIFF = "Example: plugin-mirror diff contiv/v2plugin:1.0.0-beta.3 contiv/v2plugin:1.0.0"
_EXAMPLE_PACK = "Example: plugin-mirror pack ./v2plugin -t contiv/v2plugin:1.0 --set PluginName=contiv/v2plugin:1.0"
_EXAMPLE_UNPACK = "Example: plugin-mirror unpack contiv/v2plugin:1.0 ./v2plugin"
_EXAMPLE_DOCTOR = "Example: plugin-mirror doctor mirror:5000/contiv/v2plugin:1.0"
_EXAMPLE_HOST_CHECK = (
    "Example: plugin-mirror host check mirror:5000/contiv/v2plugin:1.0 --alias contiv/v2plugin:1.0 "
    "--set plugin_name=contiv/v2plugin:1.0"
)
_EXAMPLE_HOST_APPLY = "Example: plugin-mirror host apply /etc/docker/plugins.yaml --grant sha256:…"
_EXAMPLE_HOST_SCHEMA = "Example: plugin-mirror host schema > host-plugins.schema.json"
_EXAMPLE_BUNDLE_INSTALLER = "Example: plugin-mirror bundle installer -o /media/stick/install-plugin"
_EXAMPLE_GC = "Example: plugin-mirror gc --dry-run --data /srv/plugins"
_EXAMPLE_BACKUP = "Example: plugin-mirror backup /mnt/backup/plugins --data /srv/plugins"
_EXAMPLE_RESTORE = "Example: plugin-mirror restore /mnt/backup/plugins --data /srv/plugins"
_EXAMPLE_RECOVER = "Example: plugin-mirror recover --data /srv/plugins"
_EXAMPLE_PIN = 'Example: plugin-mirror pin contiv/v2plugin:1.0 --note "the last one for engine 1.13"'
_EXAMPLE_UNPIN = "Example: plugin-mirror unpin contiv/v2plugin:1.0"
_EXAMPLE_STATS = "Example: plugin-mirror stats --data /srv/plugins"
_EXAMPLE_SCRUB = "Example: plugin-mirror scrub --rate 50MB/s --data /srv/plugins"
_EXAMPLE_RM = "Example: plugin-mirror rm contiv/v2plugin:1.0.0-beta.3 --data /srv/plugins"
_EXAMPLE_CAPTURE = "Example: plugin-mirror capture store/contiv/v2plugin:1.0 -t contiv/v2plugin:1.0"
_EXAMPLE_BUNDLE_RECEIPT = "Example: plugin-mirror bundle receipt -o site.receipt"
_EXAMPLE_BUNDLE_SHOW = "Example: plugin-mirror bundle show /media/stick/site.tar --key site-key.pub"
_EXAMPLE_BUNDLE_EXPORT = (
    "Example: plugin-mirror bundle export -o site.tar --key site-key --rule contiv vieux/sshfs:latest --since 12"
)
_EXAMPLE_FETCH = "Example: plugin-mirror fetch -o site.tar --key site-key vieux/sshfs:latest ghcr.io/acme/driver:2.1"
_EXAMPLE_BUNDLE_KEYGEN = "Example: plugin-mirror bundle keygen site-key"
_EXAMPLE_BUNDLE_KEYSET = (
    "Example: plugin-mirror bundle keyset -o keys-2.json new.pub anna.pub --threshold 2 --after site-key.pub "
    "--key site-key --key new --key anna"
)
_EXAMPLE_BUNDLE_SIGN = "Example: plugin-mirror bundle sign site.tar --key anna"
_EXAMPLE_BUNDLE_TRUST = "Example: plugin-mirror bundle trust site-key.pub --data /srv/plugins"
_EXAMPLE_BUNDLE_SPLIT = "Example: plugin-mirror bundle split site.tar -o /media/stick"
_EXAMPLE_BUNDLE_VERIFY = "Example: plugin-mirror bundle verify /media/stick/site.tar --key site-key.pub"
_EXAMPLE_BUNDLE_JOIN = (
    "Example: plugin-mirror bundle join /media/stick/site.tar.parts.json -o site.tar --parts /media/stick2"
)
_EXAMPLE_BUNDLE_IMPORT = "Example: plugin-mirror bundle import /media/stick/site.tar --key site-key.pub"
_EXAMPLE_TLS_INIT = "Example: plugin-mirror tls init --san mirror.example --san 10.1.2.3 --data /srv/plugins"
_EXAMPLE_TLS_HOST_SETUP = "Example: plugin-mirror tls host-setup mirror.example:5000 | ssh root@host-12 sh"
_EXAMPLE_TLS_SHOW = "Example: plugin-mirror tls show --config /etc/plugin-mirror/config.yaml"
_EXAMPLE_TLS_RENEW = "Example: plugin-mirror tls renew --config /etc/plugin-mirror/config.yaml"
_EXAMPLE_TLS_CLIENT = "Example: plugin-mirror tls client host-12 --days 730 --data /srv/plugins"
_EXAMPLE_TLS_REVOKE = "Example: plugin-mirror tls revoke host-12 --data /srv/plugins"

application = typer.Typer(
    name="plugin-mirror",
    help="A registry, proxy and mirror for Docker plugins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # run() prints errors, and --debug the traceback
)
application.command("serve", epilog=_EXAMPLE_SERVE)(serve_command.run)
application.command("sync", epilog=_EXAMPLE_SYNC)(sync_command.run)
application.command("status", epilog=_EXAMPLE_STATUS)(status_command.run)
application.command("ls", epilog=_EXAMPLE_LS)(ls_command.run)
application.command("inspect", epilog=_EXAMPLE_INSPECT)(inspect_command.run)
application.command("tag", epilog=_EXAMPLE_TAG)(tag_command.run)
application.command("sign", epilog=_EXAMPLE_SIGN)(plugin_sign_command.run)
application.command("verify", epilog=_EXAMPLE_VERIFY)(plugin_verify_command.run)
application.command("derive", epilog=_EXAMPLE_DERIVE)(derive_command.run)
application.command("lint", epilog=_EXAMPLE_LINT)(lint_command.run)
application.command("diff", epilog=_EXAMPLE_DIFF)(diff_command.run)
application.command("pack", epilog=_EXAMPLE_PACK)(pack_command.run)
application.command("unpack", epilog=_EXAMPLE_UNPACK)(unpack_command.run)
application.command("capture", epilog=_EXAMPLE_CAPTURE)(capture_command.run)
application.command("fetch", epilog=_EXAMPLE_FETCH)(fetch_command.run)
application.command("gc", epilog=_EXAMPLE_GC)(gc_command.run)
application.command("backup", epilog=_EXAMPLE_BACKUP)(backup_command.run)
application.command("restore", epilog=_EXAMPLE_RESTORE)(restore_command.run)
application.command("recover", epilog=_EXAMPLE_RECOVER)(recover_command.run)
application.command("pin", epilog=_EXAMPLE_PIN)(pin_command.pin)
application.command("unpin", epilog=_EXAMPLE_UNPIN)(pin_command.unpin)
application.command("stats", epilog=_EXAMPLE_STATS)(stats_command.run)
application.command("scrub", epilog=_EXAMPLE_SCRUB)(scrub_command.run)
application.command("rm", epilog=_EXAMPLE_RM)(rm_command.run)
application.command("doctor", epilog=_EXAMPLE_DOCTOR)(doctor_command.run)
host_options.app.command("check", epilog=_EXAMPLE_HOST_CHECK)(host_check_command.run)
host_options.app.command("apply", epilog=_EXAMPLE_HOST_APPLY)(host_apply_command.apply)
host_options.app.command("schema", epilog=_EXAMPLE_HOST_SCHEMA)(host_apply_command.schema)
application.add_typer(host_options.app, name="host")
# In the order of use, as --help lists them.
bundle_options.app.command("keygen", epilog=_EXAMPLE_BUNDLE_KEYGEN)(keys_command.keygen)
bundle_options.app.command("keyset", epilog=_EXAMPLE_BUNDLE_KEYSET)(keys_command.keyset)
bundle_options.app.command("trust", epilog=_EXAMPLE_BUNDLE_TRUST)(trust_command.run)
bundle_options.app.command("export", epilog=_EXAMPLE_BUNDLE_EXPORT)(export_command.run)
bundle_options.app.command("sign", epilog=_EXAMPLE_BUNDLE_SIGN)(sign_command.run)
bundle_options.app.command("split", epilog=_EXAMPLE_BUNDLE_SPLIT)(split_command.run)
bundle_options.app.command("join", epilog=_EXAMPLE_BUNDLE_JOIN)(join_command.run)
bundle_options.app.command("verify", epilog=_EXAMPLE_BUNDLE_VERIFY)(verify_command.run)
bundle_options.app.command("show", epilog=_EXAMPLE_BUNDLE_SHOW)(show_command.run)
bundle_options.app.command("import", epilog=_EXAMPLE_BUNDLE_IMPORT)(import_command.run)
bundle_options.app.command("receipt", epilog=_EXAMPLE_BUNDLE_RECEIPT)(receipt_command.run)
bundle_options.app.command("installer", epilog=_EXAMPLE_BUNDLE_INSTALLER)(installer_command.run)
application.add_typer(bundle_options.app, name="bundle")
tls_options.app.command("init", epilog=_EXAMPLE_TLS_INIT)(tls_init_command.run)
tls_options.app.command("host-setup", epilog=_EXAMPLE_TLS_HOST_SETUP)(host_setup_command.run)
tls_options.app.command("show", epilog=_EXAMPLE_TLS_SHOW)(tls_show_command.run)
tls_options.app.command("renew", epilog=_EXAMPLE_TLS_RENEW)(tls_renew_command.run)
tls_options.app.command("client", epilog=_EXAMPLE_TLS_CLIENT)(tls_client_command.client)
tls_options.app.command("revoke", epilog=_EXAMPLE_TLS_REVOKE)(tls_client_command.revoke)
application.add_typer(tls_options.app, name="tls")
application.add_typer(admission_command.app, name="admission")
application.add_typer(audit_command.app, name="audit")
application.add_typer(events_command.app, name="events")
application.add_typer(pin_command.app, name="pins")
application.add_typer(config_command.app, name="config")
application.add_typer(user_command.app, name="user")
application.add_typer(token_command.app, name="token")
application.add_typer(quota_command.app, name="quota")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plugin-mirror {__version__}")
        raise typer.Exit


@application.callback()
def _options(
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Works with every command.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Accept the options that are given before the command."""


def main() -> NoReturn:
    """Run the command line of this process, and exit with the exit code of the command."""
    gc.freeze()  # what was imported is not looked through again
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    # Typer accepts --debug before the command only. Users add it to the end of a line that has just failed.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        # Outside of its standalone mode, typer leaves all errors to the caller.
        code = application(arguments, prog_name="plugin-mirror", standalone_mode=False)
        flush_output()
    except BaseException as failure:
        told = reported(failure, trace=debug)
        if told is None:
            raise
        return told
    if code == CTRL_C:
        return tell_interrupted()
    return code if isinstance(code, int) else exit_codes.DONE
