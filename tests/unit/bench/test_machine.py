"""The description of the machine in a report."""

from pathlib import Path

import pytest

from tests.bench.machine import filesystem_of, version_in

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /tmp rw shared:2 - tmpfs tmpfs rw
24 22 254:1 / /var rw shared:3 - xfs /dev/vdb rw
25 24 254:1 / /var/with\\040space rw shared:3 - btrfs /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("/", "ext4"), ("/tmpfile", "ext4"), ("/tmp/x", "tmpfs"), ("/var", "xfs"), ("/var/with space/y", "btrfs")],
)
def test_the_file_system_is_that_of_the_innermost_mount(folder: str, expected: str) -> None:
    assert filesystem_of(Path(folder), MOUNTS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker-registry github.com/docker/distribution 2.8.2+ds1", "2.8.2+ds1"),
        ("nginx version: nginx/1.22.1\n", "1.22.1"),
        ("wrk debian/4.1.0-3+b2 [epoll]", "4.1.0-3+b2"),
        ("plugin-mirror 0.1.0", "0.1.0"),
        ("nothing of the kind", None),
    ],
)
def test_a_version_is_found_in_what_a_program_says(text: str, expected: str | None) -> None:
    assert version_in(text) == expected
