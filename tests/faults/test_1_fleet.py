"""A change is good on every host, or on none: the batches, the way back, and what the operator is told.

The tests stand in the order of a bad week: each starts from the version the one before it ended with.
"""

from __future__ import annotations

import pytest
from fault_host import NEW, OLD
from fleet import Fleet

BROKEN = "1.2.0-broken"


@pytest.fixture(autouse=True, scope="module")
def unpinned(fleet: Fleet):
    """What the rollback at the end pins must not hold for the tests after these."""
    yield
    fleet.pins.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def whole(fleet: Fleet):
    """Whatever happened: each host serves a confirmed release, and nothing was pinned by a machine."""
    yield
    assert all(fleet.consistent(host) for host in fleet.hosts)


def test_a_bad_release_reaches_the_first_host_only(fleet):
    before = {host: fleet.ledger(host) for host in fleet.hosts}
    done = fleet.deploy(BROKEN)
    assert done.code != 0
    assert f"backend {BROKEN}: " in done.words
    assert (done.failures, done.versions) == ([], [OLD])
    first, *others = fleet.hosts
    assert fleet.ledger(first)[-1]["state"] in ("failed", "reverted")
    assert all(fleet.ledger(host) == before[host] for host in others)
    assert all(done.row("backend", host)[2] == OLD for host in fleet.hosts)
    assert set(fleet.serving().values()) == {OLD}


def test_a_host_that_is_away_stops_the_change_before_it_begins(fleet):
    away, *there = reversed(fleet.hosts)
    before = {host: fleet.ledger(host) for host in there}
    with fleet.paused(away):
        done = fleet.deploy(NEW, asked=there)
    assert done.code != 0
    assert f"No answer from {away}; no host was touched" in done.words
    assert f"--limit 'all:!{away}'" in done.words.replace("''", "'")
    assert (done.failures, done.versions) == ([], [OLD])
    assert all(fleet.ledger(host) == before[host] for host in there)


def test_status_names_a_host_that_is_away(fleet):
    away = fleet.hosts[1]
    with fleet.paused(away):
        done = fleet.play("status", asked=[])
    assert done.code != 0
    assert done.row("-", away)[4:6] == ["no", "answer"]
    assert all(done.row("backend", host)[2] == OLD for host in fleet.hosts if host != away)
    assert fleet.play("status", asked=[]).code == 0


def test_a_release_that_is_bad_on_one_host_of_the_last_batch_leaves_all_of_them(fleet):
    bad, *good = reversed(fleet.hosts)
    with fleet.without_database(bad):
        done = fleet.deploy(NEW)
    assert done.code != 0
    assert done.failures == []
    assert f"Not good on {bad}, so change " in done.words
    assert "the database does not answer" in done.words or "the migration failed" in done.words
    assert set(fleet.serving().values()) == {OLD}
    assert all(done.row("backend", host)[2] == OLD for host in fleet.hosts)
    for host in good:
        had, left = fleet.ledger(host)[-4], fleet.ledger(host)[-1]
        assert left["version"] == NEW
        assert left["change"]["reason"] == f"taken back, because it was not good on {bad}"
        assert had["change"]["id"] == left["change"]["id"]
    assert not fleet.pins.exists()


def test_a_host_lost_while_it_proves_the_release_does_not_keep_the_others_from_going_back(fleet):
    first, lost, *rest = fleet.hosts
    before = {host: fleet.ledger(host) for host in rest}
    with fleet.silent_in_its_change(lost) as happened:
        done = fleet.deploy(NEW, asked=[first, *rest])
        assert happened.is_set()
        assert done.code != 0
        assert done.failures == []
        assert f"Not good on {lost}, so change " in done.words
        assert done.row("-", lost)[4:6] == ["no", "answer"]
        assert all(done.row("backend", host)[2] == OLD for host in (first, *rest))
        assert fleet.status(first)["backend"]["version"] == OLD
        assert all(fleet.ledger(host) == before[host] for host in rest)
    # Alone again, it finishes what it had begun, or finds that its time was up.
    fleet.wait_until(lambda: fleet.ledger(lost)[-1]["state"] in ("confirmed", "reverted", "failed"))
    assert fleet.status(lost)["backend"]["version"] in (OLD, NEW)


def test_the_same_command_again_brings_all_hosts_together(fleet):
    done = fleet.deploy(NEW)
    assert done.code == 0
    assert done.failures == []
    assert set(fleet.serving().values()) == {NEW}
    assert "Take the change back" not in done.output


def test_check_mode_changes_nothing_and_says_what_would_happen(fleet):
    before = {host: fleet.ledger(host) for host in fleet.hosts}
    done = fleet.deploy(BROKEN, "--check", "--diff")
    assert done.code == 0
    assert f"+{BROKEN}-" in done.words
    assert {host: fleet.ledger(host) for host in fleet.hosts} == before


def test_a_limit_leaves_the_other_hosts_alone(fleet):
    one, *others = fleet.hosts
    before = {host: fleet.ledger(host) for host in others}
    done = fleet.deploy(BROKEN, "--limit", one)
    assert done.code != 0
    assert {host: fleet.ledger(host) for host in others} == before
    assert all(host not in done.output for host in others)


def test_a_rollback_reaches_every_host_that_answers_and_names_the_one_that_does_not(fleet):
    away, *there = fleet.hosts
    with fleet.paused(away):
        done = fleet.play("rollback", asked=there)
    assert done.code != 0
    assert done.failures == []
    assert f"Not rolled back: {away}. Try again there only: --limit {away}" in done.words
    assert done.row("-", away)[4:6] == ["no", "answer"]
    assert all(done.row("backend", host)[2] == OLD for host in there)
    assert fleet.serving() == {away: NEW, **dict.fromkeys(there, OLD)}
    again = fleet.play("rollback", "--limit", away)
    assert (again.code, again.failures) == (0, [])
    assert set(fleet.serving().values()) == {OLD}
