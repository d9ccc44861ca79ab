"""``plugin-mirror lint``: find the reasons why a plugin cannot be enabled, on any host or on some."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import PublicKeysOption, signature_check
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.plugin_sources import SOURCE_HELP, PlainHttpOption, name_of, parse_source, tag_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.progress_bars import TagBars

if TYPE_CHECKING:
    from mirror.plugin.lint.plugin_view import PluginView


def run(
    source: Annotated[str, typer.Argument(metavar="REF|DIR|FILE", help=SOURCE_HELP)],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    public_keys: PublicKeysOption = None,
    platform: Annotated[
        str | None,
        typer.Option(
            metavar="OS/ARCH", help="Platform of the hosts, such as linux/arm64. Default: the platform in the tag."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find the reasons why a plugin cannot be enabled, on any host or on some.

    Exit code 1: a finding is an error.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_inspection import read_plugin
    from mirror.cli.plugin_output import print_findings
    from mirror.plugin.lint.plugin_view import view_plugin
    from mirror.plugin.rootfs.platform import Platform

    parsed = parse_source(source)
    hosts = None if platform is None else Platform.parse(platform)
    settings = settings_of(config, data)
    check = signature_check(public_keys, parsed)
    with TagBars(MESSAGES) as bars:
        work = read_plugin(settings, parsed, bars.begin(str(parsed)), plain_http=plain_http, check=check)
        found = view_plugin(run_to_the_end(work), tag_of(parsed), hosts, name=name_of(parsed))
    if json:
        print_json(
            {
                "source": str(parsed),
                "platform": found.platform and str(found.platform),
                "findings": [finding.to_json() for finding in found.findings],
            }
        )
    else:
        print_findings(found.findings)
        RESULTS.out(f"{parsed}: {_summary(found)}", highlight=False)
    if found.has_errors:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _summary(found: PluginView) -> str:
    from mirror.plugin.findings.finding import Severity

    count = Counter(finding.severity for finding in found.findings)
    told = [
        f"{count[severity]} {severity.value}{'s' * (count[severity] > 1)}" for severity in Severity if count[severity]
    ]
    return ", ".join(told) or "no findings"
