"""Output about the install of content: text for people, plain values for JSON, and one format alone for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mirror.authoring.installing.install_lines import CRASHES_ON_DIGEST, InstallLine, install_lines
from mirror.authoring.installing.install_plan import plan_install
from mirror.authoring.installing.install_script import install_script
from mirror.authoring.installing.swarm_spec import swarm_spec
from mirror.cli.install_format import InstallFormat
from mirror.cli.printing import RESULTS, heading
from mirror.oci.errors import Unsupported
from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.authoring.inspect import Inspection

_HEADINGS = {"alias": "Or under a short name", "digest": "Or pinned to this content"}


#: Sentences for the standard error, beside an output in one format.
FORMAT_NOTES: Final = {
    InstallFormat.DOCKER: f"each line is one way to install the content; {CRASHES_ON_DIGEST}",
    InstallFormat.SWARM: "engines accept such a service only with experimental: true in daemon.json, on each node",
}


def install_text(found: Inspection, host: str, form: InstallFormat) -> str:
    """Return the install of content in one format.

    Raises:
        Unsupported: the content cannot be installed in this way.
    """
    if form is InstallFormat.DOCKER:
        lines = install_lines(found, host)
        if not lines:
            raise Unsupported(f"{found.repository} is an {found.kind}, which no engine installs")
        return "\n".join(line.command for line in lines)
    if found.plugin is None:
        raise Unsupported(f"{found.repository} is an {found.kind}, not a plugin; fix: use --as docker")
    plan = plan_install(found, host)
    # ASCII only: a value may have characters that change the terminal.
    return install_script(plan).rstrip() if form is InstallFormat.SCRIPT else json.dumps(swarm_spec(plan), indent=2)


def lines_as_json(lines: Sequence[InstallLine]) -> dict[str, Any]:
    """Return the commands as plain values: ``install``, the plainest, and ``install_lines``, all of them."""
    if not lines:
        return {}
    return {
        "install": lines[0].command,
        "install_lines": [
            {
                "kind": line.kind,
                "command": line.command,
                "driver": line.driver,
                "uses": list(line.uses),
                "note": line.note,
            }
            for line in lines
        ],
    }


def print_lines(lines: Sequence[InstallLine]) -> None:
    """Print the commands that install content, and those that use it under each name."""
    for line in lines:
        heading(_HEADINGS.get(line.kind, "Install with"))
        RESULTS.out(f"  {printable(line.command)}", highlight=False)
        if line.note:
            RESULTS.out(f"  {line.note}", highlight=False)
    used = [use for line in lines if line.kind != "digest" for use in line.uses]
    if used:
        heading("Use it with")
        for use in used:
            RESULTS.out(f"  {use}", highlight=False)
