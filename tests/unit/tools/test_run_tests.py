"""Stages run in their order, some beside others; what a broken stage carries is not run."""

from __future__ import annotations

import threading

import pytest
import run_tests
from run_tests import Outcome, Runner, Stage


@pytest.fixture
def ran(monkeypatch):
    """The stages that were run; one whose name says so fails."""
    found = []

    def run(stage, log=None):
        found.append(stage.target)
        print(f"said by {stage.target}", file=log)
        return Outcome(1, 1, int("broken" in stage.target))

    monkeypatch.setattr(run_tests, "run", run)
    return found


def test_what_stands_on_a_broken_stage_fails_with_it_and_the_rest_goes_on(ran, capfd):
    runner = Runner([])
    for stage in (Stage("broken"), Stage("sound"), Stage("upon", ("sound", "broken"))):
        runner.run(stage)
    assert ran == ["broken", "sound"]
    assert [name for name, outcome in runner.outcomes.items() if outcome.failed] == ["broken", "upon"]
    assert "Stage upon: FAILED, it stands on broken" in capfd.readouterr().out


def test_only_what_was_named_is_run(ran):
    runner = Runner(["beside"])
    runner.run(Stage("first"))
    runner.run(Stage("long", beside=((Stage("beside"), Stage("other")),)))
    assert ran == ["beside"]


def test_stages_run_beside_another_one_after_the_other_and_are_told_whole(monkeypatch, capfd):
    both = threading.Barrier(2, timeout=20)

    def run(stage, log=None):
        if stage.target in ("long", "second"):
            both.wait()  # they are there at the same time, or this breaks
        print(f"said by {stage.target}", file=log, flush=True)
        return Outcome(1, 1, 0)

    monkeypatch.setattr(run_tests, "run", run)
    runner = Runner([])
    runner.run(Stage("long", beside=((Stage("first"), Stage("second")),)))
    said = capfd.readouterr().out.splitlines()
    assert sorted(said) == ["said by first", "said by long", "said by second"]
    assert said.index("said by first") < said.index("said by second")
    assert set(runner.outcomes) == {"long", "first", "second"}


def test_every_stage_is_a_target_of_make():
    known = {
        line.split(":")[0]
        for line in (run_tests.ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
        if ": " in line
    }
    targets = [
        stage.target for each in run_tests.STAGES for stage in (each, *(one for row in each.beside for one in row))
    ]
    assert set(targets) <= known
    assert len(targets) == len(set(targets))
