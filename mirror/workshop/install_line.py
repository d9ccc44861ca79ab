"""The command that a Docker host installs something with."""

from __future__ import annotations

import shlex

from mirror.oci.digest import Digest
from mirror.workshop.inspect import Inspection


def install_line(found: Inspection, host: str) -> str | None:
    """The exact command, or None where no command of an engine takes it (artifacts).

    Args:
        found: what is to be installed.
        host: ``HOST[:PORT]`` as the Docker host reaches the registry.

    What the plugin cannot be enabled without stands in it as ``KEY=VALUE``, to be filled in.
    """
    joint = "@" if isinstance(found.target, Digest) else ":"
    reference = f"{host}/{found.repository}{joint}{found.target}"
    if found.kind == "plugin":
        needed = [shlex.quote(f"{setting.key}=VALUE") for setting in found.settings if setting.must_be_set]
        return " ".join(["docker plugin install", reference, *needed])
    return f"docker pull {reference}" if found.kind in {"image", "index"} else None
