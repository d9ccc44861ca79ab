from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Descriptor, Digest
from mirror.oci.errors import ConfigurationFault
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.oci.platform_selection import ImagePlatform, PlatformSelection, architectures, member_for


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


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/ARM/V7", "linux/arm/v7"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_a_platform_is_read(text: str, read: str) -> None:
    assert str(ImagePlatform.parse(text)) == read


@pytest.mark.parametrize(
    "text", ["", "linux", "amd64", "linux/", "/amd64", "linux/arm/v7/x", "linux/*", "linux amd64", "a/" + "b" * 65]
)
def test_another_text_is_no_platform(text: str) -> None:
    with pytest.raises(ConfigurationFault, match="is not a platform; fix: write OS/ARCHITECTURE"):
        ImagePlatform.parse(text)


V6, V7, NO_VARIANT = "linux/arm/v6", "linux/arm/v7", "linux/arm"


@pytest.mark.parametrize(
    ("selected", "platform", "takes"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/amd64/v1", "linux/amd64", True),
        ("linux/amd64/v1", "linux/amd64/v3", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/v9", "linux/arm64", False),
        (NO_VARIANT, V6, True),
        (V7, NO_VARIANT, True),
        (V7, V7, True),
        (V7, V6, False),
        (V6, NO_VARIANT, False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/386", False),
    ],
)
def test_a_selection_takes_a_platform(selected: str, platform: str, takes: bool) -> None:
    selection = PlatformSelection.parse([selected])
    assert selection is not None
    assert selection.takes(ImagePlatform.parse(platform)) is takes


def test_nothing_selected_is_no_selection() -> None:
    assert PlatformSelection.parse([]) is None


def about(subject: Descriptor, number: int) -> Descriptor:
    return replace(
        member(number, os="unknown", architecture="unknown"),
        annotations={"vnd.docker.reference.digest": str(subject.digest)},
    )


def test_members_that_are_left_out() -> None:
    selection = PlatformSelection.parse(["linux/arm64", "linux/arm/v7"])
    assert selection is not None
    proof, proof_of_other, proof_of_nothing = about(ARM64, 10), about(AMD64, 11), about(member(12), 13)
    found = selection.left_out([*ALL, proof, proof_of_other, proof_of_nothing])
    assert {digest: str(platform) for digest, platform in found.items()} == {
        WINDOWS.digest: "windows/amd64",
        ARM_V6.digest: "linux/arm/v6",
        AMD64.digest: "linux/amd64",
        proof_of_other.digest: "linux/amd64",
    }


def test_a_member_for_several_platforms_is_kept_for_one_of_them() -> None:
    selection = PlatformSelection.parse(["linux/arm64"])
    assert selection is not None
    twice = [AMD64, replace(AMD64, platform={"os": "linux", "architecture": "arm64"})]
    assert selection.left_out(twice) == {}
