# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change, fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.activate import Restart
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout
from ansible_collections.plano.delivery.plugins.module_utils.engine.state import State
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done


@pytest.fixture
def component(tmp_path, host, hurried):
    found = Component(Layout("app", tmp_path / "opt", tmp_path / "var", tmp_path / "run"), host)
    # The running process answers with the release that current names.
    host.answers["check"] = lambda: Done(["check"], 0, os.readlink(found.layout.current), "")
    return found


UNIT_FILE = {"dest": "config/app.service", "content": "[Service]\nExecStart=/bin/app --release @ID@\n"}
UNIT = {"unit": "app.service", "unit_file": "config/app.service"}
NEVER = [{"type": "command", "argv": ["check"], "stdout": "never"}]


def request(version, strategy, activation, **changed):
    return {
        "component": "app",
        "version": version,
        "files": [UNIT_FILE, {"dest": "config/app.conf", "content": f"version {version}\n"}],
        "activation": {"strategy": strategy, "start_timeout": 0.2, **activation},
        "health": [{"type": "command", "argv": ["check"], "stdout": "@ID@"}],
    } | changed


def deploy(component, version, strategy, activation=None, **changed):
    wanted = request(version, strategy, UNIT if activation is None else activation, **changed)
    release = change.describe(wanted)
    change.stage(component, wanted, release)
    return change.carry_out(component, Order.new(release["id"], {"id": f"c-{version}"}))


def current(component):
    """The current release, after ledger and link named the same."""
    past = component.ledger().history
    assert os.readlink(component.layout.current) == f"releases/{past.current}"
    assert past.pending is None
    return component.described(past.current)


def drift(component):
    return component.drift(current(component))


# -- restart -----------------------------------------------------------------------------------------


def test_a_restart_runs_the_new_release_and_enables_its_unit(component, host):
    assert deploy(component, "1", "restart")["status"] == "confirmed"
    assert deploy(component, "2", "restart")["status"] == "confirmed"
    assert f"--release {current(component)['id']}" in host.units["app.service"].text
    assert (current(component)["version"], drift(component)) == ("2", [])
    assert host.enabled() == ["app.service"]


def test_a_restart_that_fails_tells_the_last_words_and_brings_the_old_release_back(component, host):
    deploy(component, "1", "restart")
    answers = iter([Done([], 1, "", "Job failed"), Done([], 0, "", "")])
    host.answers["systemctl restart"] = lambda: next(answers)
    host.says("journalctl", "bind: address already in use")
    outcome = deploy(component, "2", "restart")
    assert outcome["status"] == "reverted"
    assert "app.service did not restart: Job failed\nLast words of app.service:\nbind: address" in outcome["message"]
    assert (current(component)["version"], drift(component)) == ("1", [])


def test_a_unit_that_failed_is_not_waited_for(component, host, hurried):
    def fail():
        host.begin("app.service")
        host.units["app.service"].state, host.units["app.service"].result = "failed", "exit-code"
        return Done([], 0, "", "")

    host.answers["systemctl restart"] = fail
    outcome = deploy(component, "1", "restart", {**UNIT, "start_timeout": 600}, health=NEVER)
    assert "app.service failed (exit-code)" in outcome["message"]
    assert hurried.skipped < 600


def test_a_unit_that_crashes_after_it_was_healthy_is_found_in_its_soak_time(component, host):
    deploy(component, "1", "restart")
    asked = iter(range(100))

    def check():
        if next(asked) == 2:
            host.units["app.service"].restarts = 3
        return Done(["check"], 0, os.readlink(component.layout.current), "")

    host.answers["check"] = check
    outcome = deploy(component, "2", "restart", {**UNIT, "soak_seconds": 5})
    assert outcome["status"] == "reverted"
    assert "healthy at first, then: app.service has crashed 3 times since it was started" in outcome["message"]
    assert current(component)["version"] == "1"


def test_a_first_release_that_fails_is_stopped(component, host):
    assert deploy(component, "1", "restart", health=NEVER)["status"] == "reverted"
    assert host.units["app.service"].state == "inactive"
    assert host.enabled() == []
    assert not component.layout.current.is_symlink()


def test_commands_of_the_release_stand_in_for_the_restart(component, host):
    activation = {"commands": [["apply", "@VERSION@"]], "withdraw": [["take-away", "@VERSION@"]]}
    assert deploy(component, "1", "restart", activation)["status"] == "confirmed"
    assert (host.ran("apply 1"), host.ran("systemctl restart")) == (1, 0)
    assert (drift(component), host.ran("take-away")) == ([], 0)


def test_a_command_that_fails_brings_the_old_release_back_by_its_own(component, host):
    activation = {"commands": [["apply", "@VERSION@"]]}
    deploy(component, "1", "restart", activation)
    host.refuses("apply 2", "no such option")
    assert "'apply 2' failed: no such option" in deploy(component, "2", "restart", activation)["message"]
    assert host.ran("apply 1") == 2
    assert current(component)["version"] == "1"


def test_a_first_release_that_fails_is_withdrawn_by_its_own_commands(component, host):
    activation = {"commands": [["apply"]], "withdraw": [["take-away", "@VERSION@"]]}
    deploy(component, "1", "restart", activation, health=NEVER)
    assert host.ran("take-away 1") == 1


def test_a_release_can_go_from_a_unit_of_its_own_to_one_that_was_there(component, host):
    deploy(component, "1", "restart")
    assert deploy(component, "2", "restart", {"unit": "app.service"})["status"] == "confirmed"
    assert drift(component) == []


# -- reload ------------------------------------------------------------------------------------------


def test_a_service_that_runs_is_reloaded_and_keeps_its_process(component, host):
    host.begin("app.service")
    pid = host.units["app.service"].pid
    assert deploy(component, "1", "reload", {"unit": "app.service"})["status"] == "confirmed"
    assert (host.ran("systemctl reload app.service"), host.units["app.service"].pid) == (1, pid)


def test_a_service_that_does_not_run_is_started_instead(component, host):
    assert deploy(component, "1", "reload")["status"] == "confirmed"
    assert (host.ran("systemctl reload"), host.units["app.service"].state) == (0, "active")


def test_a_reload_that_fails_tells_the_last_words_and_brings_the_old_configuration_back(component, host):
    host.begin("app.service")
    deploy(component, "1", "reload")
    answers = iter([Done([], 1, "", "Job failed"), Done([], 0, "", "")])
    host.answers["systemctl reload"] = lambda: next(answers)
    host.says("journalctl", "line 3: unknown directive")
    outcome = deploy(component, "2", "reload")
    assert outcome["status"] == "reverted"
    assert "app.service did not reload: Job failed\nLast words of app.service:\nline 3" in outcome["message"]
    assert current(component)["version"] == "1"


@pytest.mark.parametrize(("answer", "restarts"), [("shared_buffers\n", 1), ("\n", 0)])
def test_a_service_is_restarted_only_when_it_says_that_it_needs_it(component, host, answer, restarts):
    host.begin("app.service")
    host.says("psql", answer)
    activation = {"unit": "app.service", "restart_when": ["psql", "pending restarts"]}
    assert deploy(component, "1", "reload", activation)["status"] == "confirmed"
    assert host.ran("systemctl restart app.service") == restarts


def test_a_service_that_was_there_before_takes_up_its_own_configuration_again(component, host):
    host.begin("app.service")
    assert deploy(component, "1", "reload", {"unit": "app.service"}, health=NEVER)["status"] == "reverted"
    assert host.ran("systemctl reload app.service") == 2
    assert host.units["app.service"].state == "active"


def test_a_service_that_was_there_but_died_is_left_to_its_owner(component, host):
    host.begin("app.service")

    def die():
        host.units["app.service"].state = "inactive"
        return Done([], 1, "", "gone")

    host.answers["systemctl reload"] = die
    assert deploy(component, "1", "reload", {"unit": "app.service"})["status"] == "reverted"
    assert host.ran("systemctl reload") == 1


def started_by(arguments):
    """The unit of a service that tells in what way it was started."""
    text = f"[Service]\nEnvironment=PLANO_UNIT=@UNIT@\nExecStart=/bin/app {arguments}\nX=@ID@\n"
    return {**UNIT_FILE, "content": text}


def test_a_service_is_reloaded_for_its_configuration_and_restarted_for_its_unit(component, host):
    def change_to(version, arguments):
        files = [started_by(arguments), {"dest": "config/app.conf", "content": version}]
        assert deploy(component, version, "reload", files=files)["status"] == "confirmed"
        return host.units["app.service"].pid

    first = change_to("1", "--quiet")
    assert change_to("2", "--quiet") == first
    assert host.ran("systemctl reload app.service") == 1
    second = change_to("3", "--loud")
    assert second != first
    assert "--loud" in host.units["app.service"].text
    assert change_to("4", "--loud") == second


def test_a_service_that_was_not_restarted_in_time_is_when_the_same_change_is_made_again(component, host):
    deploy(component, "1", "reload", files=[started_by("--quiet")])
    stale = host.units["app.service"].text
    assert deploy(component, "2", "reload", files=[started_by("--loud")])["status"] == "confirmed"
    # As if the engine had been killed between the unit's file and the restart.
    host.units["app.service"].text = stale
    pid = host.units["app.service"].pid
    assert deploy(component, "3", "reload", files=[started_by("--loud"), {"dest": "more", "content": ""}])
    assert host.units["app.service"].pid != pid


# -- files that a newer version converts ------------------------------------------------------------


@pytest.fixture
def converting(component, host, tmp_path):
    """A service that converts its file when it starts: each start of a version writes its name behind what is there."""
    place = tmp_path / "app.db"
    place.write_text("data")
    place.chmod(0o640)

    def start():
        assert place.exists()
        version = current(component)["version"] if component.ledger().history.pending is None else pointed(component)
        if version not in place.read_text():
            place.write_text(f"{place.read_text()} {version}")
        host.begin("app.service")
        return Done([], 0, "", "")

    host.answers["systemctl restart app.service"] = start

    def release(version, health=None):
        activation = {**UNIT, "state_files": [str(place), str(tmp_path / "not-there")]}
        artifact = {"version": version, "sha256": version * 64, "sources": ["file:///none"]}
        wanted = request(version, "restart", activation, **({"health": health} if health else {}))
        described = change.describe({**wanted, "artifact": artifact})
        component.store.path(artifact["sha256"]).mkdir(parents=True, exist_ok=True)
        (component.store.path(artifact["sha256"]) / "entry.json").write_text('{"files": {}}')
        change.stage(component, {**wanted, "artifact": artifact}, described)
        return described["id"]

    def carry_out(name, rollback=False):
        return change.carry_out(component, Order.new(name, {"id": "c"}, rollback=rollback, allow_rejected=True))

    return place, release, carry_out


def pointed(component):
    return component.releases.description(os.readlink(component.layout.current).split("/")[1])["version"]


def test_a_rollback_finds_the_files_as_the_old_version_left_them(component, converting):
    place, release, carry_out = converting
    one, two = release("1"), release("2")
    assert carry_out(one)["status"] == carry_out(two)["status"] == "confirmed"
    assert place.read_text() == "data 1 2"
    outcome = carry_out(one, rollback=True)
    assert (outcome["status"], place.read_text(), place.stat().st_mode & 0o777) == ("confirmed", "data 1", 0o640)
    kept = component.layout.state / two
    assert outcome["warnings"] == [f"{place} went back to what {one} left; what {two} made of it is kept in {kept}"]
    assert (kept / "0").read_text() == "data 1 2"
    # Forward again, from what the old version did meanwhile.
    place.write_text("data 1 more")
    assert carry_out(two)["status"] == "confirmed"
    assert place.read_text() == "data 1 more 2"
    assert carry_out(one, rollback=True)["status"] == "confirmed"
    assert place.read_text() == "data 1 more"


def test_a_journal_that_only_the_newer_version_left_is_not_there_for_the_old_one(component, converting, tmp_path):
    _place, release, carry_out = converting
    one, two = release("1"), release("2")
    carry_out(one)
    carry_out(two)
    journal = tmp_path / "not-there"
    journal.write_text("of 2")
    assert carry_out(one, rollback=True)["status"] == "confirmed"
    assert not journal.exists()
    assert (component.layout.state / two / "1").read_text() == "of 2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_is_gone_comes_back_as_one_of_the_folder_behind_a_link(tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "app").symlink_to("private")
    place = tmp_path / "app" / "app.db"
    place.write_text("data")
    state = State(tmp_path / "state")
    state.keep("one", [str(place)])
    place.unlink()
    os.chown(tmp_path / "private", 1234, 1234)
    assert state.restore("one", [str(place)]) == [str(place)]
    about = place.stat()
    assert (place.read_text(), about.st_uid, about.st_mode & 0o777) == ("data", 1234, 0o600)


def test_a_version_that_fails_leaves_the_files_as_they_were(converting):
    place, release, carry_out = converting
    carry_out(release("1"))
    assert carry_out(release("2", NEVER))["status"] == "reverted"
    assert place.read_text() == "data 1"


@pytest.mark.parametrize("at_boot", [False, True])
@pytest.mark.parametrize("step", ["keep", "restart"])
def test_a_kill_on_the_way_to_a_new_version_leaves_the_files_as_they_were(
    component, host, converting, monkeypatch, step, at_boot
):
    place, release, carry_out = converting
    carry_out(release("1"))
    carry_out(release("2"))
    place.write_text("data 1 2 more")

    class Killed(BaseException):
        pass

    def die(*_args):
        place.write_text("half converted") if step == "restart" else None
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(State if step == "keep" else Restart, step, die)
        carry_out(release("3"))
    change.recover(component, at_boot)
    assert place.read_text() == "data 1 2 more"


def test_a_copy_without_room_stops_the_change_before_the_service_is(component, host, converting, monkeypatch):
    place, release, carry_out = converting
    carry_out(release("1"))
    host.calls.clear()
    monkeypatch.setattr(fs, "free_bytes", lambda path: 3 if path == component.layout.state else 1 << 40)
    outcome = carry_out(release("2"))
    assert outcome["status"] == "failed"
    assert f"no space to keep {place} for a way back: 0 MB are needed below" in outcome["message"]
    assert host.ran("systemctl stop") == 0


def test_a_link_in_the_place_of_such_a_file_is_not_followed(component, converting, tmp_path):
    place, release, carry_out = converting
    carry_out(release("1"))
    (tmp_path / "secret").write_text("1 2")
    place.unlink()
    place.symlink_to(tmp_path / "secret")
    two = release("2")
    assert carry_out(two)["status"] == "confirmed"
    assert sorted(path.name for path in (component.layout.state).glob("*/*")) == ["index.json"]


def test_copies_go_with_their_releases(component, converting):
    release = converting[1]
    names = [release(version) for version in "1234"]
    for name in names:
        order = Order.new(name, {"id": "c"}, keep=1)
        assert change.carry_out(component, order)["status"] == "confirmed"
    assert sorted(path.name for path in component.layout.state.iterdir()) == names[2:3]


def test_commands_of_the_release_stand_in_for_the_reload(component, host):
    assert deploy(component, "1", "reload", {"commands": [["sysctl", "--system"]]})["status"] == "confirmed"
    assert (host.ran("sysctl --system"), host.ran("systemctl")) == (1, 0)


# -- files only --------------------------------------------------------------------------------------


def test_files_that_nothing_runs_are_current_once_they_are_there(component, host):
    assert deploy(component, "1", "none", {}, health=[])["status"] == "confirmed"
    assert (drift(component), host.ran("systemctl")) == ([], 0)
    change.retire(component)
    assert deploy(component, "2", "none", {}, health=NEVER)["status"] == "reverted"
    assert current(component)["version"] == "1"


# -- at boot, and after an interruption --------------------------------------------------------------


class Killed(BaseException):
    """The engine's process is gone."""


def killed_in_its_proof(component, version, monkeypatch):
    def die():
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setitem(component.host.answers, "check", die)
        deploy(component, version, "restart")


def test_at_boot_the_unit_file_of_the_old_release_is_back_before_it_is_started(component, host, monkeypatch):
    deploy(component, "1", "restart")
    killed_in_its_proof(component, "2", monkeypatch)
    restarts = host.ran("systemctl restart")
    assert "the host restarted before the switch was confirmed" in change.recover(component, at_boot=True)
    assert f"--release {current(component)['id']}" in host.unit_text("app.service")
    assert (current(component)["version"], host.enabled()) == ("1", ["app.service"])
    assert host.ran("systemctl restart") == restarts


def test_at_boot_a_first_release_that_nobody_confirmed_is_gone(component, host, monkeypatch):
    killed_in_its_proof(component, "1", monkeypatch)
    change.recover(component, at_boot=True)
    assert not component.layout.current.is_symlink()
    assert host.enabled() == []


def test_recovery_restarts_the_old_release(component, host, monkeypatch):
    deploy(component, "1", "restart")
    killed_in_its_proof(component, "2", monkeypatch)
    assert "reverted to 1-" in change.recover(component)
    assert f"--release {current(component)['id']}" in host.units["app.service"].text


def test_an_attempt_whose_release_is_gone_from_the_disk_is_closed_all_the_same(component, monkeypatch):
    deploy(component, "1", "restart")
    killed_in_its_proof(component, "2", monkeypatch)
    component.releases.remove(component.ledger().history.pending["release"])
    assert "reverted to 1-" in change.recover(component)
    assert component.ledger().history.pending is None
    assert current(component)["version"] == "1"


# -- links and drift ---------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    """A path outside of the releases where the host had something of its own."""
    found = tmp_path / "etc" / "app.conf"
    found.parent.mkdir()
    return found


def linked(component, version, place, **changed):
    return deploy(component, version, "none", {}, links={str(place): "config/app.conf"}, **changed)


def test_a_file_in_the_place_of_a_link_is_saved_and_given_back(component, place):
    place.write_text("theirs")
    linked(component, "1", place)
    linked(component, "2", place)
    assert place.read_text() == "version 2\n"
    deploy(component, "3", "none", {})
    assert place.read_text() == "theirs"
    assert not place.is_symlink()
    assert [path.name for path in place.parent.iterdir()] == ["app.conf"]


@pytest.mark.parametrize("target", ["theirs.conf", "nowhere"])
def test_a_link_of_somebody_else_is_saved_and_given_back_too(component, place, target):
    place.with_name("theirs.conf").write_text("theirs")
    place.symlink_to(target)
    linked(component, "1", place)
    assert place.read_text() == "version 1\n"
    assert linked(component, "2", place, health=NEVER)["status"] == "reverted"
    assert place.read_text() == "version 1\n"
    deploy(component, "3", "none", {})
    assert os.readlink(place) == target


def test_a_link_where_nothing_stood_goes_with_its_release(component, tmp_path):
    place = tmp_path / "new" / "app.conf"
    linked(component, "1", place)
    assert place.read_text() == "version 1\n"
    deploy(component, "2", "none", {})
    assert not os.path.lexists(place)


def test_a_link_that_somebody_else_put_there_since_stays(component, place):
    linked(component, "1", place)
    place.unlink()
    place.symlink_to("theirs")
    deploy(component, "2", "none", {})
    assert os.readlink(place) == "theirs"


def test_a_folder_where_a_link_goes_reverts_the_change_and_stays(component, place):
    place.mkdir()
    assert linked(component, "1", place)["status"] == "reverted"
    assert place.is_dir()


def test_each_drift_is_told(component, host, place):
    deploy(component, "1", "restart", links={str(place): "config/app.conf"})
    assert drift(component) == []
    place.unlink()
    place.write_text("by hand")
    host.stop("app.service")
    (host.unit_dir / "app.service").write_text("[Service]\n")
    assert drift(component) == [
        f"{place} is no longer the link of the release",
        "app.service is not running",
        "app.service is no longer the unit of the release",
    ]
    release = current(component)
    component.layout.current.unlink()
    assert component.drift(release)[0] == f"{component.layout.current} points at None"


def test_a_release_that_lost_its_unit_file_drifts_and_is_mended_by_its_own_deploy(component):
    deploy(component, "1", "restart")
    (component.releases.path(current(component)["id"]) / "config/app.service").unlink()
    assert drift(component)[0] == "config/app.service is missing"
    assert change.plan(component, request("1", "restart", UNIT)).changed is True
    deploy(component, "1", "restart")
    assert drift(component) == []
