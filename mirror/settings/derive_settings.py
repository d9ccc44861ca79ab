"""The key ``derive`` of a mirror rule: changes that turn copied plugins into derived copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from mirror.oci import Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.settings.section import Section

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.plugin.build.derivation_changes import DerivationChanges


# ``config show`` prints derived copies without secrets.
def _without_secret_values(values: dict[str, str]) -> dict[str, str]:
    from mirror.plugin.config.secret_values import masked

    return {name: masked(name, value) for name, value in values.items()}


def _without_secret_words(words: tuple[str, ...] | None) -> tuple[str, ...] | None:
    from mirror.plugin.config.secret_values import masked_words

    return words and masked_words(words)


class DeriveSettings(Section):
    """Changes that turn copied plugins into derived copies.

    In values, ``{name}`` and ``{tag}`` are replaced by the repository and the tag of the copy, so that each tag gets
    its own value. ``{{word}}`` is the text ``{word}``.
    """

    env: Annotated[dict[str, str], PlainSerializer(_without_secret_values, return_type=dict[str, str])] = Field(
        {}, description="defaults of environment variables, by name of the variable"
    )
    mounts: dict[str, str] = Field(
        {}, description="sources of mounts, by name of the mount, or by destination if it has no name"
    )
    devices: dict[str, str] = Field(
        {}, description="paths of devices, by name of the device, or by path if it has no name"
    )
    args: Annotated[
        tuple[str, ...] | None,
        PlainSerializer(_without_secret_words, return_type=tuple[str, ...] | None),
    ] = Field(None, description="arguments after the entrypoint")
    fix: bool = Field(
        default=False, description="fix digests and media types, so that engines since 1.13 accept the plugin"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            changes = self.changes()
        except MirrorError as error:
            raise ValueError(str(error)) from error
        try:
            changes.filled_in(Repository("name"), Tag("tag"))
        except MirrorError as error:
            # The error shows the word, which may be a part of a password.
            raise ValueError(
                "a word in braces is unknown; fix: write {name} or {tag}, or {{word}} for the text {word}"
            ) from error
        return self

    def changes(self) -> DerivationChanges:
        """Return the changes.

        Raises:
            ConfigurationFault: the section has no changes, or a value is not Unicode text.
        """
        from mirror.plugin.build.derivation_changes import DerivationChanges

        return DerivationChanges(self.env, self.mounts, self.devices, self.args, self.fix)
