"""What happens to a test whose programs are missing: the one decision, in one place."""

import os

import pytest


def require(*missing: str | None) -> None:
    """Go on when nothing is missing; else skip the test, or fail it where CI=true.

    Each argument is the answer of a part's `missing()`: None, or a sentence naming what is missing and what to install.
    """
    sentences = [sentence for sentence in missing if sentence]
    if not sentences:
        return
    reason = "; ".join(sentences)
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
