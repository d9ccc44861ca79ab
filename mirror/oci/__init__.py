"""Values of the OCI and Docker specifications: digests, names, descriptors, manifests, errors. Pure.

The nouns that every other room works with are imported from here; all else from its module.
"""

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository, Tag

__all__ = ["Descriptor", "Digest", "Manifest", "Reference", "Repository", "Tag"]
