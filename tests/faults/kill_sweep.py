"""Kill the engine at every step that it makes on the disk or at the proxy's socket: none is skipped, none is left to chance.

strace (in the engine's own unit, by a drop-in) first lists the steps of an undisturbed change, then delivers SIGKILL on
entering the n-th call of a kind, one change for each step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fault_host import NEW, OLD, FaultHost, Result

CALLS = (
    "connect,fsync,ftruncate,link,linkat,mkdir,mkdirat,pwrite64,rename,renameat,renameat2,rmdir,symlink,symlinkat,"
    "syncfs,unlink,unlinkat"
)
TRACE = "/run/plano-fault-trace"
Step = tuple[str, int]


def strace(options: str) -> str:
    """Return the drop-in that runs the engine below strace; %j is the attempt, the last part of the unit's name."""
    engine = "/opt/plano/bin/plano carry-out backend /run/plano/backend/%j.order"
    return f"ExecStart=\nExecStart=/usr/bin/strace -q -o {TRACE} -e trace={CALLS} {options} {engine}"


def other_version(host: FaultHost) -> str:
    return NEW if host.version == OLD else OLD


def steps_of_a_change(host: FaultHost) -> list[Step]:
    """Make one change undisturbed and return its steps in order: the call, and the how many-th of its kind it is."""
    with host.engine_drop_in(strace("")):
        host.must_deploy(other_version(host))
        host.settle()
    seen: Counter[str] = Counter()
    steps = []
    for line in host.on(f"cat {TRACE}").splitlines():
        call = line.partition("(")[0]
        if call in CALLS.split(","):
            seen[call] += 1
            steps.append((call, seen[call]))
    return steps


def kill_at(host: FaultHost, step: Step) -> tuple[str, Result]:
    """Kill the engine at *step* of a change; return the version that was to become current, and what the module said."""
    call, number = step
    wanted = other_version(host)
    with host.engine_drop_in(strace(f"-e inject={call}:signal=KILL:when={number}")):
        said = host.deploy(wanted)
        host.settle()
        assert "+++ killed by SIGKILL +++" in host.on(f"tail -n 1 {TRACE}"), (
            f"{step} never came; the change ended {said}"
        )
    return wanted, said


def sweep(host: FaultHost, steps: list[Step]) -> Iterator[str]:
    """Kill at each of *steps*; yield every violation, then converge by the same deploy."""
    for step in steps:
        old = host.version
        wanted, said = kill_at(host, step)
        name = f"{host.name}, killed at {step[0]} number {step[1]} of {old} -> {wanted} ({said['status']})"
        found = host.invariants()
        for fault in found["violations"]:
            yield f"{name}: {fault}"
        if found["facts"]["version"] not in (old, wanted):
            yield f"{name}: {found['facts']['version']} serves"
        if said["status"] == "confirmed" and found["facts"]["version"] != wanted:
            yield f"{name}: confirmed was said, but {found['facts']['version']} serves"
        again = host.deploy(wanted)
        if again["status"] not in ("confirmed", "unchanged"):
            yield f"{name}: I5 the same deploy again ended {again['status']}: {again.get('msg')}"
        host.settle()
