"""A mirror rule: what is copied from where to where."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.oci.errors import ConfigurationFault
from mirror.transfer.mapping import NameMapping
from mirror.transfer.select import TagSelection

_EVERY_TAG = TagSelection()


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """One rule.

    Attributes:
        name: what it is called.
        source: the name of the upstream.
        names: which of its repositories, and what they are called here.
        tags: which of their tags.
    """

    name: str
    source: str
    names: NameMapping
    tags: TagSelection = _EVERY_TAG

    @classmethod
    def parse(cls, name: str, source: str, to: str, tags: TagSelection = _EVERY_TAG) -> MirrorRule:
        """Read a rule as it is written.

        Args:
            name: what it is called.
            source: ``UPSTREAM/REPOSITORY``, where ``*`` is one component and ``**`` the rest.
            to: the repository here, with the same ``*`` and ``**``.
            tags: which tags.

        Raises:
            ConfigurationFault: either is outside the grammar.
        """
        upstream, slash, repository = source.partition("/")
        if not upstream or not slash:
            raise ConfigurationFault(f"mirror rule {name}: from is {source!r}: write UPSTREAM/REPOSITORY")
        try:
            return cls(name, upstream, NameMapping(repository, to), tags)
        except ConfigurationFault as error:
            raise ConfigurationFault(f"mirror rule {name}: {error}") from error
