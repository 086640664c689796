"""Interrupt deploys and rollbacks at random moments, and insist on old or new every time.

The moment is uniform over 0 to 1.1 of the time the same operation takes undisturbed; 85 % of the interruptions are
SIGKILL (of the engine, the module, the controller's SSH, or all of them), the rest is a stop of the engine's unit, a cut
SSH connection, or a power cycle of the host. A user keeps asking all the time and must never be let down, power cycles
left out.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fault_host import NEW, OLD, FaultHost, Request, Run, Users

# How the new release is found: running, stopped, or not even in the store.
STARTS = {"warm": 0.4, "cold": 0.4, "fetch": 0.2}
INTERRUPTIONS = {
    "kill engine": 0.35,
    "kill module": 0.15,
    "kill controller": 0.15,
    "kill all": 0.15,
    "kill recovery": 0.05,
    "stop engine": 0.05,
    "cut SSH": 0.05,
    "power cycle": 0.05,
}
# pkill fails when nothing of that name runs, because the change has not come so far or is over: that is a hit too.
ENGINE = "pkill -KILL -f '^/usr/bin/python3 -I /opt/plano/bin/plano carry-out' || true"
MODULE = "pkill -KILL -fx '/usr/bin/python3 -' || true"
ON_HOST = {
    "kill engine": ENGINE,
    "kill module": MODULE,
    "kill all": f"{ENGINE}; {MODULE}",
    # The engine, and then what systemd runs to revert its work.
    "kill recovery": f"{ENGINE}; for try in 1 2 3 4 5; do sleep 0.1; pkill -KILL -f '^/usr/bin/python3 -I /opt/plano/bin/plano recover' || true; done",
    "stop engine": "systemctl stop 'plano-*-change-*.service'",
    "cut SSH": "pkill -KILL -f '^sshd(-session)?: admin' || true",
}
# What the engine was at, from the outside: its unit, the module's process, and the ledger's last entry.
PHASE = """
last=$(tail -n 1 /var/lib/plano/backend/ledger.jsonl)
if systemctl list-units --plain --no-legend 'plano-*-change-*.service' | grep -q change; then
  case $last in
    *'"@CHANGE@"'*'"state":"staged"'*) echo prepare ;;
    *'"@CHANGE@"'*'"state":"switched"'*) echo switch ;;
    *'"@CHANGE@"'*) echo tidy ;;
    *) echo queue ;;
  esac
elif ls -d /opt/plano/store/.staging-* /opt/plano/backend/releases/.staging-* 2>/dev/null | grep -q .; then echo stage
elif pgrep -fx '/usr/bin/python3 -' >/dev/null; then echo module
else case $last in *'"@CHANGE@"'*) echo ended ;; *) echo connect ;; esac
fi
"""
SAY_EVERY = 25
PHASES = ("connect", "module", "stage", "queue", "prepare", "switch", "tidy", "ended")


@dataclass
class Tally:
    """What was interrupted where, and what broke."""

    rounds: int = 0
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    violations: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rounds + other.rounds,
            self.hits + other.hits,
            self.outcomes + other.outcomes,
            self.requests + other.requests,
            self.violations + other.violations,
        )

    def table(self) -> str:
        """Return the hits as a markdown table: interruption by phase."""
        lines = [f"| interruption | {' | '.join(PHASES)} | all |", "|---" * (len(PHASES) + 2) + "|"]
        for kind in [*INTERRUPTIONS, "all"]:
            row = [
                sum(count for (how, where), count in self.hits.items() if kind in (how, "all") and where == phase)
                for phase in PHASES
            ]
            lines.append(f"| {kind} | {' | '.join(map(str, row))} | {sum(row)} |")
        said = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return "\n".join(
            [
                *lines,
                "",
                f"{self.rounds} interruptions: {said}; {self.requests} requests of users meanwhile; "
                f"{len(self.violations)} violations",
            ]
        )


def choose(chance: random.Random, weights: dict[str, float]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


class Loop:
    """Interruptions of one host, one after the other."""

    def __init__(self, host: FaultHost, seed: int) -> None:
        self.host = host
        self.chance = random.Random(f"{seed} {host.name}")
        self.lasts: dict[tuple[str, str], float] = {}
        self.tally = Tally()

    def prepare(self, start: str, version: str) -> None:
        """Bring the host to where the operation is to start from."""
        if start != "warm":
            self.host.plano("retire", "backend")
        if start == "fetch":
            self.host.forget_artifact(version)

    def launch(self, action: str, request: Request) -> Run:
        if action == "deploy":
            return self.host.start(request)
        command = [*self.host.ssh, "sudo", "/opt/plano/bin/plano", "rollback", "backend", "--allow-rejected"]
        command += ["--to", str(request["artifact"]["version"]), "--reason", request["change"]["id"]]
        # Never the terminal's own: ssh makes its input non-blocking, and when it is killed, it stays so for all who share it.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return Run(process, request)

    def measure(self) -> None:
        """Learn how long each operation takes when nothing happens to it."""
        for start in STARTS:
            for action in ("deploy", "rollback") if start != "fetch" else ("deploy",):
                version = self.next_version()
                self.prepare(start, version)
                began = time.monotonic()
                run = self.launch(action, self.host.request(version))
                run.process.communicate(timeout=120)
                self.lasts[start, action] = time.monotonic() - began
                self.host.assert_sound(version)

    def next_version(self) -> str:
        return next(version for version in (OLD, NEW) if version != self.host.version)

    def round(self, users: Users) -> None:
        """Interrupt one operation, judge, run it again, judge."""
        chance = self.chance
        start = choose(chance, STARTS)
        action = "deploy" if start == "fetch" or chance.random() < 0.75 else "rollback"
        how = choose(chance, INTERRUPTIONS)
        old, new = self.host.version, self.next_version()
        self.prepare(start, new)
        request = self.host.request(new)
        moment = chance.uniform(0, 1.1) * self.lasts[start, action]
        look = PHASE.replace("@CHANGE@", request["change"]["id"])
        # Already on the host and asleep when the operation begins, so that it strikes in time.
        striker = subprocess.Popen(
            self.host.console(f"sleep {moment:.3f}\n{look}\n{ON_HOST.get(how, '')}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        run = self.launch(action, request)
        where = striker.communicate(timeout=120)[0].split()[0]
        if how == "power cycle":
            users.away.set()
            self.host.power_cycle()
            self.host.wait("python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:8080/health\")'")
            users.away.clear()
        run.process.kill()
        run.process.communicate()
        self.host.settle()
        self.tally.rounds += 1
        self.tally.hits[how, where] += 1
        name = f"round {self.tally.rounds} on {self.host.name}: {how} in {where} of a {start} {action} {old} -> {new}"
        found = self.host.invariants()
        # Without its recovery the host serves, but says so only when the next run or the next boot has finished the change.
        due = [fault for fault in found["violations"] if how != "kill recovery" or not fault.startswith(("I2", "I3"))]
        self.tally.violations += [f"{name}: {fault}" for fault in due]
        now = found["facts"]["version"]
        if now not in (old, new):
            self.tally.violations.append(f"{name}: {now} serves")
        self.tally.outcomes["old" if now == old else "new"] += 1
        again = self.host.send({**request, "change": {**request["change"], "id": request["change"]["id"] + "-again"}})
        if again["status"] not in ("confirmed", "unchanged"):
            self.tally.violations.append(
                f"{name}: I5 the same deploy again ended {again['status']}: {again.get('msg')}"
            )
        self.host.settle()
        found = self.host.invariants()
        self.tally.violations += [f"{name}, then again: {fault}" for fault in found["violations"]]
        if again["status"] == "confirmed" and found["facts"]["litter"]:
            self.tally.violations.append(f"{name}, then again: I5 left {found['facts']['litter']}")
        self.tally.violations += [f"{name}: a user was let down: {failure}" for failure in users.failures]
        users.failures.clear()


def interrupt(host: FaultHost, rounds: int, seconds: float, seed: int, say: Callable[[str], None]) -> Tally:
    """Interrupt *rounds* operations on *host*, or as many as *seconds* allow; say now and then how far it is."""
    host.must_deploy(OLD)
    host.must_deploy(NEW)
    loop = Loop(host, seed)
    loop.measure()
    deadline = time.monotonic() + seconds
    with Users(host) as users:
        while loop.tally.rounds < rounds and time.monotonic() < deadline:
            known = len(loop.tally.violations)
            loop.round(users)
            for violation in loop.tally.violations[known:]:
                say(f"VIOLATION {violation}")
            if loop.tally.rounds % SAY_EVERY == 0:
                say(
                    f"{host.name}: {loop.tally.rounds} of {rounds} interruptions, {len(loop.tally.violations)} violations"
                )
        loop.tally.requests = users.requests
    return loop.tally
