"""Every state that a crash may leave is old or new; the engine itself is the judge."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import crash_model
import crash_scenarios
import crash_trace
import pytest
from crash_model import Crash, Nodes, Recording
from crash_scenarios import SCENARIOS, WRONG, Scenario, Site


@dataclass(frozen=True)
class Depth:
    """How much is looked at: combinations; of the states, every how manieth is also recovered and run again; kills."""

    exhaustive: int
    sample: int
    again: int
    kills: int


SHORT = Depth(exhaustive=32, sample=4, again=8, kills=1)
FEW = Depth(exhaustive=16, sample=0, again=1000, kills=0)
LONG = Depth(exhaustive=4096, sample=300, again=1, kills=1000)


# Without any sync they are still old or new, but not new for good when they say so.
ONE_STEP = (
    "symlink_atomic",
    "unlink_durable",
    "make_dir",
    "Host.enable",
    "Host.disable",
    *filter(lambda name: "rebuild" in name, SCENARIOS),
)
IN_PLACE = "written in place"


@dataclass
class Tally:
    """A row of the table."""

    name: str
    calls: int
    syncs: int
    states: int = 0
    again: int = 0
    faults: int = 0
    seconds: float = 0.0


@pytest.fixture(scope="session")
def depth(request: pytest.FixtureRequest) -> Depth:
    return LONG if request.config.getoption("--all-states") else SHORT


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    crash_scenarios.make_artifacts(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the scratch host: in memory where possible, as thousands of states are laid out there."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="crash-", dir=memory if os.access(memory, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def recorded(base: Path, artifacts: Path) -> Callable[[str], Recording]:
    """Record a scenario when it is first asked for; the paths within are those of the site."""
    return functools.cache(lambda name: record(name, base / "root", artifacts))


@pytest.fixture
def site(base: Path, artifacts: Path) -> Site:
    return Site(base / "root", artifacts)


def record(name: str, root: Path, artifacts: Path, kill_at: int | None = None) -> Recording:
    """Run scenario *name* under strace in a process of its own; check that the model understood all it did."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    trace = root.parent / "trace"
    program = [
        sys.executable,
        crash_scenarios.__file__,
        name,
        root,
        artifacts,
        *([] if kill_at is None else [str(kill_at)]),
    ]
    done = subprocess.run(
        [*crash_trace.STRACE, "-o", trace, *program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    recording, nodes = crash_trace.read(trace, root)
    differs = set(crash_model.tree(nodes)) ^ set(on_disk(root))
    assert not differs, f"the model and the disk differ, a call was misunderstood: {sorted(differs)[:4]}"
    return recording


def on_disk(path: Path, name: str = "") -> Iterator[tuple[str, str, int, bytes]]:
    """Yield what crash_model.tree() yields, from the real tree."""
    mode = path.lstat().st_mode & 0o7777
    if path.is_symlink():
        yield name, "link", mode, os.fsencode(os.readlink(path))
    elif path.is_dir():
        yield name, "dir", mode, b""
        for child in sorted(path.iterdir()):
            yield from on_disk(child, f"{name}/{child.name}")
    else:
        yield name, "file", mode, path.read_bytes()


def lay_out(nodes: Nodes, root: Path) -> None:
    """Make the tree of *nodes* at *root*, in the place of whatever is there."""
    if root.exists():
        shutil.rmtree(root)
    for name, kind, mode, data in crash_model.tree(nodes):
        path = f"{root}{name}"
        if kind == "link":
            os.symlink(data, path)
            continue
        if kind == "dir":
            os.mkdir(path)
        else:
            with open(path, "wb") as stream:
                stream.write(data)
        os.chmod(path, mode)


def faults_of(scenario: Scenario, crash: Crash, last: int, site: Site, again: bool) -> list[str]:
    """Judge one state: as it is found and, if asked for, after recovery and after the same operation once more."""
    lay_out(crash.nodes, site.root)
    try:
        faults = scenario.faults(site)
        if crash.done == last and not faults and not scenario.done(site):
            faults = ["it was reported as done, and is lost"]
        if again and not faults:
            scenario.recover(site, crash.power)
            faults = [f"after recovery: {fault}" for fault in scenario.faults(site)]
            scenario.operate(site)
            faults += [f"run again: {fault}" for fault in scenario.faults(site)]
            if not scenario.done(site):
                faults.append("run again, it does not come to its end")
    except Exception as exc:
        faults = [f"{type(exc).__name__}: {exc}"]
    return faults


def sweep(
    scenario: Scenario, recording: Recording, depth: Depth, site: Site, start: int = 0, stop_at: int = 20
) -> tuple[Tally, list[str]]:
    """Judge the crash states of *recording* from step *start* on; return the counts and the faults, each with its place."""
    started = time.monotonic()
    last = len(recording.steps)
    tally = Tally(scenario.name, last, len(crash_model.syncs(recording)))
    said: list[str] = []
    for crash in crash_model.crashes(recording, depth.exhaustive, depth.sample, start):
        again = tally.states % depth.again == 0
        tally.states += 1
        tally.again += again
        faults = faults_of(scenario, crash, last, site, again)
        if faults:
            tally.faults += 1
            behind = recording.steps[crash.done - 1].call if crash.done else "nothing"
            said.append(
                f"{'power failure' if crash.power else 'kill'} behind step {crash.done} ({behind}): {'; '.join(faults)}"
            )
            if len(said) >= stop_at:
                break
    tally.seconds = time.monotonic() - started
    return tally, said


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_crash_state_is_old_or_new(name, recorded, site, depth, table):
    tally, faults = sweep(SCENARIOS[name], recorded(name), depth, site)
    table.append(tally)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_content_is_durable_before_its_name_and_the_name_before_the_next_step(name, recorded):
    faults = crash_model.order_faults(recorded(name))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_what_a_killed_process_left_is_durable_when_the_next_one_is_done(name, recorded, base, artifacts, site, depth):
    """The next process finds the work done, but nobody has yet asked the disk to keep it."""
    fsyncs = sum(step.call.startswith("fsync") for step in recorded(name).steps)
    faults = []
    for kill_at in range(fsyncs)[-depth.kills :]:
        recording = record(name, base / "root", artifacts, kill_at)
        found = sweep(SCENARIOS[name], recording, FEW, site, start=len(recording.steps), stop_at=1)[1]
        faults += [f"killed before fsync {kill_at + 1} of {fsyncs}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


# -- the check can fail --------------------------------------------------------------------------------------


def violations(scenario: Scenario, recording: Recording, site: Site) -> list[str]:
    return sweep(scenario, recording, FEW, site, stop_at=1)[1]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_order_is_seen(name, recorded, site):
    assert violations(WRONG[name], recorded(name), site)


@pytest.mark.parametrize("name", sorted(WRONG.keys() - {IN_PLACE}))
def test_a_wrong_order_is_named(name, recorded):
    assert crash_model.order_faults(recorded(name))


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_its_syncs_an_operation_is_seen_half_done(name, recorded, site):
    recording = crash_model.without(recorded(name), crash_model.syncs(recorded(name)))
    scenario = SCENARIOS[name]
    if name not in ONE_STEP:
        scenario = dataclasses.replace(scenario, done=lambda site: True)
    assert violations(scenario, recording, site)


@pytest.mark.parametrize(
    "name",
    (
        "write_atomic, replaces",
        "write_atomic, first",
        "symlink_atomic",
        "unlink_durable",
        "remove_tree",
        "Proxy.record",
    ),
)
def test_not_one_sync_can_be_left_out(name, recorded, site):
    recording = recorded(name)
    spare = [
        at
        for at in crash_model.syncs(recording)
        if not violations(SCENARIOS[name], crash_model.without(recording, [at]), site)
    ]
    assert [recording.steps[at].call for at in spare] == []
