"""Known vulnerabilities of engines, by engine version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.privileges import Privilege
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, Exposure, never_compared

AFFECTED, UNAFFECTED, UNKNOWN = Exposure.AFFECTED, Exposure.UNAFFECTED, Exposure.UNKNOWN


@pytest.mark.parametrize(
    ("version", "exposure"),
    [
        ("1.13.0", UNAFFECTED),  # 1.13.0 compares all privileges, including their order
        ("1.13.1", UNAFFECTED),
        ("17.03.2-ce", UNAFFECTED),
        ("17.03.2-ee-4", UNAFFECTED),
        ("17.04.0-ce-rc1", AFFECTED),
        ("17.04.0-ce", AFFECTED),
        ("17.05.0-ce", AFFECTED),
        ("18.09.1", AFFECTED),
        ("19.03.15", AFFECTED),
        ("20.10.24", AFFECTED),
        ("20.10.24+dfsg1", AFFECTED),
        ("23.0.18", AFFECTED),
        ("24.0.9", AFFECTED),
        ("25.0.15", AFFECTED),
        ("25.0.16-rc.1", AFFECTED),
        ("25.0.16", UNAFFECTED),
        ("25.0.16-ce", UNAFFECTED),
        ("25.0.16+azure-1", UNAFFECTED),
        ("25.0.16m1", UNAFFECTED),
        ("25.0.17", UNAFFECTED),
        ("26.0.0-rc1", AFFECTED),
        ("26.0", AFFECTED),
        ("26.1.5+dfsg1", AFFECTED),
        ("27.5.1", AFFECTED),
        ("28.5.2", AFFECTED),
        ("29.0.0", AFFECTED),
        ("29.3.0", AFFECTED),
        ("29.3.1-rc.1", AFFECTED),
        ("29.3.1~rc1", AFFECTED),
        ("29.3.1-ce-rc1", AFFECTED),
        ("29.3.1rc1", AFFECTED),
        ("29.3.1", UNAFFECTED),
        ("v29.3.1", UNAFFECTED),
        ("29.3.2-rc.1", UNAFFECTED),
        ("29.10.0", UNAFFECTED),
        ("30.0.0-dev", UNAFFECTED),
        ("dev", UNKNOWN),
        ("", UNKNOWN),
        ("29", UNKNOWN),
        ("0.0.0-20260101", UNKNOWN),
        ("1.12.6", UNKNOWN),
        ("29.3.1.4", UNKNOWN),
        ("29.3.1 ", UNKNOWN),
        ("29.3.99999", UNKNOWN),
        ("master-dockerproject-2022-03-26", UNKNOWN),
    ],
)
def test_which_versions_are_affected(version: str, exposure: Exposure) -> None:
    assert UNCOMPARED_PRIVILEGE.exposure(version) is exposure


NUMBERS = st.tuples(st.integers(1, 40), st.integers(0, 20), st.integers(0, 40))


@given(NUMBERS, st.sampled_from(["", "+dfsg1", "-ce", "-ee-3"]))
def test_a_release_is_affected_exactly_between_the_bounds(number: tuple[int, int, int], suffix: str) -> None:
    if number < (1, 13, 0):
        expected = UNKNOWN
    elif number < (17, 4, 0):
        expected = UNAFFECTED
    elif number[:2] == (25, 0):
        expected = UNAFFECTED if number[2] >= 16 else AFFECTED
    else:
        expected = AFFECTED if number < (29, 3, 1) else UNAFFECTED
    assert UNCOMPARED_PRIVILEGE.exposure("{}.{}.{}".format(*number) + suffix) is expected


@given(NUMBERS, st.from_regex(r"[-+~][A-Za-z0-9.+~-]{0,20}", fullmatch=True))
def test_no_suffix_makes_an_affected_release_a_safe_one(number: tuple[int, int, int], suffix: str) -> None:
    text = "{}.{}.{}".format(*number)
    if UNCOMPARED_PRIVILEGE.exposure(text) is not UNAFFECTED:
        assert UNCOMPARED_PRIVILEGE.exposure(text + suffix) is not UNAFFECTED


@given(st.text(max_size=64))
def test_what_is_no_version_is_not_safe(text: str) -> None:
    exposure = UNCOMPARED_PRIVILEGE.exposure(text)
    assert exposure is UNKNOWN or text.lstrip("v")[:1].isdigit()


def privilege(name: str, *values: str) -> Privilege:
    return Privilege(name, "", values)


def test_the_privilege_that_is_never_compared_is_the_first_by_name() -> None:
    network, mount, capabilities = privilege("network", "host"), privilege("mount", "/"), privilege("capabilities", "X")
    other_mount = privilege("mount", "/dev")
    assert never_compared([]) is None
    assert never_compared([network]) is network
    assert never_compared([network, mount, other_mount]) is mount
    assert never_compared([network, mount, capabilities]) is capabilities
