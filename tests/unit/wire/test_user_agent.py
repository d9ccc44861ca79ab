from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.wire.user_agent import MAX_USER_AGENT_LENGTH, Engine, parse

REST = r"UpstreamClient(Docker-Client/20.10.24 \(linux\))"


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (
            f"docker/20.10.24+dfsg1 go/go1.19.8 git-commit/5d6db84 kernel/6.1.0-9-amd64 os/linux arch/amd64 {REST}",
            Engine("20.10.24+dfsg1", "amd64", "linux"),
        ),
        (
            f"docker/1.13.1 go/go1.7.5 git-commit/092cba3 kernel/4.4.0 os/linux arch/arm {REST}",
            Engine("1.13.1", "arm", "linux"),
        ),
        ("docker/29.0.0 os/linux arch/arm64", Engine("29.0.0", "arm64", "linux")),
        ("docker/26.1.5", Engine("26.1.5")),
        ("docker/26.1.5 arch/amd64 arch/arm64", Engine("26.1.5", "amd64")),
        ("docker/26.1.5 ??? arch/s390x", Engine("26.1.5", "s390x")),
        ("docker/26.1.5 arch/AMD64 os/Li-nux", Engine("26.1.5")),
        ("docker/26.1.5 arch/" + "a" * 17, Engine("26.1.5")),
        ("docker/26.1.5 UpstreamClient(x arch/arm64)", Engine("26.1.5")),
        ("docker/26.1.5 arch/amd64 UpstreamClient(x arch/arm64) arch/arm64", Engine("26.1.5", "amd64")),
        ("docker/26.1.5 " + "x/y " * 200 + "arch/arm64", Engine("26.1.5")),
        ("docker/ arch/arm64", Engine("", "arm64")),
        ("docker/20.10(24)", Engine("20.10")),
        ("docker/20\t10 arch/arm64", Engine("", "arm64")),
        ("docker/" + "1" * 65, Engine("")),
        ("docker/%%% docker/29.3.1", Engine("")),
        ("containerd/1.7.18 docker/26.1.5 arch/arm64", None),
        ("Docker-Client/26.1.5 arch/arm64", None),
        ("docker", None),
        ("(docker/26.1.5 arch/arm64)", None),
        ("skopeo/1.9.3 arch/amd64", None),
        ("", None),
    ],
)
def test_what_engines_say_of_themselves(user_agent: str, expected: Engine | None) -> None:
    assert parse(user_agent) == expected


@given(st.text(max_size=2 * MAX_USER_AGENT_LENGTH))
def test_any_text_is_read(text: str) -> None:
    engine = parse(text)
    assert engine is None or text.startswith(f"docker/{engine.version}")


@given(
    st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}(\.[0-9]{1,2})?(-ce)?", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True),
    st.text(max_size=100),
)
def test_nothing_that_the_engines_client_says_changes_the_platform(version: str, architecture: str, text: str) -> None:
    assert parse(f"docker/{version} go/go1.21 os/linux arch/{architecture} UpstreamClient({text})") == Engine(
        version, architecture, "linux"
    )
