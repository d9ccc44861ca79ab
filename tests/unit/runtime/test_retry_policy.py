from itertools import islice

import pytest

from mirror.runtime.retry_policy import RetryPolicy


def test_delays_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_delay_seconds=1, longest_delay_seconds=5)
    assert list(islice(policy.delays(), 5)) == [1, 2, 4, 5, 5]


def test_a_first_delay_beyond_the_longest() -> None:
    assert next(RetryPolicy(first_delay_seconds=9, longest_delay_seconds=5).delays()) == 5


@pytest.mark.parametrize(
    ("policy", "failures", "elapsed_seconds", "allowed"),
    [
        (RetryPolicy(attempts=3), 2, 1e6, True),
        (RetryPolicy(attempts=3), 3, 0, False),
        (RetryPolicy(attempts=None), 10**6, 1e6, True),
        (RetryPolicy(attempts=None, total_seconds=30), 10**6, 30, True),
        (RetryPolicy(attempts=None, total_seconds=30), 1, 30.1, False),
    ],
)
def test_another_attempt(policy: RetryPolicy, failures: int, elapsed_seconds: float, allowed: bool) -> None:
    assert policy.allows_another(failures, elapsed_seconds) is allowed
