"""The command with which a Docker host installs content."""

from __future__ import annotations

import re
import shlex
from typing import Final

from mirror.authoring.inspect import Inspection
from mirror.oci import Digest
from mirror.plugin.config.settable import Setting

#: Settings that take the name of the plugin itself, such as ``plugin_name`` of contiv.
_OWN_NAME: Final = re.compile(r"(plugin|driver)[-_]?name", re.IGNORECASE)


def install_line(found: Inspection, host: str) -> str | None:
    """Return the command that installs content on a Docker host.

    Settings without which the plugin cannot be enabled are in the command as ``KEY=VALUE``, to be filled in. A plugin
    that must know its own name gets ``--alias`` and the name without the host of the registry.

    Args:
        found: the content.
        host: ``HOST[:PORT]`` of the registry, as the Docker host reaches it.

    Returns:
        The command, or None for an artifact, which no engine command accepts.
    """
    joint = "@" if isinstance(found.target, Digest) else ":"
    reference = f"{host}/{found.repository}{joint}{found.target}"
    if found.plugin is None:
        return f"docker pull {reference}" if found.kind in {"image", "index"} else None
    settings = found.plugin.settings
    words = ["docker plugin install"]
    named = [setting for setting in settings if is_own_name(setting)]
    alias = f"{found.repository}:{'latest' if isinstance(found.target, Digest) else found.target}"
    if named:
        words.append(f"--alias {alias}")
    words.append(reference)
    # Values are quoted, because the line is meant to be pasted into a shell.
    words += [shlex.quote(f"{setting.key}={alias}") for setting in named]
    words += [shlex.quote(f"{setting.key}=VALUE") for setting in settings if setting.must_be_set]
    return " ".join(words)


def is_own_name(setting: Setting) -> bool:
    """Return True if a setting takes the name of the plugin on its host."""
    return setting.kind == "env" and _OWN_NAME.fullmatch(setting.key) is not None
