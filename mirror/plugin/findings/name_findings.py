"""Table of findings about the name of a plugin on its host. Measured with contiv's driver on engine 20.10.

The program of a plugin decides whether a variable takes its name. The findings are guesses and say so.
"""

from __future__ import annotations

from typing import Final

from mirror.plugin.findings.finding_kind import hint, warning

_NOT_FOUND: Final = "the driver's requests to the engine may fail: 'plugin \"...\" not found'"
_COPY: Final = "'plugin-mirror derive REF NAME --env {variable}={name}' makes a copy that has the name"

OWN_NAME: Final = warning(
    code="own-name",
    text="{variable} seems to take the plugin's own name, and is {value}, not {name}",
    seen=f"the plugin is enabled, but {_NOT_FOUND}",
    fix=f"install it with --alias {{name}} and {{key}}={{name}}; or {_COPY}, and needs only the alias",
    own_words=frozenset({"name"}),
)
OWN_NAME_FIXED: Final = warning(
    code="own-name",
    text="{variable} seems to take the plugin's own name, is {value} and not {name}, and cannot be set",
    seen=f"the plugin is enabled, but {_NOT_FOUND}",
    fix=f"install it with {{value}} as its --alias, if this is a name; or {_COPY}",
    own_words=frozenset({"name"}),
)
OWN_NAME_NEEDED: Final = hint(
    code="own-name",
    text="{variable} seems to take the plugin's own name, and is {value}",
    seen=f"without --alias, engines add the host of the registry to the plugin's name, and {_NOT_FOUND}",
    fix="install it with --alias {value}",
)
