"""Actions of the admission policy, and names that its rules cannot have. Apart from the policy, which few use."""

from __future__ import annotations

from enum import StrEnum

#: Names of the rule that denies unreadable plugins, of the default, and of the rule that holds what is new.
UNREADABLE, DEFAULT, COOLDOWN = "unreadable", "default", "cooldown"


class PolicyAction(StrEnum):
    """Action on a plugin."""

    ALLOW = "allow"
    #: Admitted with a warning.
    WARN = "warn"
    #: Stored, but not served until somebody approves the plugin.
    HOLD = "hold"
    #: Neither stored nor served.
    DENY = "deny"
