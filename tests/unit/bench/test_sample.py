"""Medians and ratios of several measurements."""

import math

import pytest

from tests.bench.sample import Cost, Outcome, Sample, Spread, percentile, ratios


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert Spread.of([5, 1, 4]) == Spread(median=4, low=1, high=5)


def test_the_median_of_an_even_number_lies_between() -> None:
    assert Spread.of([1, 2, 10, 11]).median == 6


def test_nothing_has_no_spread() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        Spread.of([])


def test_ratios_are_taken_round_by_round() -> None:
    # The second round was twice as slow for both: of the medians the ratio would be 20 / 15.
    assert ratios([20, 10, 40], [10, 5, 20]) == Spread(2, 2, 2)


def test_sides_with_unequal_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1, 2], [1])


def test_nothing_on_the_other_side_makes_a_ratio_without_limit() -> None:
    assert ratios([3], [0]).median == math.inf


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1), (98.5, 99)])
def test_a_percentile_is_one_of_the_numbers(percent: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


def test_the_99th_percentile_of_few_is_the_largest() -> None:
    assert percentile([3, 9, 1], 99) == 9


def test_no_numbers_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        percentile([], 50)


def test_a_sample_knows_its_rate_and_what_one_of_its_unit_costs() -> None:
    sample = Sample(Outcome(600, 3, 0.01, 0.02), Cost(1.2, 2**20, 2**19, 0.0))
    assert sample.rate == 200
    assert sample.cpu_seconds_each == pytest.approx(0.002)
