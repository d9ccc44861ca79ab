"""The rules of the section ``admission``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.policy_action import COOLDOWN, DEFAULT, UNREADABLE, PolicyAction
from mirror.settings.section import Mistakes, Section
from mirror.settings.section_values import (
    MOST_BYTES,
    FilePath,
    RepositoryPattern,
    RuleName,
    checked_by,
)

if TYPE_CHECKING:  # imported where rules are built, because many commands have none
    from mirror.plugin.policy.admission_policy import PolicyRule
    from mirror.plugin.policy.privilege_pattern import PrivilegePattern
    from mirror.plugin.rootfs.platform import Platform
    from mirror.signing.public_keys import PublicKey
    from mirror.signing.signed_by import SignedBy

#: Matches plugins whose platform cannot be determined.
_UNKNOWN_PLATFORM = "unknown"


def _privilege(text: str) -> PrivilegePattern:
    from mirror.plugin.policy.privilege_pattern import PrivilegePattern

    return PrivilegePattern.parse(text)


def _platform(text: str) -> Platform | None:
    from mirror.plugin.rootfs.platform import Platform

    return None if text == _UNKNOWN_PLATFORM else Platform.parse(text)


class SignedBySettings(Section):
    """Keys that must have signed a plugin."""

    by: tuple[FilePath, ...] = Field(
        min_length=1,
        max_length=16,
        description="files with public keys in PEM, such as cosign.pub: ECDSA, Ed25519 or RSA; read at the start",
    )
    threshold: int = Field(1, ge=1, le=16, description="number of these keys that must have signed")
    names: tuple[RepositoryPattern, ...] = Field(
        (),
        description="names under which the signers know the plugin, without a host, with * and **; besides its own "
        "name here, and its name at the source that it was mirrored, pulled or tagged from",
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if len(set(self.by)) < len(self.by):
            raise Mistakes((("by",), "a file is named twice; fix: name it once"))
        if self.threshold > len(self.by):
            told = f"is more than there are keys; fix: name more keys under by, or write {len(self.by)}"
            raise Mistakes((("threshold",), told))
        return self

    def condition(self, keys: Mapping[Path, PublicKey]) -> SignedBy:
        """Return the condition, with those of its keys that could be read."""
        from mirror.signing.signed_by import SignedBy

        found = dict.fromkeys(keys[file] for file in self.by if file in keys)
        return SignedBy(tuple(found), self.threshold, tuple(map(NamePattern, self.names)))


class AdmissionRuleSettings(Section):
    """A rule with one action for all plugins that match every condition.

    If a condition is a list, one matching entry is enough.
    """

    name: RuleName = Field(description="name of the rule, shown in messages")
    action: PolicyAction = Field(
        description="allow; warn: allow with a warning; hold: store the plugin and serve it after an approval; deny"
    )
    names: tuple[RepositoryPattern, ...] = Field((), description="names of repositories, with * and **")
    privileges: tuple[Annotated[str, checked_by(_privilege)], ...] = Field(
        (),
        description="privileges that the plugin asks for, as engines name them, with or without a glob for the value: "
        "allow-all-devices, host pid namespace, host ipc namespace, network=host, mount=/run/docker.sock, "
        "device=/dev/*, capabilities=CAP_SYS_ADMIN",
    )
    interfaces: tuple[str, ...] = Field((), description="globs for interface types of the plugin, such as docker.authz")
    platforms: tuple[Annotated[str, checked_by(_platform)], ...] = Field(
        (), description="platforms of the plugin, such as linux/amd64; or unknown"
    )
    larger_than_bytes: int | None = Field(
        None, ge=0, le=MOST_BYTES, description="config and layers together are larger than this, in bytes"
    )
    signed: SignedBySettings | bool | None = Field(
        None,
        description="by: keys of which threshold must have signed. Or true: a signature exists, false: none exists; "
        "then no signature is verified",
    )
    grown: bool = Field(
        default=False,
        description="true: the plugin requests privileges that the last accepted plugin of its name did not have",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.name in {COOLDOWN, DEFAULT, UNREADABLE}:
            raise Mistakes((("name",), "has another meaning in messages; fix: choose another name"))
        if self.signed is False and self.action is PolicyAction.DENY:
            told = "a signature is pushed after its plugin, so its absence cannot be denied; fix: use action: hold"
            raise Mistakes((("signed",), told))
        # Built here once, so that a mistake is found when the configuration is read and not at the first plugin.
        try:
            self.rule({})
        except MirrorError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def signers(self) -> SignedBySettings | None:
        """The keys that must have signed a plugin; None if the rule names none."""
        return self.signed if isinstance(self.signed, SignedBySettings) else None

    @property
    def is_about_names(self) -> bool:
        """True if the rule has no other conditions than names."""
        others = (self.privileges, self.interfaces, self.platforms, self.grown)
        return not any(others) and self.larger_than_bytes is None and self.signed is None

    def rule(self, keys: Mapping[Path, PublicKey]) -> PolicyRule:
        """Return the policy rule that this section describes.

        Args:
            keys: the keys in the files that could be read.

        Raises:
            ConfigurationFault, NameInvalid: a pattern, privilege or platform does not match its grammar.
        """
        from mirror.plugin.policy.admission_policy import PolicyRule

        return PolicyRule(
            self.name,
            self.action,
            names=tuple(map(NamePattern, self.names)),
            privileges=tuple(map(_privilege, self.privileges)),
            interfaces=self.interfaces,
            platforms=tuple(map(_platform, self.platforms)),
            larger_than_bytes=self.larger_than_bytes,
            signed=self.signed.condition(keys) if isinstance(self.signed, SignedBySettings) else self.signed,
            grown=self.grown,
        )
