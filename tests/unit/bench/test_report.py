"""The table, the bars and the JSON of a benchmark run."""

import json

from tests.bench.bars import (
    BARS,
    Bar,
    Verdict,
    cpu_ratio,
    figure,
    figure_beyond,
    figure_ratio,
    largest_rss_mib,
    p50_seconds,
    p99_over,
    rate_over,
    seconds_over,
    worst_figure,
)
from tests.bench.cases import CASES, ONE_TAG
from tests.bench.content import MIB
from tests.bench.report import CaseResult, Run, table, to_json, to_text
from tests.bench.sample import Cost, Outcome, Sample
from tests.bench.servers import NGINX, OURS, REGISTRY


def sample(amount: float, *, p99_seconds: float = 0.02, errors: int = 0, other_cpu_share: float = 0.0) -> Sample:
    outcome = Outcome(amount, 2, 0.001, p99_seconds, errors)
    return Sample(outcome, Cost(1.0, 240 * MIB, 90 * MIB, other_cpu_share))


def a_run(*, errors: int = 0, other_cpu_share: float = 0.0) -> Run:
    rounds = {
        OURS: [sample(20_000), sample(24_000), sample(22_000)],
        REGISTRY: [sample(2_000), sample(2_000, other_cpu_share=other_cpu_share), sample(2_000, errors=errors)],
    }
    case = CaseResult("manifest-get-tag", "manifest GET by tag", "requests", rounds)
    bar = Verdict("at least 10 times docker-registry", "manifest-get-tag", 11.0, met=True)
    return Run({"kernel": "Linux 6.1"}, {"rounds": 3}, [case], [bar])


def test_the_table_shows_medians_ends_and_the_ratio_of_ours_to_each_other() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in to_text(a_run()).splitlines()
        if line.startswith("| manifest GET by tag")
    ]
    case, unit = "manifest GET by tag", "requests/s"
    assert rows == [
        [case, OURS, unit, "11000", "10000-12000", "", "1.00", "20.0", "45.5", "240", "90.0"],
        [case, REGISTRY, unit, "1000", "1000-1000", "11.0", "1.00", "20.0", "500", "240", "90.0"],
    ]


def test_the_text_says_on_what_machine_and_which_bars_are_met() -> None:
    text = to_text(a_run())
    assert "- kernel: Linux 6.1\n" in text
    [bar] = [line for line in text.splitlines() if "at least 10 times" in line]
    assert [cell.strip() for cell in bar.split("|")[1:-1]][2:] == ["11.0", "met"]


def test_answers_that_were_wrong_are_shown_beside_the_rate() -> None:
    assert "| 1000 (7 errors) |" in to_text(a_run(errors=7))


def test_a_machine_that_others_used_is_shown_as_a_doubt() -> None:
    assert "in 1 of 3 rounds other processes used up to 40% of the CPU time" in to_text(a_run(other_cpu_share=0.4))
    assert "other processes used" not in to_text(a_run(other_cpu_share=0.05))


def test_a_table_is_aligned_and_markdown() -> None:
    assert table(("name", "n"), [["a", "100"], ["abcde", "1"]], left_columns=1).splitlines() == [
        "| name  |   n |",
        "| ----- | --: |",
        "| a     | 100 |",
        "| abcde |   1 |",
    ]


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    lines = table(["pipe", "times"], [["a | b", "1"]], left_columns=1).splitlines()
    assert lines == ["| pipe   | times |", "| ------ | ----: |", "| a \\| b |     1 |"]


def test_the_json_has_every_round_with_its_rate() -> None:
    document = json.loads(to_json(a_run(errors=7)))
    [case] = document["cases"]
    assert [each["rate"] for each in case["rounds"][OURS]] == [10_000, 12_000, 11_000]
    assert case["rounds"][REGISTRY][2]["outcome"]["errors"] == 7
    assert document["verdicts"][0]["met"] is True


def test_a_bar_that_wants_more_is_met_from_its_limit_on() -> None:
    bar = Bar("at least 10 times", "case", rate_over(REGISTRY), at_least=10)
    enough = {"case": {OURS: [sample(100)], REGISTRY: [sample(10)]}}
    little = {"case": {OURS: [sample(99)], REGISTRY: [sample(10)]}}
    assert bar.verdict(enough) == Verdict("at least 10 times", "case", 10, met=True)
    assert bar.verdict(little) == Verdict("at least 10 times", "case", 9.9, met=False)


def test_a_bar_that_wants_less_is_met_up_to_its_limit() -> None:
    bar = Bar("at most 1.3 times", "case", p99_over(ONE_TAG), at_most=1.3)
    rivals = [sample(1, p99_seconds=0.01)]
    enough = {"case": {OURS: [sample(1, p99_seconds=0.013)], ONE_TAG: rivals}}
    little = {"case": {OURS: [sample(1, p99_seconds=0.014)], ONE_TAG: rivals}}
    assert bar.verdict(enough).met is True
    assert bar.verdict(little).met is False


def test_the_largest_process_of_any_round_counts() -> None:
    rounds = {OURS: [Sample(Outcome(1, 1, 1, 1), Cost(1, 9 * MIB, size * MIB, 0)) for size in (3, 5, 4)]}
    assert largest_rss_mib(rounds) == 5


def timed(seconds: float, **figures: float) -> Sample:
    return Sample(Outcome(1, seconds, 1, 1, figures=figures), Cost(1, 1, 1, 0))


def test_figures_of_a_case_have_a_table_and_bars_of_their_own() -> None:
    rounds = {OURS: [timed(11, copies=1), timed(11, copies=3), timed(11, copies=2)], NGINX: [timed(10, copies=5)] * 3}
    assert figure("copies")(rounds) == 2
    assert figure_beyond("copies", NGINX)(rounds) == -3
    assert seconds_over(NGINX)(rounds) == 1.1
    text = to_text(Run({}, {}, [CaseResult("case", "a case", "things", rounds)], []))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "copies" in line]
    assert rows == [
        ["a case", OURS, "copies", "2.00", "1.00-3.00"],
        ["a case", NGINX, "copies", "5.00", "5.00-5.00"],
    ]


def test_figures_and_cpu_of_two_contestants_are_compared_round_by_round() -> None:
    quiet = [Sample(Outcome(10, 1, 1, 1, figures={"ms": ms}), Cost(1, 1, 1, 0)) for ms in (1, 10, 100)]
    busy = [Sample(Outcome(5, 1, 3, 1, figures={"ms": ms}), Cost(1, 1, 1, 0)) for ms in (3, 20, 100)]
    rounds = {OURS: quiet, NGINX: busy}
    assert figure_ratio("ms", NGINX, OURS)(rounds) == 2
    assert cpu_ratio(NGINX, OURS)(rounds) == 2
    assert p50_seconds({OURS: busy}) == 3


def test_the_worst_of_a_figure_is_that_of_those_who_have_it() -> None:
    rounds = {OURS: [timed(1)], NGINX: [timed(1, ms=3), timed(1, ms=9), timed(1, ms=4)], REGISTRY: [timed(1, ms=2)]}
    assert worst_figure("ms")(rounds) == 4
    assert Bar("at most 4 ms", "case", worst_figure("ms"), at_most=4).verdict({"case": rounds}).met is True
    assert Bar("no such", "case", worst_figure("s"), at_most=4).verdict({"case": rounds}).met is None


def test_a_bar_without_its_rival_or_its_case_is_not_measured() -> None:
    bar = Bar("at least 0.8 times", "case", rate_over(NGINX), at_least=0.8)
    assert bar.verdict({"case": {OURS: [sample(1)]}}).met is None
    assert bar.verdict({}).met is None


def test_every_bar_is_of_a_case_that_there_is() -> None:
    assert {bar.case for bar in BARS} <= {case.name for case in CASES}
