"""Missing requirements: tests are skipped on a desktop, and fail where every requirement must be met."""

import pytest

from tests.harness.requirement import require


def test_nothing_missing_goes_on() -> None:
    require(None, None)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_the_reason_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"install skopeo; .*root"):
        require("install skopeo", None, "this needs root")
