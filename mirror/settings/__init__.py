"""The configuration: frozen sections, read from YAML and the environment.

Only ``cli`` and ``app`` import this package.
"""

from mirror.access.rights import AccessAction
from mirror.settings.loading.configuration import load, schema, unknown_variables
from mirror.settings.sections import Settings

__all__ = ["AccessAction", "Settings", "load", "schema", "unknown_variables"]
