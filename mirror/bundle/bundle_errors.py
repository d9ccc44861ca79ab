"""Errors about bundles, a branch of the tree in :mod:`mirror.oci.errors`.

The person who made or carried the file can help.

::

    MirrorError
    └── BundleFault             a bundle cannot be used
        ├── BundleInvalid       not a bundle, or bytes that differ from its statement
        ├── BundleUntrusted     signatures, keys or serial do not allow the use
        └── BundleIncomplete    a part is missing, or content that the bundle assumes to be here
"""

from __future__ import annotations

from mirror.oci.errors import MirrorError


class BundleFault(MirrorError):
    """A bundle cannot be used."""

    reason = "bundle"


class BundleInvalid(BundleFault):
    """A file is not a bundle, or its bytes differ from its statement."""


class BundleUntrusted(BundleFault):
    """The signatures, the keys or the serial of a bundle do not allow its use."""


class BundleIncomplete(BundleFault):
    """A part of a bundle is missing, or content that the bundle assumes to be here."""
