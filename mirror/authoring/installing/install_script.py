"""A POSIX shell script that brings one host to the state with a plugin installed, set and enabled."""

from __future__ import annotations

import shlex
from typing import Final

from mirror.authoring.installing.install_plan import InstallPlan
from mirror.oci.errors import Unsupported
from mirror.oci.printable_text import printable
from mirror.plugin.config.privileges import compute_privileges

_HEAD: Final = """\
#!/bin/sh
# Install or upgrade a Docker plugin on this host, set it and enable it.
# 'plugin-mirror inspect --as script' has written this script. It can run again at any time.
#
#   sh FILE [--yes] [KEY=VALUE...]
#     --yes      grant the plugin all privileges that it requests, without a question
#     KEY=VALUE  further settings of the plugin
set -eu
"""

# Everything is in functions, so that the shell has read the whole script before a command can read its input.
_BODY: Final = """\
stopped=

fail() {
    printf 'error: %s\\n' "$1" >&2
    exit "${2:-1}"
}

look() {
    docker plugin inspect --format "$1" "$name"
}

is_enabled() {
    [ "$(look '{{.Enabled}}')" = true ]
}

disable() {
    if is_enabled; then
        docker plugin disable "$name"
        stopped=yes
    fi
}

# After a failure, the plugin is enabled again as it is.
restart() {
    [ -z "$stopped" ] || docker plugin enable "$name" || :
}

has() {
    # For grep, each line is a pattern of its own. Such a value is set every time.
    case $1 in
        *"
"*) return 1 ;;
    esac
    key=${1%%=*}
    case $key in
        *.value | *.source | *.path) key=${key%.*} ;;
    esac
    # After an upgrade, Settings.Mounts still lists the mounts of the old version.
    look '{{range .Settings.Env}}{{println .}}{{end
        }}{{range .Config.Mounts}}{{.Name}}={{.Source}}{{println}}{{end
        }}{{range .Settings.Devices}}{{.Name}}={{.Path}}{{println}}{{end
        }}{{.Config.Args.Name}}={{join .Settings.Args " "}}' | grep -Fqx -- "$key=${1#*=}"
}

# The repository in a reference, without the host: it tells an upgrade from another plugin of the same name.
repository() {
    path=${1%%@*}
    case ${path##*/} in
        *:*) path=${path%:*} ;;
    esac
    printf %s "${path#*/}"
}

need() {
    key=$1
    shift
    for setting in "$@"; do
        case $setting in
            "$key="*) return ;;
        esac
    done
    fail "the plugin needs the setting $key; fix: run this script with $key=VALUE" 2
}

# The engine's client asks for the privileges, but only somebody at a terminal can answer.
may_ask() {
    if [ -z "$grant" ] && [ ! -t 0 ] && [ -n "$privileges" ]; then
        printf 'The plugin requests these privileges:\\n%s\\n' "$privileges" >&2
        fail 'nobody can be asked to grant the privileges; fix: run this script with --yes'
    fi
}

main() {
    grant=
    if [ "${1-}" = --yes ]; then
        grant=--grant-all-permissions
        shift
    fi
    for setting in "$@"; do
        case $setting in
            -* | =*) fail "$setting is not KEY=VALUE" 2 ;;
            *=*) ;;
            *) fail "$setting is not KEY=VALUE" 2 ;;
        esac
    done
    known "$@"
}

ensure() {
    docker plugin ls --quiet >/dev/null
    trap restart EXIT
    if ! look '{{.ID}}' >/dev/null 2>&1; then
        required "$@"
        may_ask
        docker plugin install --disable ${grant:+"$grant"} --alias "$name" -- "$remote" "$@"
    elif installed=$(look '{{.PluginReference}}') && [ "$(repository "$installed")" != "$(repository "$remote")" ]; then
        fail "$name is another plugin, $installed; fix: remove it from this host first"
    elif [ "$installed" != "$remote" ] ||
        [ "$(look '{{join .Config.Rootfs.DiffIds " "}}' || printf %s "$layers")" != "$layers" ]; then
        may_ask
        disable
        docker plugin upgrade --skip-remote-check ${grant:+"$grant"} "$name" "$remote"
    fi
    for setting in "$@"; do
        if ! has "$setting"; then
            disable
            docker plugin set -- "$name" "$setting"
        fi
    done
    is_enabled || docker plugin enable "$name"
    stopped=
    printf '%s is installed and enabled\\n' "$name"
}

main "$@"
"""


def install_script(plan: InstallPlan) -> str:
    """Return the script for a plugin.

    The script installs the plugin if it is missing, upgrades it if it has another reference or other layers, sets what
    differs, and enables it. It never replaces a plugin of another repository. It asks nothing. The engine's client asks
    for privileges, unless the user gives ``--yes``.

    Args:
        plan: the plan of the install.

    Raises:
        Unsupported: the config cannot be read.
    """
    if plan.config is None:
        raise Unsupported(f"{plan.reference} has no config that engines can read; fix: see 'plugin-mirror lint'")
    # Text from the plugin gets into the script only as a quoted word.
    privileges = "\n".join(f"  - {printable(str(one))}" for one in compute_privileges(plan.config))
    values = {
        "remote": plan.reference,
        "name": plan.lasting_name,
        "layers": " ".join(plan.config.diff_ids),
        "privileges": privileges,
    }
    known = " ".join(["ensure", *map(shlex.quote, plan.settings), '"$@"'])
    needs = [f'    need {shlex.quote(key)} "$@"' for key in plan.open_keys] or ["    :"]
    return "\n".join(
        [
            _HEAD,
            *(f"{name}={shlex.quote(value)}" for name, value in values.items()),
            "",
            "# The settings that are known come before those of the user.",
            f"known() {{\n    {known}\n}}",
            "",
            "\n".join(["required() {", *needs, "}"]),
            "",
            _BODY,
        ]
    )
