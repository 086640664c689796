# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import random
from contextlib import contextmanager

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change
from ansible_collections.plano.delivery.plugins.module_utils.engine.activate import BlueGreen
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import Ledger
from ansible_collections.plano.delivery.plugins.module_utils.engine.lock import Lock


class Killed(BaseException):
    """The engine's process is gone."""


@contextmanager
def killed(monkeypatch, step):
    """Within, the engine is killed when it comes to *step* of the strategy."""

    def die(*_args, **_options):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(BlueGreen, step, die)
        yield


def warm(site, slot):
    return site.running(f"app@{slot}.service")


# -- a good change -----------------------------------------------------------------------------------


def test_the_first_release_starts_in_the_idle_slot_and_serves(site):
    outcome = site.deploy("1")
    assert (outcome["status"], outcome["previous"]) == ("confirmed", None)
    assert set(outcome["phases"]) >= {"start", "health", "soak", "switch", "verify_live"}
    assert site.served() == "1"
    assert site.states() == ["staged", "switched", "confirmed"]


def test_the_next_release_goes_into_the_other_slot_and_the_old_one_stays_warm(site):
    site.deploy("1")
    before = site.haproxy.live["active"]
    assert site.deploy("2")["status"] == "confirmed"
    assert site.haproxy.live["active"] != before
    assert site.served() == "2"
    assert warm(site, before).startswith("1-")
    assert site.host.is_planned("plano-app-retire")


def test_nobody_retires_the_slot_in_which_a_release_is_being_started(site):
    site.deploy("1")
    site.deploy("2")
    planned = []
    start = site.host.answers["systemctl start app@green"]
    site.host.answers["systemctl start app@green"] = lambda: (
        planned.append(site.host.is_planned("plano-app-retire")),
        start(),
    )[1]
    site.deploy("3")
    assert planned == [False]
    assert site.host.is_planned("plano-app-retire")


def test_the_slot_that_is_switched_to_stands_in_the_ledger(site):
    site.deploy("1")
    assert site.component.ledger().history.slot == site.haproxy.live["active"] == "green"


def test_the_same_release_again_touches_no_process(site):
    site.deploy("1")
    pids = {name: unit.pid for name, unit in site.host.units.items()}
    assert site.deploy("1")["status"] == "unchanged"
    assert {name: unit.pid for name, unit in site.host.units.items()} == pids


def test_a_release_whose_process_is_gone_is_started_anew_in_the_other_slot(site):
    site.deploy("1")
    site.host.stop("app@green.service")
    assert site.deploy("1")["status"] == "confirmed"
    assert (site.served(), site.haproxy.live["active"]) == ("1", "blue")


def test_links_of_the_old_release_that_the_new_one_lacks_are_taken_back(site, tmp_path):
    place = tmp_path / "etc" / "app.conf"
    site.deploy("1", links={str(place): "config/app.conf"})
    assert place.read_text() == "version 1\n"
    site.deploy("2")
    assert not os.path.lexists(place)
    site.rollback()
    assert place.read_text() == "version 1\n"


def test_a_rollback_while_the_old_release_is_warm_starts_nothing(site):
    site.deploy("1")
    site.deploy("2")
    starts = site.host.ran("systemctl start app@")
    outcome = site.rollback()
    assert outcome["status"] == "confirmed"
    assert "warm" in outcome["phases"]
    assert site.host.ran("systemctl start app@") == starts
    assert site.served() == "1"


def test_a_rollback_to_a_stopped_release_starts_it_without_soaking(site):
    site.deploy("1")
    site.deploy("2")
    site.host.stop("app@green.service")
    outcome = site.rollback()
    assert outcome["status"] == "confirmed"
    assert set(outcome["phases"]) & {"warm", "start", "soak"} == {"start"}
    assert site.served() == "1"


def test_a_warm_release_that_no_longer_answers_is_started_anew(site):
    site.deploy("1")
    site.deploy("2")
    site.broken["1"] = "silent"
    site.host.answers["systemctl stop app@green"] = lambda: (
        site.broken.clear(),
        site.host._systemctl("stop", "app@green.service"),
    )[1]
    outcome = site.rollback()
    assert "start" in outcome["phases"]
    assert site.served() == "1"


def test_a_release_that_was_rolled_back_is_kept_warm_for_a_moment_only(site):
    site.deploy("1")
    site.deploy("2")
    site.host.calls.clear()
    site.rollback()
    assert site.host.ran("systemd-run --quiet --collect --unit=plano-app-retire --on-active=1 ") == 1


# -- a bad change: what served goes on serving -------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("start", "app@blue.service did not start: Job failed"),
        ("silent", "the new release in slot blue was never given traffic: not healthy within 1 s: "),
        (
            "crash",
            "the new release in slot blue was never given traffic: healthy at first, then: app@blue.service exited",
        ),
    ],
)
def test_a_release_that_fails_before_the_switch_gets_no_request(site, fault, words):
    site.deploy("1")
    site.broken["2"] = fault
    site.host.says("journalctl", "Traceback: no such table")
    outcome = site.deploy("2")
    assert outcome["status"] == "failed"
    assert words in outcome["message"]
    assert "Last words of app@blue.service:\nTraceback: no such table" in outcome["message"]
    assert outcome["message"].endswith("goes on serving.")
    assert site.served() == "1"
    assert warm(site, "blue") is None
    assert site.host.ran("systemctl start app@green") == 1


def test_a_release_that_fails_and_keeps_crashing_is_not_waited_for(site):
    site.broken["1"] = "silent"
    real = site.host.answers["systemctl start app@green"]

    def start():
        done = real()
        site.host.units["app@green.service"].restarts = 3
        return done

    site.host.answers["systemctl start app@green"] = start
    assert "app@green.service has crashed 3 times since it was started" in site.deploy("1")["message"]


def test_a_release_that_only_fails_behind_the_proxy_is_reverted(site):
    site.deploy("1")
    site.broken["2"] = "front"
    outcome = site.deploy("2")
    assert outcome["status"] == "reverted"
    assert "through the proxy: not healthy within 5 s" in outcome["message"]
    assert site.served() == "1"
    assert warm(site, "blue") is None


def test_a_first_release_that_fails_behind_the_proxy_leaves_nothing_running(site):
    site.broken["1"] = "front"
    assert site.deploy("1")["status"] == "reverted"
    assert not site.layout.current.is_symlink()
    assert (warm(site, "green"), site.host.enabled()) == (None, [])
    assert site.component.ledger().history.current is None


def test_a_proxy_that_does_not_answer_is_found_before_anything_starts(site):
    site.deploy("1")
    site.haproxy.crash()
    outcome = site.deploy("2")
    assert outcome["status"] == "failed"
    assert "HAProxy's master does not answer" in outcome["message"]
    assert site.host.ran("systemctl start app@blue") == 0
    site.haproxy.start()
    assert site.served() == "1"


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_a_proxy_that_dies_at_the_switch_serves_the_old_release_when_it_starts_again(site, when):
    site.deploy("1")
    setattr(site.haproxy, when, "set map")
    outcome = site.deploy("2")
    assert outcome["status"] == "reverted"
    assert "THE REVERT ITSELF FAILED: HAProxy's master does not answer" in outcome["message"]
    assert site.component.ledger().entries[-1]["clean"] is False
    site.haproxy.start()
    assert site.served() == "1"


def test_a_proxy_that_does_not_switch_keeps_the_old_release(site):
    site.deploy("1")
    site.haproxy.ignores = f"set map {site.haproxy.map_path} active blue"
    outcome = site.deploy("2")
    assert outcome["status"] == "reverted"
    assert "HAProxy still serves slot green" in outcome["message"]
    assert site.served() == "1"


def test_a_unit_that_was_changed_after_its_start_is_not_switched_to(site, monkeypatch):
    site.deploy("1")
    real = Ledger.append

    def tampered(ledger, state, release, **detail):
        if state == "switched":
            (site.host.unit_dir / "app@blue.service").write_text("[Service]\n")
        return real(ledger, state, release, **detail)

    monkeypatch.setattr(Ledger, "append", tampered)
    outcome = site.deploy("2")
    assert outcome["status"] == "reverted"
    assert "the unit of the new release was changed after it was started" in outcome["message"]
    assert site.served() == "1"


def test_an_old_release_that_died_meanwhile_is_started_for_the_revert(site):
    site.deploy("1")
    site.broken["2"] = "front"
    started = site.host.answers["systemctl start app@blue"]
    site.host.answers["systemctl start app@blue"] = lambda: (site.host.stop("app@green.service"), started())[1]
    assert site.deploy("2")["status"] == "reverted"
    assert site.served() == "1"


def test_an_old_release_that_does_not_come_back_is_told(site):
    site.deploy("1")
    site.broken["2"] = "front"
    started = site.host.answers["systemctl start app@blue"]

    def start():
        site.host.stop("app@green.service")
        site.broken["1"] = "silent"
        return started()

    site.host.answers["systemctl start app@blue"] = start
    outcome = site.deploy("2")
    assert "THE REVERT ITSELF FAILED: the old release 1-" in outcome["message"]
    assert "does not come back: not healthy within 1 s" in outcome["message"]


def test_requests_in_flight_on_the_failed_release_end_before_it_is_stopped(site):
    site.deploy("1")
    site.broken["2"] = "front"
    site.haproxy.sessions["blue"] = [2, 1, 0]
    site.deploy("2")
    assert site.haproxy.sessions["blue"] == [0]
    assert warm(site, "blue") is None


def test_a_failed_release_with_no_time_to_drain_is_stopped_at_once(site, hurried):
    site.deploy("1")
    site.broken["2"] = "front"
    site.haproxy.sessions["blue"] = [1]
    activation = {**site.request("2")["activation"], "drain_seconds": 0}
    before = hurried.skipped
    outcome = site.deploy("2", activation=activation)
    assert outcome["warnings"] == [
        "slot blue still had requests in flight after 0 s; they end with its process (more drain_seconds give them more time)"
    ]
    assert warm(site, "blue") is None
    assert hurried.skipped - before < 15


# -- interruptions -----------------------------------------------------------------------------------

# The step at which the engine is killed, and the version that serves in the end.
INTERRUPTIONS = [("soak", "1"), ("switch", "1"), ("point", "1"), ("verify", "1"), ("settle", "2")]


@pytest.mark.parametrize(("step", "version"), INTERRUPTIONS)
def test_recovery_after_a_kill_brings_one_release_back_and_leaves_no_other_process(site, monkeypatch, step, version):
    site.deploy("1")
    with killed(monkeypatch, step):
        site.deploy("2")
    change.recover(site.component)
    assert site.served() == version
    assert warm(site, "green").startswith("1-")
    assert (warm(site, "blue") is None) == (version == "1")
    assert change.recover(site.component) is None


@pytest.mark.parametrize(("step", "version"), INTERRUPTIONS)
def test_a_restart_of_the_host_after_a_kill_brings_one_release_back(site, monkeypatch, step, version):
    site.deploy("1")
    with killed(monkeypatch, step):
        site.deploy("2")
    site.restarts(lambda: change.recover(site.component, at_boot=True))
    assert site.served() == version
    assert [slot for slot in ("blue", "green") if warm(site, slot)] == [site.haproxy.live["active"]]
    assert change.recover(site.component) is None


@pytest.mark.parametrize("step", [step for step, _version in INTERRUPTIONS])
def test_the_next_deploy_after_a_kill_finishes_it_and_goes_on(site, monkeypatch, step):
    site.deploy("1")
    with killed(monkeypatch, step):
        site.deploy("2")
    assert site.deploy("3")["status"] == "confirmed"
    assert site.served() == "3"


def test_a_failed_release_after_a_kill_leaves_only_what_serves_to_start_at_boot(site, monkeypatch):
    site.deploy("1")
    with killed(monkeypatch, "settle"):
        site.deploy("2")
    site.broken["3"] = "front"
    assert site.deploy("3")["status"] == "reverted"
    assert site.served() == "2"


@pytest.mark.parametrize("step", ["soak", "switch", "verify"])
def test_a_kill_in_the_first_deploy_leaves_nothing(site, monkeypatch, step):
    with killed(monkeypatch, step):
        site.deploy("1")
    change.recover(site.component)
    assert not site.layout.current.is_symlink()
    assert (warm(site, "blue"), warm(site, "green"), site.host.enabled()) == (None, None, [])


def test_a_restart_of_the_host_in_the_first_deploy_leaves_nothing(site, monkeypatch):
    with killed(monkeypatch, "verify"):
        site.deploy("1")
    site.restarts(lambda: change.recover(site.component, at_boot=True))
    assert not site.layout.current.is_symlink()
    assert (warm(site, "blue"), warm(site, "green"), site.host.enabled()) == (None, None, [])


def test_a_restart_of_the_host_brings_back_what_served(site):
    site.deploy("1")
    site.deploy("2")
    site.haproxy.map_path.write_text("active green\n")
    site.layout.current.unlink()
    site.restarts(lambda: change.recover(site.component, at_boot=True))
    assert site.served() == "2"
    assert warm(site, "green") is None


@pytest.mark.parametrize("step", ["switch", "point", "verify"])
def test_recovery_after_a_kill_in_a_rollback_keeps_what_it_wanted_to_leave(site, monkeypatch, step):
    site.deploy("1")
    site.deploy("2")
    with killed(monkeypatch, step):
        site.rollback()
    change.recover(site.component)
    assert site.served() == "2"
    assert site.rollback()["status"] == "confirmed"
    assert site.served() == "1"


def test_a_rollback_killed_before_its_switch_leaves_its_target_as_a_standby(site, monkeypatch):
    site.deploy("1")
    site.deploy("2")
    site.host.stop("app@green.service")
    with killed(monkeypatch, "direct_fault"):
        site.rollback()
    change.recover(site.component)
    assert site.served() == "2"
    assert warm(site, "green").startswith("1-")
    assert site.host.is_planned("plano-app-retire")


@pytest.mark.parametrize("step", ["switch", "verify"])
def test_a_kill_while_a_release_is_started_anew_brings_it_back_in_its_own_slot(site, monkeypatch, step):
    site.deploy("1")
    site.host.stop("app@green.service")
    with killed(monkeypatch, step):
        site.deploy("1")
    change.recover(site.component)
    assert (site.served(), site.haproxy.live["active"], warm(site, "blue")) == ("1", "green", None)


@pytest.mark.parametrize("at_boot", [False, True])
def test_a_switch_into_a_slot_that_nobody_knows_keeps_what_runs(site, at_boot):
    site.deploy("1")
    site.component.ledger().append("switched", site.stage("2"), version="2")
    pids = {name: unit.pid for name, unit in site.host.units.items()}
    change.recover(site.component, at_boot)
    assert site.served() == "1"
    assert {name: unit.pid for name, unit in site.host.units.items() if unit.pid} == {
        k: v for k, v in pids.items() if v
    }


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_in_whatever_order_one_release_serves(site, monkeypatch, seed):
    """Releases, failures, kills and restarts at random: all sources name the release that the model names."""
    pick = random.Random(seed)
    site.deploy("0")
    confirmed = ["0"]
    for version in map(str, range(1, 11)):
        what = pick.choice(["release", "release", "rollback", "fail", "kill", "kill", "restart", "retire"])
        if what == "release":
            site.deploy(version)
            confirmed.append(version)
        elif what == "rollback" and len(confirmed) > 1:
            site.rollback()
            confirmed.pop()
        elif what == "fail":
            site.broken[version] = pick.choice(["start", "silent", "crash", "front"])
            site.deploy(version)
        elif what == "kill":
            step, serves = pick.choice(INTERRUPTIONS)
            with killed(monkeypatch, step):
                site.deploy(version)
            if serves == "2":
                confirmed.append(version)
            if pick.random() < 0.5:
                change.recover(site.component)
            else:
                site.restarts(lambda: change.recover(site.component, at_boot=True))
        elif what == "restart":
            site.restarts(lambda: change.recover(site.component, at_boot=True))
        elif what == "retire":
            change.retire(site.component)
        assert (version, what, site.served()) == (version, what, confirmed[-1])
        assert drift(site) == ""


# -- holding, and retiring the standby ---------------------------------------------------------------


def test_recovery_makes_the_map_and_haproxy_say_what_the_ledger_says(site):
    site.deploy("1")
    site.haproxy.live["active"] = "blue"
    assert change.recover(site.component) is None
    assert site.served() == "1"
    site.haproxy.map_path.write_text("active blue\n")
    assert change.recover(site.component) is None
    assert site.served() == "1"


def test_a_standby_that_nobody_would_stop_is_given_its_time_again(site):
    site.deploy("1")
    site.deploy("2")
    site.host.forget("plano-app-retire")
    change.recover(site.component)
    assert site.host.is_planned("plano-app-retire")
    plans = site.host.ran("systemd-run")
    change.recover(site.component)
    assert site.host.ran("systemd-run") == plans


def test_recovery_guesses_no_slot_when_none_holds_the_release(site):
    site.deploy("1")
    (site.host.unit_dir / "app@green.service").unlink()
    site.layout.current.unlink()
    assert change.recover(site.component) is None
    assert warm(site, "green").startswith("1-")
    assert not site.layout.current.is_symlink()


def test_nobody_waits_for_requests_that_only_keep_a_standby_from_its_end(site, monkeypatch):
    site.deploy("1")
    site.deploy("2")
    site.haproxy.sessions["green"] = [1, 0]
    held = []

    def sleep(_seconds):
        with Lock(site.layout.lock, "app") as lock:
            lock.acquire({"change": "c-9", "release": "9", "since": "now"}, wait=0.0)
            held.append(lock)

    monkeypatch.setattr("ansible_collections.plano.delivery.plugins.module_utils.engine.proxy.time.sleep", sleep)
    change.retire(site.component)
    assert held
    assert (warm(site, "green"), site.served()) == (None, "2")


def test_retiring_stops_the_standby_once_its_last_request_has_ended(site):
    site.deploy("1")
    site.deploy("2")
    site.haproxy.sessions["green"] = [1, 1, 0]
    change.retire(site.component)
    assert site.haproxy.sessions["green"] == [0]
    assert (warm(site, "green"), site.served()) == (None, "2")
    stops = site.host.ran("systemctl stop app@")
    change.retire(site.component)
    assert site.host.ran("systemctl stop app@") == stops


def test_retiring_refuses_to_stop_a_slot_that_serves(site):
    site.deploy("1")
    site.deploy("2")
    site.haproxy.map_path.write_text("active green\n")
    site.haproxy.live["active"] = "green"
    with pytest.raises(EngineError, match="slot green still serves; it is not stopped"):
        change.retire(site.component)
    assert warm(site, "green").startswith("1-")


def test_a_host_without_a_release_has_nothing_to_retire(site):
    change.retire(site.component)
    assert site.host.ran("systemctl stop") == 0


def test_a_release_in_both_slots_is_where_the_map_says(site):
    release = site.component.releases.description(site.stage("1"))
    acting = site.component.strategy(release)
    assert acting.slot_of(release) is None
    for slot in ("blue", "green"):
        site.host.write_unit(f"app@{slot}.service", acting.unit_text(release, slot))
    for slot in ("green", "blue"):
        site.haproxy.map_path.write_text(f"active {slot}\n")
        assert acting.slot_of(release) == slot


def test_only_a_release_that_runs_stands_by(site):
    site.deploy("1")
    old = site.component.releases.description(site.component.ledger().history.current)
    acting = site.component.strategy(old)
    assert acting.standby(old) is True
    site.host.stop("app@green.service")
    assert acting.standby(old) is False
    (site.host.unit_dir / "app@green.service").unlink()
    assert acting.standby(old) is False


# -- drift -------------------------------------------------------------------------------------------


def drift(site):
    return "\n".join(site.component.drift(site.component.described(site.component.ledger().history.current)))


def test_nothing_drifts_after_a_deploy(site):
    site.deploy("1")
    assert drift(site) == ""


def test_each_drift_of_a_slot_is_told(site):
    site.deploy("1")
    site.host.stop("app@green.service")
    site.haproxy.map_path.write_text("active blue\n")
    assert drift(site) == "app@green.service is not running\nmap file names slot blue instead of green"
    site.haproxy.live["active"] = "blue"
    assert "HAProxy names slot blue instead of green" in drift(site)
    (site.host.unit_dir / "app@green.service").unlink()
    assert drift(site) == "no slot holds the unit of the current release"


def test_a_silent_haproxy_is_drift(site):
    site.deploy("1")
    site.haproxy.crash()
    assert drift(site).startswith("HAProxy's master does not answer")


def test_a_release_that_lost_its_unit_file_is_mended_by_its_own_deploy(site):
    site.deploy("1")
    release = site.component.ledger().history.current
    (site.component.releases.path(release) / "config/app.service").unlink()
    assert drift(site).splitlines() == [
        "config/app.service is missing",
        "no slot holds the unit of the current release",
    ]
    assert change.plan(site.component, site.request("1")).changed is True
    assert site.deploy("1")["status"] == "unchanged"
    assert (site.served(), drift(site)) == ("1", "")
    assert site.host.ran("systemctl start app@") == 1
