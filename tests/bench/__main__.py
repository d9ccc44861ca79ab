"""Measure all cases, print the tables, and optionally write every measurement as JSON."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import compiled, machine, servers
from tests.bench.bars import BARS
from tests.bench.cases import CASES, Case, Stage
from tests.bench.processes import Watch
from tests.bench.report import CaseResult, Run, to_json, to_text
from tests.bench.sample import Sample
from tests.bench.trial import Trial
from tests.harness import wrk

_QUICK_ROUNDS, _QUICK_SECONDS = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns:
        0 if everything was measured, even if bars are not met. 1 if programs are missing or no case matches.
    """
    options = _options(arguments)
    needed = [wrk.missing(), compiled.missing()]
    if missing := [sentence for sentence in needed if sentence]:
        print("; ".join(missing), file=sys.stderr)
        return 1
    for sentence in servers.missing_rivals():
        print(f"skipped: {sentence}", file=sys.stderr)
    chosen = [case for case in CASES if _is_chosen(case, options)]
    if not chosen:
        print(f"no case matches {options.cases}; fix: use {', '.join(case.name for case in CASES)}", file=sys.stderr)
        return 1
    for case in chosen:
        if sentence := case.missing():
            print(f"skipped case {case.name}: {sentence}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        tempfile.tempdir = folder  # the harness creates all data folders below this folder
        try:
            run = _measured(chosen, options, Path(folder))
        finally:
            tempfile.tempdir = None
    print(to_text(run))
    if options.json:
        options.json.write_text(to_json(run))
    return 0


def _measured(chosen: Sequence[Case], options: argparse.Namespace, folder: Path) -> Run:
    described = machine.describe(folder)
    with ExitStack() as stack:
        stage = Stage(stack)
        results = [_measure(case, stage, options) for case in chosen if not case.missing()]
    rounds = {result.name: result.rounds for result in results}
    return Run(
        machine=described,
        options={"rounds": options.rounds, "seconds": options.seconds},
        cases=results,
        verdicts=[bar.verdict(rounds) for bar in BARS],
    )


def _measure(case: Case, stage: Stage, options: argparse.Namespace) -> CaseResult:
    """Run all rounds of a case. Each round starts with another contestant, so that none is always first."""
    _say(f"{case.title} ({case.name})")
    seconds = max(options.seconds, case.seconds_at_least)
    with case.opened(stage) as trial:
        samples: dict[str, list[Sample]] = {contestant.name: [] for contestant in trial.contestants}
        for number in range(_rounds(case, options)):
            for offset in range(len(trial.contestants)):
                contestant = trial.contestants[(number + offset) % len(trial.contestants)]
                sample = _sample(trial, contestant, seconds)
                samples[contestant.name].append(sample)
                _say(f"  round {number + 1}  {contestant.name:28} {sample.rate:10.1f} {case.unit}/s")
    return CaseResult(case.name, case.title, case.unit, samples)


def _rounds(case: Case, options: argparse.Namespace) -> int:
    rounds = options.rounds if options.quick else max(options.rounds, case.rounds_at_least)
    return int(min(rounds, case.rounds_at_most or rounds))


def _sample(trial: Trial, contestant: servers.Contestant, seconds: int) -> Sample:
    with contestant.serving() as server:
        os.sync()  # write back dirty pages now, so that no contestant pays for another's writes
        with Watch(server.pid) as watch:
            outcome = trial.load_of(contestant)(server, seconds)
        return Sample(outcome, watch.cost)


def _is_chosen(case: Case, options: argparse.Namespace) -> bool:
    if options.cases is None:
        return case.quick or not options.quick
    return fnmatch.fnmatchcase(case.name, options.cases)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=_positive, help="measurements of each server in each case (default: 5)")
    parser.add_argument("--seconds", type=_positive, help="length of each measurement in seconds (default: 3)")
    parser.add_argument(
        "--cases", metavar="GLOB", help=f"run matching cases of: {', '.join(case.name for case in CASES)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s, without the long cases")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("/var/tmp"),
        help="existing folder on a real disk for temporary data (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"the folder {options.folder} does not exist")
    options.rounds = options.rounds or (_QUICK_ROUNDS if options.quick else 5)
    options.seconds = options.seconds or (_QUICK_SECONDS if options.quick else 3)
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
