"""Skip or fail a test whose programs are missing. All tests use this module for the decision."""

import os

import pytest


def require(*missing: str | None) -> None:
    """Skip the test if anything is missing, or fail the test if the environment has CI=true.

    Args:
        missing: Results of `missing()` functions: None, or a sentence that names the missing program and its package.
    """
    sentences = [sentence for sentence in missing if sentence]
    if not sentences:
        return
    reason = "; ".join(sentences)
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
