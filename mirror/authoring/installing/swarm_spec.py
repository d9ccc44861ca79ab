"""Specification of a swarm service that installs a plugin on every node (moby: api/types/swarm, RuntimeSpec)."""

from __future__ import annotations

import re
from typing import Any, Final

from mirror.authoring.installing.install_plan import InstallPlan
from mirror.oci.errors import Unsupported
from mirror.plugin.config.privileges import compute_privileges

_SERVICE: Final = re.compile(r"[^a-z0-9]+")
_MOST_CHARACTERS: Final = 63


def swarm_spec(plan: InstallPlan) -> dict[str, Any]:
    """Return the body of ``POST /services/create`` for a plugin.

    The service names the privileges that it grants. An engine refuses a plugin that requests others. The API
    document of the engine calls their member ``PluginPrivilege``, but engines read ``Privileges``.

    Args:
        plan: the plan of the install.

    Raises:
        Unsupported: the config cannot be read, or a mount or device must be set, which a service cannot do.
    """
    if plan.config is None:
        raise Unsupported(f"{plan.reference} has no config that engines can read; fix: see 'plugin-mirror lint'")
    if plan.open_keys:
        raise Unsupported(
            f"a swarm service sets only variables, and {plan.reference} needs {', '.join(plan.open_keys)}; fix: make a "
            "copy that has the values, with 'plugin-mirror derive' and --mount or --device"
        )
    return {
        "Name": _SERVICE.sub("-", plan.short)[:_MOST_CHARACTERS].strip("-"),
        "TaskTemplate": {
            "Runtime": "plugin",
            "PluginSpec": {
                "Name": plan.lasting_name,
                "Remote": plan.reference,
                "Disabled": False,
                "Privileges": [one.to_engine_json() for one in compute_privileges(plan.config)],
                "Env": [f"{one.variable}={plan.alias}" for one in plan.names_to_set],
            },
        },
        "Mode": {"Global": {}},
    }
