from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Descriptor, Digest
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.oci.platform_selection import architectures, member_for


def member(number: int, **platform: Any) -> Descriptor:
    return Descriptor(DOCKER_MANIFEST, Digest.of(bytes([number])), 1, platform=platform or None)


AMD64 = member(1, os="linux", architecture="amd64")
ARM = member(2, os="linux", architecture="arm")
ARM_V6 = member(3, os="linux", architecture="arm", variant="v6")
ARM64 = member(4, architecture="arm64", variant="v8")
WINDOWS = member(5, os="windows", architecture="amd64")
ATTESTATION = member(6, os="unknown", architecture="unknown")
NOTHING = member(7)
ODD = member(8, os="linux", architecture=["amd64"], variant=6)
NOT_SAID = member(9, os="linux", architecture="unknown")
ALL = [WINDOWS, ATTESTATION, NOTHING, ODD, NOT_SAID, ARM, ARM_V6, ARM64, AMD64]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("amd64", AMD64), ("arm", ARM_V6), ("arm64", ARM64), ("s390x", None), ("unknown", None), ("", None)],
)
def test_the_member_of_an_architecture(architecture: str, expected: Descriptor | None) -> None:
    assert member_for(ALL, architecture) == expected


def test_an_arm_without_a_variant_is_v7() -> None:
    v5, v8 = (member(number, architecture="arm", variant=f"v{number}") for number in (5, 8))
    assert member_for([v8, ARM], "arm") == ARM
    assert member_for([ARM, v5], "arm") == v5


def test_the_architectures_of_an_index() -> None:
    assert architectures(ALL) == ("arm", "arm64", "amd64")


@given(st.lists(st.dictionaries(st.sampled_from(["os", "architecture", "variant"]), st.text() | st.integers())))
def test_every_architecture_of_an_index_has_its_member(platforms: list[dict[str, Any]]) -> None:
    members = [member(number % 256, **platform) for number, platform in enumerate(platforms)]
    for architecture in architectures(members):
        found = member_for(members, architecture)
        assert found is not None
        assert found.platform is not None
        assert found.platform["architecture"] == architecture
