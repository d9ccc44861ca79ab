"""Values of the OCI and Docker specifications: digests, names, descriptors, manifests, errors. Pure.

Import the types listed here from this package, and all others from their modules.
"""

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository, Tag

__all__ = ["Descriptor", "Digest", "Manifest", "Reference", "Repository", "Tag"]
