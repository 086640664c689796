# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
import time

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change, lock
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done


@pytest.fixture
def component(tmp_path, this_host):
    return Component(Layout("app"), this_host)


def staged(component, version, **changed):
    request = {
        "component": "app",
        "version": version,
        "files": [{"dest": "app.conf", "content": version}],
        "activation": {"strategy": "none"},
    } | changed
    release = change.describe(request)
    change.stage(component, request, release)
    return release["id"]


# -- launch and follow -------------------------------------------------------------------------------


def test_a_change_that_was_launched_is_followed_to_its_outcome(component, spawning):
    order = Order.new(staged(component, "1"), {"id": "c-1"})
    change.launch(component, order)
    outcome = change.follow(component, order.attempt)
    assert (outcome["status"], outcome["release"]) == ("confirmed", order.release)
    assert component.ledger().history.current == order.release


def test_a_change_runs_in_a_unit_of_its_own_that_reverts_when_the_engine_is_killed(component, host):
    order = Order.new("r1", {"id": "c-1"})
    change.launch(component, order)
    (argv,) = [call for call in host.calls if call[0] == "systemd-run"]
    plano = f"{component.layout.opt}/bin/plano"
    assert f"--unit=plano-app-change-{order.attempt}.service" in argv
    assert f"--property=ExecStopPost={plano} recover app" in argv
    path = component.layout.run / "app" / f"{order.attempt}.order"
    assert argv[-4:] == [plano, "carry-out", "app", str(path)]
    assert Order(**json.loads(path.read_text())) == order
    assert path.stat().st_mode & 0o077 == 0


def test_a_unit_that_cannot_be_started_is_told(component, host):
    host.refuses("systemd-run", "Failed to connect to bus")
    with pytest.raises(change.EngineError, match=r"'systemd-run .* failed: Failed to connect to bus"):
        change.launch(component, Order.new("r1", {"id": "c-1"}))


def test_a_change_that_waits_for_its_controller_is_confirmed_when_it_comes_back(component, spawning):
    order = Order.new(staged(component, "1", confirm_within=60), {"id": "c-1"})
    change.launch(component, order)
    assert change.follow(component, order.attempt)["status"] == "waiting"
    component.layout.confirm(order.attempt).touch()
    assert change.follow(component, order.attempt, confirmed=True)["status"] == "confirmed"
    assert component.ledger().history.current == order.release


def test_a_unit_that_died_without_a_word_is_told_with_where_to_look(component, hurried):
    outcome = change.follow(component, "a1")
    assert outcome["status"] == "failed"
    assert outcome["message"].endswith("ended without an outcome; see journalctl -u plano-app-change-a1.service")


@pytest.mark.parametrize("waited", [False, True])
def test_the_outcome_of_a_unit_that_died_is_read_from_the_ledger(component, hurried, waited):
    release = staged(component, "1")
    ledger = component.ledger()
    ledger.append("staged", release, attempt="a1")
    ledger.append("failed", release, attempt="a1", reason="the change was interrupted before the switch")
    ledger.append("confirmed", release, attempt="a2")
    if waited:
        change.tell(component, "a1", {"status": "waiting"})
    assert change.follow(component, "a1", confirmed=waited) == {
        "status": "failed",
        "release": release,
        "message": "the change was interrupted before the switch",
    }


def test_a_unit_that_runs_is_waited_for_however_long_it_takes(component, host, hurried):
    states = iter(["active", "active", "deactivating", "inactive"])

    def show():
        state = next(states)
        if state == "deactivating":
            change.tell(component, "a1", {"status": "confirmed"})
        return Done([], 0, f"ActiveState={state}\n", "")

    host.answers["systemctl show plano-app-change-a1.service"] = show
    assert change.follow(component, "a1") == {"status": "confirmed"}


def test_an_outcome_written_in_the_last_moment_counts(component, host, hurried):
    def show():
        change.tell(component, "a1", {"status": "confirmed"})
        return Done([], 0, "ActiveState=inactive\n", "")

    host.answers["systemctl show plano-app-change-a1.service"] = show
    assert change.follow(component, "a1") == {"status": "confirmed"}


# -- waiting for others ------------------------------------------------------------------------------


def beside(component, record, seconds=0.3):
    """Somebody else holds the lock for so long, and says so by *record*."""
    held = threading.Event()

    def hold():
        with lock.Lock(component.layout.lock, "app") as other:
            other.acquire(record)
            held.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    return thread


@pytest.mark.parametrize("of", ["housekeeping", "the very same release"])
def test_a_change_waits_for_what_is_soon_over(component, of):
    release = staged(component, "1")
    other = beside(component, {"change": "other", "release": release if of == "the very same release" else ""})
    assert change.carry_out(component, Order.new(release, {"id": "c-1"}))["status"] == "confirmed"
    other.join()


def test_a_change_does_not_wait_for_ever(component, monkeypatch):
    monkeypatch.setattr(change, "LOCK_SECONDS", 0.1)
    release = staged(component, "1")
    other = beside(component, {"change": "other", "release": release}, seconds=3)
    outcome = change.carry_out(component, Order.new(release, {"id": "c-1"}))
    other.join()
    assert outcome["status"] == "refused"
    assert "app is being changed by change other" in outcome["message"]


@pytest.mark.parametrize(
    ("state", "status"), [("failed", "failed"), ("reverted", "reverted"), ("confirmed", "unchanged")]
)
def test_who_waited_for_the_very_same_release_shares_its_outcome(component, monkeypatch, state, status):
    release = staged(component, "1")

    def queue(*_):
        if state == "confirmed":
            component.strategy(component.described(release)).point(component.described(release))
        component.ledger().append("failed", "another", reason="it is another one's")
        component.ledger().append(state, release, reason="it does not answer", version="1")

    # Between the asking and the getting of the lock, the other one ends.
    monkeypatch.setattr(change, "_queue", queue)
    outcome = change.carry_out(component, Order.new(release, {"id": "c-1"}))
    assert (outcome["status"], outcome["release"]) == (status, release)
    assert outcome["message"] == ("" if state == "confirmed" else "it does not answer")


def test_a_host_that_never_released_has_nothing_to_recover(component):
    assert change.recover(component) is None
    assert not component.layout.lock.exists()


def test_a_disk_that_refuses_a_step_is_an_outcome_with_where_to_look(component):
    component.layout.ledger.parent.parent.mkdir()
    component.layout.ledger.parent.write_text("in the way")
    order = Order.new("r1", {"id": "c-1"})
    outcome = change.carry_out(component, order)
    assert outcome["status"] == "failed"
    assert "the system refused a step of the change: " in outcome["message"]
    assert outcome["message"].endswith(f"see journalctl -u plano-app-change-{order.attempt}.service")
    assert change.follow(component, order.attempt) == outcome
