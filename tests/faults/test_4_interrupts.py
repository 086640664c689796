"""D02 and I1 to I6 at large: kill at every step, interrupt at random, and every time the old or the new release serves."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import kill_sweep
from fault_host import NEW, OLD, FaultHost
from interrupts import Tally, interrupt

ROUNDS = int(os.environ.get("PLANO_INTERRUPTS", "60"))
SEED = int(os.environ.get("PLANO_SEED", "1"))
# A round takes three to ten seconds; this only ends a run that hangs.
ROUND_SECONDS = 60
SWEPT = ("fault-app1", "fault-app2")


def on_each(work, hosts):
    """Run *work* for all *hosts* at once; whatever fails on one of them fails here."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(work, hosts))


def test_kill_at_every_step(hosts: dict[str, FaultHost], say: Callable[[str], None]) -> None:
    pair = [hosts[name] for name in SWEPT]
    for host in pair:
        host.must_deploy(OLD)
        host.must_deploy(NEW)
    steps = [kill_sweep.steps_of_a_change(host) for host in pair]
    assert all(len(each) > 40 for each in steps), steps
    # Both hosts make the same steps, so each takes every other one.
    shares = {host.name: each[number::2] for number, (host, each) in enumerate(zip(pair, steps, strict=True))}
    found = on_each(lambda host: list(kill_sweep.sweep(host, shares[host.name])), pair)
    say(f"killed at each of {sum(map(len, shares.values()))} steps of a change")
    assert [fault for each in found for fault in each] == []


def test_d02_kill_random_moment(hosts: dict[str, FaultHost], say: Callable[[str], None]) -> None:
    # Not more hosts at once: two keep two cores busy, and four make no more rounds in the same time.
    pair = [hosts[name] for name in SWEPT]
    rounds = -(-ROUNDS // len(pair))
    tallies = on_each(lambda host: interrupt(host, rounds, rounds * ROUND_SECONDS, SEED, say), pair)
    total = sum(tallies, Tally())
    say(f"seed {SEED}\n{total.table()}")
    assert total.violations == []
    assert total.rounds >= ROUNDS
