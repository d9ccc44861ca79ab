"""Build the wheel of this release and its software bill of materials (SBOM). Run it with `make sbom`.

The SBOM is CycloneDX 1.6 in JSON. Its root is the wheel. Its components are the packages of `requirements.lock`, each
with the SHA-256 of every file that the lock accepts, the licence that its metadata declares, and the packages that it
requires. Two runs on one commit write the same bytes.
"""

import hashlib
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.release.checkout import (
    DIST,
    LOCK,
    LockedPackage,
    ReleaseError,
    build_wheel,
    read_lock,
    release_time,
    report,
)

#: The environment that `make lock` locks for.
ENVIRONMENT: Mapping[str, str] = {
    "extra": "",
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_python_implementation": "CPython",
}


class SbomError(ReleaseError):
    """The lock, the environment and the wheel do not fit together."""


def describe(wheel: Path, lock: str, made_at: datetime) -> str:
    """Return the SBOM of a wheel.

    Args:
        wheel: the wheel.
        lock: text of the lock file.
        made_at: time of the release.

    Raises:
        SbomError: a package is missing in the lock, is not needed, or has another version here.
    """
    locked = read_lock(lock)
    release = _read_wheel(wheel)
    packages = {name: _installed(package) for name, package in locked.items()}
    required = {name: list(_required(found, locked)) for name, found in packages.items()}
    direct = list(_required(release, locked))
    if unused := sorted(set(locked) - set(direct).union(*required.values())):
        raise SbomError(f"requirements.lock has {', '.join(unused)}, which nothing requires; fix: make lock")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    root = _component(release, ComponentType.APPLICATION, hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)])
    components = {name: _component(found, ComponentType.LIBRARY) for name, found in packages.items()}
    for name, component in components.items():
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in locked[name].sha256]
        component.external_references.add(
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(str(component.purl)),
                hashes=hashes,
                comment="each file of this version that requirements.lock accepts",
            )
        )
    bom = Bom(
        serial_number=uuid5(NAMESPACE_OID, digest + lock),
        metadata=BomMetaData(timestamp=made_at, component=root, tools=ToolRepository(components=[this_component()])),
        components=components.values(),
    )
    bom.register_dependency(root, [components[name] for name in direct])
    for name, component in components.items():
        bom.register_dependency(component, [components[each] for each in required[name]])
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SbomError(f"the SBOM is not valid CycloneDX: {wrong}")
    return text + "\n"


def _read_wheel(wheel: Path) -> Distribution:
    (folder,) = (each for each in zipfile.Path(wheel).iterdir() if each.name.endswith(".dist-info"))
    return PathDistribution(folder)


def _installed(package: LockedPackage) -> Distribution:
    try:
        found = distribution(package.name)
    except PackageNotFoundError:
        raise SbomError(f"{package.name} is not installed; fix: make lock") from None
    if found.version != package.version:
        raise SbomError(
            f"{package.name} is {package.version} in requirements.lock, but {found.version}; fix: make lock"
        )
    return found


def _required(package: Distribution, locked: Mapping[str, LockedPackage]) -> Iterator[str]:
    """Yield the names of the packages that a package requires. Raises SbomError if the lock does not have one."""
    for requirement in map(Requirement, package.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate(dict(ENVIRONMENT)):
            name = canonicalize_name(requirement.name)
            if name not in locked:
                raise SbomError(f"{package.name} requires {name}, which requirements.lock lacks; fix: make lock")
            yield name


def _component(package: Distribution, kind: ComponentType, hashes: Sequence[HashType] = ()) -> Component:
    purl = PackageURL("pypi", name=canonicalize_name(package.name), version=package.version)
    return Component(
        type=kind,
        name=package.name,
        version=package.version,
        description=package.metadata["Summary"],
        purl=purl,
        bom_ref=str(purl),
        licenses=_licences(package),
        hashes=hashes,
    )


def _licences(package: Distribution) -> Iterator[License]:
    """Yield what a package declares: its expression, or its short text, or its classifiers."""
    declared = package.metadata["License-Expression"] or package.metadata["License"] or ""
    classifiers = package.metadata.get_all("Classifier", [])
    found = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    for text in [declared] if declared and "\n" not in declared else found:
        yield LicenseFactory().make_from_string(text, license_acknowledgement=LicenseAcknowledgement.DECLARED)


def build(folder: Path = DIST) -> None:
    """Write the wheel and its SBOM to a folder, and print their paths."""
    made_at = release_time()
    wheel = build_wheel(folder, made_at)
    sbom = wheel.with_suffix(".cdx.json")
    sbom.write_text(describe(wheel, LOCK.read_text(), made_at))
    print(f"{wheel}\n{sbom}")


if __name__ == "__main__":
    sys.exit(report(build))
