"""``plugin-mirror diff``: compare two plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import PublicKeysOption, signature_check
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.plugin_sources import SOURCE_HELP, PlainHttpOption, parse_source
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.progress_bars import TagBars
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault, ManifestInvalid

if TYPE_CHECKING:
    from mirror.plugin.config.plugin_config import PluginConfig
    from mirror.plugin.lint.plugin_difference import PluginDifference
    from mirror.plugin.lint.plugin_view import PluginContent


def run(
    earlier: Annotated[str, typer.Argument(metavar="REF|DIR|FILE", help=SOURCE_HELP)],
    later: Annotated[str, typer.Argument(metavar="REF|DIR|FILE", help="The later plugin, in the same form.")],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    public_keys: PublicKeysOption = None,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Also print the commands that upgrade a host, and what they do not apply.")
    ] = False,
    alias: Annotated[
        str | None,
        typer.Option("--alias", metavar="NAME", help="Name of the plugin on the host. Default: the earlier REF."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the differences between two plugins.

    Exit code 1: the later plugin may do more to a host.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_inspection import read_plugin
    from mirror.cli.plugins.diff_output import difference_as_json, print_difference
    from mirror.cli.plugins.upgrade_output import names_of, print_upgrade, upgrade_as_json
    from mirror.plugin.config.own_name import own_names
    from mirror.plugin.policy.upgrade_plan import plan_upgrade

    settings = settings_of(config, data)
    local_name = None if alias is None else _alias(alias, upgrade=upgrade)
    sources = parse_source(earlier), parse_source(later)
    check = signature_check(public_keys, *sources)
    names = names_of(settings, sources, local_name) if upgrade else None
    contents: list[PluginContent] = []
    for source in sources:
        with TagBars(MESSAGES) as bars:
            work = read_plugin(settings, source, bars.begin(str(source)), plain_http=plain_http, check=check)
            contents.append(run_to_the_end(work))
    configs = _configs(*contents)
    found = _compared(configs, contents)
    own = {name.key for name in own_names(configs[1])}
    plan = None if names is None else plan_upgrade(*configs, *names, lambda setting: setting.key in own)
    if json:
        print_json(difference_as_json(found) | ({} if plan is None else {"upgrade": upgrade_as_json(plan)}))
    else:
        RESULTS.out(f"{earlier} -> {later}", style="bold", highlight=False)
        print_difference(found)
        if plan is not None:
            print_upgrade(plan)
    if found.grew:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _alias(text: str, *, upgrade: bool) -> Reference:
    """Parse the name of a plugin on its host.

    Raises:
        ConfigurationFault: nobody asked for an upgrade, or the name has a digest.
        NameInvalid: the text is not a name.
    """
    if not upgrade:
        raise ConfigurationFault("--alias has no meaning without --upgrade; fix: add --upgrade, or leave out --alias")
    name = Reference.parse(text)
    if name.digest is not None:
        raise ConfigurationFault(f"--alias {text}: the name of a plugin on a host has no digest; fix: write NAME[:TAG]")
    return name


def _configs(before: PluginContent, after: PluginContent) -> tuple[PluginConfig, PluginConfig]:
    if before.config is None or after.config is None:
        unread = before if before.config is None else after
        raise ManifestInvalid(
            f"the plugins cannot be compared: {unread.findings[0].text if unread.findings else 'no config'}"
        )
    return before.config, after.config


def _compared(configs: tuple[PluginConfig, PluginConfig], contents: list[PluginContent]) -> PluginDifference:
    from mirror.plugin.lint.plugin_difference import compare_plugins

    trees = [content.rootfs.tree if content.rootfs is not None else None for content in contents]
    # A tree that was cut off at a limit would show the missing files as removed.
    if any(tree is not None and not tree.whole for tree in trees):
        trees = [None, None]
    return compare_plugins(*configs, trees[0], trees[1])
