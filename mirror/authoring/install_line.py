"""The command that a Docker host installs something with."""

from __future__ import annotations

import re
import shlex
from typing import Final

from mirror.authoring.inspect import Inspection
from mirror.oci import Digest
from mirror.plugin.config.settable import Setting

#: Settings that take the plugin's own name, as contiv's ``plugin_name``.
_OWN_NAME: Final = re.compile(r"(plugin|driver)[-_]?name", re.IGNORECASE)


def install_line(found: Inspection, host: str) -> str | None:
    """The exact command, or None where no command of an engine takes it (artifacts).

    Args:
        found: what is to be installed.
        host: ``HOST[:PORT]`` as the Docker host reaches the registry.

    What the plugin cannot be enabled without stands in it as ``KEY=VALUE``, to be filled in. One that must know its own
    name is given it without the registry's, with ``--alias``.
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
    words += [shlex.quote(f"{setting.key}={alias}") for setting in named]
    words += [shlex.quote(f"{setting.key}=VALUE") for setting in settings if setting.must_be_set]
    return " ".join(words)


def is_own_name(setting: Setting) -> bool:
    """Whether a setting takes the name that the plugin goes by on its host."""
    return setting.kind == "env" and _OWN_NAME.fullmatch(setting.key) is not None
