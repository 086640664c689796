"""Run every stage of the tests, say how long each took, and end with one line: how many passed, how many failed.

A stage that runs pytest counts the tests it reports; any other stage counts as one. A stage that failed does not stop
the stages after it, unless they stand on it. Stages that mostly wait for their hosts run beside others, which have hosts of
their own or none; what those print is shown when they are over. Those that count requests or seconds run alone.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
JUNIT = ROOT / ".cache" / "junit"


class Stage(NamedTuple):
    """A make target, the stages it stands on, and those that run while it does: rows of stages, each one after the other."""

    target: str
    needs: tuple[str, ...] = ()
    beside: tuple[tuple[Stage, ...], ...] = ()


class Outcome(NamedTuple):
    """What became of a stage."""

    seconds: float
    passed: int
    failed: int


STAGES = (
    Stage("artifacts"),
    Stage("images"),
    Stage(
        "molecule",
        ("artifacts", "images"),
        beside=(
            (
                Stage("check"),
                Stage("crash"),
                Stage("data", ("images",)),
                Stage("rds", ("images",)),
                Stage("programs", ("artifacts",)),
                Stage("cloudwatch", ("artifacts",)),
                Stage("aws", ("artifacts", "images")),
            ),
            (Stage("integration", ("artifacts", "images")),),
        ),
    ),
    Stage("load", ("artifacts", "images")),
    Stage("faults", ("artifacts", "images")),
)
# The reports of a stage, where they are not named after it.
REPORTS = {"check": "unit"}


def counted(reports: list[Path]) -> tuple[int, int]:
    """Return how many tests of the given JUnit reports passed and failed."""
    passed = failed = 0
    for report in reports:
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) - bad
    return passed, failed


def run(stage: Stage, log: IO[str] | None = None) -> Outcome:
    """Run one stage and count its tests; a stage that fails without a failed test is itself one."""
    say = functools.partial(print, file=log, flush=True)
    say(f"==> Stage {stage.target}")
    begin = time.monotonic()
    code = subprocess.run(
        ["make", "--no-print-directory", stage.target],
        cwd=ROOT,
        # A program that makes the terminal its own, and is killed, would leave it unusable for the rest.
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT if log else None,
        check=False,
    ).returncode
    seconds = time.monotonic() - begin
    passed, failed = counted(sorted(JUNIT.glob(f"{REPORTS.get(stage.target, stage.target)}*.xml")))
    if code == 0:
        passed += 1
    elif failed == 0:
        failed = 1
    say(f"==> Stage {stage.target}: {'passed' if code == 0 else 'FAILED'} after {seconds:.0f} s")
    return Outcome(seconds, passed, failed)


class Runner:
    """What became of the stages so far."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = wanted
        self.outcomes: dict[str, Outcome] = {}

    def run(self, stage: Stage) -> None:
        """Run *stage* and, at the same time, the rows beside it."""
        beside = [threading.Thread(target=self._run_quietly, args=(row,)) for row in stage.beside]
        for row in beside:
            row.start()
        self._run_one(stage, None)
        for row in beside:
            row.join()

    def _run_quietly(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
                self._run_one(stage, log)
                log.seek(0)
                print(log.read(), end="", flush=True)

    def _run_one(self, stage: Stage, log: IO[str] | None) -> None:
        if self.wanted and stage.target not in self.wanted:
            return
        broken = [name for name in stage.needs if name in self.outcomes and self.outcomes[name].failed]
        if broken:
            print(f"==> Stage {stage.target}: FAILED, it stands on {', '.join(broken)}", file=log, flush=True)
            self.outcomes[stage.target] = Outcome(0, 0, 1)
        else:
            self.outcomes[stage.target] = run(stage, log)


def main() -> int:
    """Run the stages named on the command line, or all."""
    JUNIT.mkdir(parents=True, exist_ok=True)
    for report in JUNIT.glob("*.xml"):
        report.unlink()
    runner, begin = Runner(sys.argv[1:]), time.monotonic()
    for stage in STAGES:
        runner.run(stage)
    print("\nstage         seconds  passed  failed")
    for name, outcome in runner.outcomes.items():
        print(f"{name:<12} {outcome.seconds:>8.0f} {outcome.passed:>7} {outcome.failed:>7}")
    failed = sum(outcome.failed for outcome in runner.outcomes.values())
    passed = sum(outcome.passed for outcome in runner.outcomes.values())
    print(f"{passed} passed, {failed} failed in {(time.monotonic() - begin) / 60:.0f} min", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    # What was said to `make test` is not meant for the stages.
    for variable in ("MAKEFLAGS", "MAKEOVERRIDES", "ARGS", "STAGES", "SCENARIO"):
        os.environ.pop(variable, None)
    sys.exit(main())
