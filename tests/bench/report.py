"""Format a run as text for people and as JSON for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.bench.bars import Rounds, Verdict
from tests.bench.content import MIB
from tests.bench.processes import NOISY_CPU_SHARE
from tests.bench.sample import Sample, Spread, ratios

_HEADINGS = (
    "case",
    "server",
    "rate",
    "median",
    "min-max",
    "ours / theirs",
    "p50 ms",
    "p99 ms",
    "CPU us each",
    "RSS MiB",
    "largest",
)
_LEFT_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class CaseResult:
    """Measurements of one case. Ratios compare the first contestant with the others."""

    name: str
    title: str
    unit: str
    rounds: Rounds


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: the machine, the options, the cases and the verdicts of the bars."""

    machine: Mapping[str, str]
    options: Mapping[str, object]
    cases: Sequence[CaseResult]
    verdicts: Sequence[Verdict]


def to_json(run: Run) -> str:
    """Return the whole run with every single measurement as JSON."""
    document = asdict(run)
    for case, result in zip(document["cases"], run.cases, strict=True):
        case["rounds"] = {
            name: [asdict(sample) | {"rate": sample.rate} for sample in samples]
            for name, samples in result.rounds.items()
        }
    return json.dumps(document, indent=2) + "\n"


def to_text(run: Run) -> str:
    """Return the machine, the tables, the bars and the doubtful measurements as Markdown."""
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in run.machine.items()),
        table(_HEADINGS, [row for case in run.cases for row in _rows(case)], left_columns=_LEFT_COLUMNS),
    ]
    if figures := [row for case in run.cases for row in _figures(case)]:
        parts.append(table(("case", "server", "figure", "median", "min-max"), figures, left_columns=_LEFT_COLUMNS))
    if run.verdicts:
        rows = [[each.case, each.text, _number(each.measured), _met(each.met)] for each in run.verdicts]
        parts.append(table(("case", "bar", "measured", "result"), rows, left_columns=2))
    doubts = [doubt for case in run.cases for doubt in _doubts(case)]
    parts.append("\n".join(f"- {doubt}" for doubt in doubts))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left_columns: int) -> str:
    """Return a Markdown table with aligned columns.

    The first `left_columns` columns are aligned to the left and the others to the right.
    """
    shown = [[cell.replace("|", "\\|") for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[column]) for row in shown) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column < left_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < left_columns else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(shown[0]), line(rule), *map(line, shown[1:])])


def _rows(case: CaseResult) -> list[list[str]]:
    ours = next(iter(case.rounds.values()))
    return [
        [case.title, name, f"{case.unit}/s", *_cells(samples, None if samples is ours else ours)]
        for name, samples in case.rounds.items()
    ]


def _cells(samples: Sequence[Sample], ours: Sequence[Sample] | None) -> list[str]:
    rate = Spread.of([sample.rate for sample in samples])
    ratio = "" if ours is None else _number(ratios([s.rate for s in ours], [s.rate for s in samples]).median)
    errors = sum(sample.outcome.errors for sample in samples)
    return [
        _number(rate.median) + (f" ({errors} errors)" if errors else ""),
        f"{_number(rate.low)}-{_number(rate.high)}",
        ratio,
        _number(1e3 * _median([sample.outcome.p50_seconds for sample in samples])),
        _number(1e3 * _median([sample.outcome.p99_seconds for sample in samples])),
        _number(1e6 * _median([sample.cpu_seconds_each for sample in samples])),
        _number(max(sample.cost.rss_bytes for sample in samples) / MIB),
        _number(max(sample.cost.largest_rss_bytes for sample in samples) / MIB),
    ]


def _figures(case: CaseResult) -> list[list[str]]:
    rows = []
    for name, samples in case.rounds.items():
        for figure in samples[0].outcome.figures:
            seen = Spread.of([sample.outcome.figures[figure] for sample in samples])
            ends = f"{_number(seen.low)}-{_number(seen.high)}"
            rows.append([case.title, name, figure, _number(seen.median), ends])
    return rows


def _doubts(case: CaseResult) -> list[str]:
    found = []
    for name, samples in case.rounds.items():
        noisy = [sample.cost.other_cpu_share for sample in samples if sample.cost.other_cpu_share > NOISY_CPU_SHARE]
        if noisy:
            found.append(
                f"{case.title}, {name}: in {len(noisy)} of {len(samples)} rounds other processes used up to "
                f"{max(noisy):.0%} of the CPU time"
            )
    return found


def _median(numbers: Sequence[float]) -> float:
    return Spread.of(numbers).median


def _number(value: float | None) -> str:
    """Format a number with three significant digits, or as a whole number from 100 on. None gives an empty text."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _met(met: bool | None) -> str:
    return {True: "met", False: "not met", None: "not measured"}[met]
