"""Names of the drivers that are part of an engine."""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
    awslogs bridge default etwlogs fluentd gcplogs gelf host internal ipvlan journald json-file l2bridge l2tunnel local
    logentries macvlan nat none null overlay splunk syslog transparent
"""
#: An engine prefers these drivers to a plugin of the same name.
BUILT_IN_DRIVERS: Final = frozenset(_NAMES.split())
