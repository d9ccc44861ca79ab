"""The configuration: frozen sections, read from YAML and the environment.

Only ``cli`` and ``app`` import this package.
"""

from mirror.access.rights import AccessAction
from mirror.settings.loading import load, schema
from mirror.settings.sections import Settings

__all__ = ["AccessAction", "Settings", "load", "schema"]
