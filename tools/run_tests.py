"""Run every stage of the tests, say how long each took, and end with one line: how many passed, how many failed.

A stage that runs pytest counts the tests it reports; any other stage counts as one. A stage that failed does not stop
the stages after it, unless they stand on it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
JUNIT = ROOT / ".cache" / "junit"


class Stage(NamedTuple):
    """A make target and the stages it stands on."""

    target: str
    needs: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What became of a stage."""

    seconds: float
    passed: int
    failed: int


STAGES = (
    Stage("artifacts"),
    Stage("check"),
    Stage("crash"),
    Stage("images"),
    Stage("molecule", ("artifacts", "images")),
    Stage("load", ("artifacts", "images")),
    Stage("integration", ("artifacts", "images")),
    Stage("faults", ("artifacts", "images")),
)


def counted(reports: list[Path]) -> tuple[int, int]:
    """Return how many tests of the given JUnit reports passed and failed."""
    passed = failed = 0
    for report in reports:
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) - bad
    return passed, failed


def run(stage: Stage) -> Outcome:
    """Run one stage and count its tests; a stage that fails without a failed test is itself one."""
    print(f"==> Stage {stage.target}", flush=True)
    before = {report: report.stat().st_mtime_ns for report in JUNIT.glob("*.xml")}
    begin = time.monotonic()
    code = subprocess.run(["make", "--no-print-directory", stage.target], cwd=ROOT, check=False).returncode
    seconds = time.monotonic() - begin
    passed, failed = counted([r for r in JUNIT.glob("*.xml") if before.get(r) != r.stat().st_mtime_ns])
    if code == 0:
        passed += 1
    elif failed == 0:
        failed = 1
    print(f"==> Stage {stage.target}: {'passed' if code == 0 else 'FAILED'} after {seconds:.0f} s", flush=True)
    return Outcome(seconds, passed, failed)


def main() -> int:
    """Run the stages named on the command line, or all."""
    JUNIT.mkdir(parents=True, exist_ok=True)
    for report in JUNIT.glob("*.xml"):
        report.unlink()
    wanted = sys.argv[1:] or [stage.target for stage in STAGES]
    outcomes: dict[str, Outcome] = {}
    for stage in STAGES:
        if stage.target not in wanted:
            continue
        broken = [name for name in stage.needs if name in outcomes and outcomes[name].failed]
        if broken:
            print(f"==> Stage {stage.target}: FAILED, it stands on {', '.join(broken)}", flush=True)
            outcomes[stage.target] = Outcome(0, 0, 1)
            continue
        outcomes[stage.target] = run(stage)
    print("\nstage         seconds  passed  failed")
    for name, outcome in outcomes.items():
        print(f"{name:<12} {outcome.seconds:>8.0f} {outcome.passed:>7} {outcome.failed:>7}")
    failed = sum(outcome.failed for outcome in outcomes.values())
    print(f"{sum(outcome.passed for outcome in outcomes.values())} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    # What was said to `make test` is not meant for the stages.
    for variable in ("MAKEFLAGS", "MAKEOVERRIDES", "ARGS", "STAGES", "SCENARIO"):
        os.environ.pop(variable, None)
    sys.exit(main())
