# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change, fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order, Refused
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import History, Ledger, LedgerError, fold
from ansible_collections.plano.delivery.plugins.module_utils.engine.lock import Lock, staging
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Done


@pytest.fixture
def component(tmp_path, host, hurried):
    found = Component(Layout("app", tmp_path / "opt", tmp_path / "var", tmp_path / "run"), host)
    host.begin("app.service")
    # The running process answers with the release that current names.
    host.answers["check"] = lambda: Done(["check"], 0, os.readlink(found.layout.current), "")
    return found


def request(version: str, **changed: object) -> dict:
    return {
        "component": "app",
        "version": version,
        "files": [{"dest": "config/app.conf", "content": f"version {version}\n"}],
        "links": {},
        "validate": [["validate", "@RELEASE@"]],
        "activation": {"strategy": "reload", "unit": "app.service", "start_timeout": 0.2},
        "health": [{"type": "command", "argv": ["check"], "stdout": "@ID@"}],
    } | changed


def deploy(component: Component, version: str, run: str = "", keep: int = 5, **changed: object) -> dict:
    wanted = request(version, **changed)
    release = change.describe(wanted)
    change.stage(component, wanted, release)
    return change.carry_out(component, Order.new(release["id"], {"id": run or f"c-{version}"}, keep=keep))


def rollback(component: Component, to: str | None = None) -> dict:
    return change.carry_out(
        component, Order.new(change.target_of_rollback(component, to), {"id": "back"}, rollback=True)
    )


def serving(component: Component) -> str:
    return (component.layout.current / "config/app.conf").read_text().split()[1]


def states(component: Component) -> list[str]:
    return [entry["state"] for entry in component.ledger().entries]


def test_a_deploy_is_staged_switched_and_confirmed(component):
    assert deploy(component, "1")["status"] == "confirmed"
    assert serving(component) == "1"
    assert states(component) == ["staged", "switched", "confirmed"]


def test_the_same_deploy_again_changes_nothing(component):
    deploy(component, "1")
    reloads = component.host.ran("systemctl reload")
    assert change.plan(component, request("1")).changed is False
    assert deploy(component, "1")["status"] == "unchanged"
    assert component.host.ran("systemctl reload") == reloads


def test_a_current_release_that_went_silent_is_released_again(component):
    deploy(component, "1")
    component.host.answers["check"] = lambda: Done(["check"], 1, "", "no answer")
    assert change.plan(component, request("1")).changed is True
    assert deploy(component, "1")["status"] == "reverted"
    component.host.answers["check"] = lambda: Done(["check"], 0, os.readlink(component.layout.current), "")
    assert change.plan(component, request("1")).changed is False


def test_what_is_asked_of_a_change_only_fails_it_and_is_no_fault_of_what_runs(component):
    others = {"answer": True}
    component.host.answers["others"] = lambda: Done(["others"], 0 if others["answer"] else 1, "", "nobody")
    health = [*request("1")["health"], {"type": "command", "argv": ["others"], "only": "change"}]
    assert deploy(component, "1", health=health)["status"] == "confirmed"
    others["answer"] = False
    assert component.serves(component.described(component.ledger().history.current))
    assert change.plan(component, request("1", health=health)).changed is False
    assert deploy(component, "1", health=health)["status"] == "unchanged"
    outcome = deploy(component, "2", health=health)
    assert (outcome["status"], serving(component)) == ("reverted", "1")
    assert "nobody" in outcome["message"]


def test_a_refused_validation_touches_nothing(component):
    deploy(component, "1")
    component.host.refuses("validate", "line 3: unknown directive")
    outcome = deploy(component, "2")
    assert outcome["status"] == "failed"
    assert "refused before the switch" in outcome["message"]
    assert "line 3: unknown directive" in outcome["message"]
    assert "goes on serving" in outcome["message"]
    assert (serving(component), component.host.ran("systemctl reload")) == ("1", 1)


def test_a_release_that_is_not_healthy_is_reverted_by_itself(component):
    deploy(component, "1")
    health = [{"type": "command", "argv": ["check"], "stdout": "never"}]
    outcome = deploy(component, "2", health=health)
    assert outcome["status"] == "reverted"
    assert "does not match 'never'" in outcome["message"]
    assert serving(component) == "1"
    assert states(component)[-3:] == ["staged", "switched", "reverted"]


def test_a_first_release_that_fails_leaves_nothing(component):
    outcome = deploy(component, "1", health=[{"type": "command", "argv": ["check"], "stdout": "never"}])
    assert outcome["status"] == "reverted"
    assert not component.layout.current.is_symlink()


def test_a_reload_that_needs_a_restart_gets_one(component):
    component.host.answers["pending"] = lambda: Done(["pending"], 0, "shared_buffers\n", "")
    activation = {"strategy": "reload", "unit": "app.service", "restart_when": ["pending"]}
    deploy(component, "1", activation=activation)
    assert component.host.ran("systemctl restart app.service") == 1


def test_a_file_that_stood_where_a_link_goes_returns_when_the_first_release_fails(component, tmp_path):
    place = tmp_path / "etc" / "app.conf"
    place.parent.mkdir()
    place.write_text("theirs")
    links = {str(place): "config/app.conf"}
    deploy(component, "1", links=links, health=[{"type": "command", "argv": ["check"], "stdout": "never"}])
    assert place.read_text() == "theirs"
    assert not place.is_symlink()
    deploy(component, "2", links=links)
    assert place.read_text() == "version 2\n"
    assert place.with_name("app.conf.plano-saved").read_text() == "theirs"
    deploy(component, "3", links={})
    assert place.read_text() == "theirs"


def test_a_rollback_goes_to_the_last_confirmed_release_and_rejects_the_one_it_left(component):
    deploy(component, "1")
    deploy(component, "2")
    assert rollback(component)["status"] == "confirmed"
    assert serving(component) == "1"
    with pytest.raises(
        Refused, match=r"was rejected by change back .* allow this one with -e release_allow_rejected=true"
    ):
        change.plan(component, request("2"))
    assert change.plan(component, request("2", allow_rejected=True)).changed is True


def test_a_rollback_of_a_rollback_is_refused_with_the_candidates(component):
    deploy(component, "1")
    deploy(component, "2")
    rollback(component)
    with pytest.raises(Refused, match=r"no confirmed release before .* candidates: none"):
        change.target_of_rollback(component, None)


def test_a_rollback_to_an_unknown_or_rejected_version_lists_the_candidates(component):
    for version in ("1", "2", "3"):
        deploy(component, version)
    rollback(component)
    with pytest.raises(Refused, match=r"9 was never confirmed on this host or is no longer kept; candidates: 1 \("):
        change.target_of_rollback(component, "9")
    with pytest.raises(Refused, match=r"3 is rejected, only confirmed releases are rollback targets; allow it with"):
        change.target_of_rollback(component, "3")


def test_a_host_without_releases_has_nothing_to_roll_back(component):
    with pytest.raises(Refused, match="there is nothing to roll back"):
        change.target_of_rollback(component, None)


def test_a_rollback_to_the_current_release_changes_nothing(component):
    deploy(component, "1")
    deploy(component, "2")
    assert rollback(component, "2")["status"] == "unchanged"
    assert serving(component) == "2"


def test_a_failed_release_is_never_a_target(component):
    deploy(component, "1")
    deploy(component, "2", health=[{"type": "command", "argv": ["check"], "stdout": "never"}])
    with pytest.raises(Refused, match="2 is reverted, only confirmed"):
        change.target_of_rollback(component, "2")


def test_a_confirmed_release_that_is_being_deployed_again_is_still_a_target(component):
    deploy(component, "1")
    deploy(component, "2")
    begun(component, "1")
    assert change.target_of_rollback(component, "1").startswith("1-")


def test_a_whole_change_is_taken_back_unless_another_stands_on_it(component):
    deploy(component, "1", run="first")
    deploy(component, "2", run="second")
    assert "1-" in change.release_before_change(component, "second")
    assert change.release_before_change(component, "unknown") is None
    with pytest.raises(Refused, match="changed again since change first, by change second"):
        change.release_before_change(component, "first")


def test_an_interrupted_switch_is_reverted_by_the_next_run(component):
    deploy(component, "1")
    wanted = request("2")
    release = change.describe(wanted)
    change.stage(component, wanted, release)
    ledger = component.ledger()
    ledger.append("staged", release["id"], version="2", change={"id": "killed"})
    ledger.append("switched", release["id"], version="2", change={"id": "killed"})
    component.strategy(release).switch(release, component.described(ledger.history.current))
    assert serving(component) == "2"
    assert "interrupted" in change.recover(component)
    assert serving(component) == "1"
    assert component.ledger().history.pending is None
    assert change.recover(component) is None


def test_at_boot_only_the_disk_is_mended(component):
    deploy(component, "1")
    wanted = request("2")
    release = change.describe(wanted)
    change.stage(component, wanted, release)
    component.ledger().append("switched", release["id"], version="2", change={"id": "killed"})
    component.strategy(release).point(release)
    before = component.host.ran("systemctl reload")
    assert "the host restarted" in change.recover(component, at_boot=True)
    assert (serving(component), component.host.ran("systemctl reload")) == ("1", before)


def begun(component: Component, version: str, *later: str) -> dict:
    """Leave what an attempt leaves whose engine was killed after it had written these states."""
    wanted = request(version)
    release = change.describe(wanted)
    change.stage(component, wanted, release)
    for state in ("staged", *later):
        component.ledger().append(state, release["id"], version=version, change={"id": "killed"}, attempt="a1")
    return release


def test_an_attempt_killed_before_its_switch_is_given_up_and_has_an_outcome(component):
    deploy(component, "1")
    release = begun(component, "2")
    assert "before the switch" in change.recover(component)
    assert component.ledger().entries[-1]["state"] == "failed"
    assert change.outcome_from_ledger(component, "a1")["release"] == release["id"]
    assert change.recover(component) is None
    assert deploy(component, "2")["status"] == "confirmed"


def test_a_kill_right_after_a_rollback_was_confirmed_leaves_the_release_rejected(component):
    deploy(component, "1")
    deploy(component, "2")
    rollback(component)
    entries = component.ledger().entries
    assert [entry["state"] for entry in entries[-2:]] == ["confirmed", "rejected"]
    assert list(fold(entries[:-1]).rejected) == [entries[-1]["release"]]


def test_recovery_points_current_at_what_the_ledger_says(component):
    deploy(component, "1")
    component.layout.current.unlink()
    component.layout.current.symlink_to("releases/nothing")
    assert change.recover(component) is None
    assert serving(component) == "1"


def test_nothing_is_pruned_while_somebody_stages(component):
    for version in ("1", "2", "3"):
        deploy(component, version, keep=2)
    with staging(component.layout.staging_lock, lambda: None):
        deploy_staged = begun(component, "4")
        change.carry_out(component, Order.new(deploy_staged["id"], {"id": "c-4"}, keep=1))
    assert len(component.releases.names()) == 3
    deploy(component, "5", keep=1)
    assert [name[0] for name in component.releases.names()] == ["4", "5"]


def test_what_a_killed_process_was_writing_is_removed_by_the_next_run(component):
    deploy(component, "1")
    litter = [
        component.layout.releases / ".staging-dead" / "config",
        component.layout.store / ".staging-dead",
        component.layout.secrets / ".staging-dead",
    ]
    for folder in litter:
        folder.mkdir(parents=True)
    temp = component.layout.current.with_name(".current.dead.tmp")
    temp.symlink_to("releases/nothing")
    deploy(component, "2")
    assert [path for path in [*litter, temp] if path.exists() or path.is_symlink()] == []


def test_a_disk_too_full_for_the_records_refuses_before_anything_is_touched(component, monkeypatch):
    deploy(component, "1")
    monkeypatch.setattr(fs, "free_bytes", lambda _path: 4096)
    outcome = deploy(component, "2")
    assert outcome["status"] == "refused"
    assert "has 4096 bytes free, 1048576 are needed; free some space, then run the same command" in outcome["message"]
    assert states(component)[-1] == "confirmed"


def test_a_switch_whose_confirmation_cannot_be_written_is_reverted(component, monkeypatch):
    deploy(component, "1")
    real = Ledger.append

    def full(ledger, state, release, **detail):
        if state in ("confirmed", "reverted"):
            raise EngineError(f"cannot write '{state}'")
        return real(ledger, state, release, **detail)

    monkeypatch.setattr(Ledger, "append", full)
    outcome = deploy(component, "2")
    assert outcome["status"] == "reverted"
    assert "cannot write 'confirmed'" in outcome["message"]
    assert "cannot write 'reverted'" in outcome["message"]
    assert serving(component) == "1"
    monkeypatch.setattr(Ledger, "append", real)
    assert deploy(component, "2")["status"] == "confirmed"


def test_another_change_that_holds_the_lock_is_named(component):
    deploy(component, "1")
    other = Lock(component.layout.lock, "app")
    with other:
        other.acquire({"change": "theirs", "release": "other", "since": "now"})
        outcome = deploy(component, "2")
    assert outcome["status"] == "refused"
    assert "app is being changed by change theirs (release other, pid " in outcome["message"]
    assert deploy(component, "2")["status"] == "confirmed"


def test_the_lock_of_a_dead_holder_is_taken_over_and_that_is_recorded(component):
    component.layout.lock.parent.mkdir(parents=True)
    component.layout.lock.write_text(json.dumps({"change": "dead", "pid": 1}))
    assert deploy(component, "1")["status"] == "confirmed"
    assert component.ledger().entries[0]["taken_over"] == "dead"


def test_a_damaged_ledger_stops_everything_and_can_be_rebuilt(component):
    deploy(component, "1")
    deploy(component, "2")
    path = component.layout.ledger
    path.write_bytes(path.read_bytes().replace(b"confirmed", b"confirmeD", 1))
    with pytest.raises(LedgerError, match="is damaged"):
        change.plan(component, request("3"))
    outcome = deploy(component, "3")
    assert (outcome["status"], serving(component)) == ("failed", "2")
    aside = change.rebuild(component)
    assert aside.read_bytes().count(b"confirmeD") == 1
    assert component.ledger().history.current.startswith("2-")
    assert deploy(component, "3")["status"] == "confirmed"


def test_a_rebuilt_ledger_keeps_every_entry_that_still_proves_itself(component):
    for version in ("1", "2", "3"):
        deploy(component, version)
    path = component.layout.ledger
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6]) + lines[6].replace(b"staged", b"stageD") + b"".join(lines[7:]))
    change.rebuild(component)
    entries = component.ledger().entries
    assert path.read_bytes().startswith(b"".join(lines[:6]))
    assert [entry["state"] for entry in entries[6:]] == ["confirmed"]
    assert change.target_of_rollback(component, None).startswith("2-")
    assert rollback(component)["status"] == "confirmed"


def test_a_rebuild_that_is_killed_is_refused_until_it_is_done_again(component):
    deploy(component, "1")
    deploy(component, "2")
    component.layout.ledger.with_suffix(".head").unlink()
    with pytest.raises(LedgerError, match="its head file is missing"):
        component.ledger()
    change.rebuild(component)
    assert component.ledger().history.current.startswith("2-")


def test_a_ledger_cannot_be_rebuilt_from_nothing(component):
    with pytest.raises(Refused, match="nothing to rebuild the ledger of app from: no release below"):
        change.rebuild(component)


def test_a_rebuilt_ledger_still_refuses_a_rollback_across_a_migration(component, monkeypatch):
    monkeypatch.setattr(change, "_manifest", lambda *_: {"schema": {"revision": "0002", "keeps": ["0001"]}})
    deploy(component, "1")
    component.layout.ledger.unlink()
    change.rebuild(component)
    past = component.ledger().history
    assert (past.schema, past.schema_keeps) == ("0002", ["0001"])


def test_a_changed_release_is_not_rolled_back_to(component):
    deploy(component, "1")
    deploy(component, "2")
    old = change.target_of_rollback(component, None)
    (component.releases.path(old) / "config/app.conf").write_text("tampered")
    outcome = rollback(component)
    assert outcome["status"] == "refused"
    assert "is not what was staged (config/app.conf was changed)" in outcome["message"]
    assert serving(component) == "2"


def test_the_controller_must_come_back_or_the_change_is_undone(component):
    deploy(component, "1")
    outcome = deploy(component, "2", confirm_within=1)
    assert outcome["status"] == "reverted"
    assert "the controller did not come back over a new connection within 1 s" in outcome["message"]
    assert serving(component) == "1"


def test_old_releases_are_removed_but_never_current_or_the_one_before(component):
    for version in ("1", "2", "3", "4"):
        deploy(component, version, keep=2)
    assert [name[0] for name in component.releases.names()] == ["3", "4"]
    assert change.target_of_rollback(component, None).startswith("3-")


@pytest.mark.parametrize(
    ("stack", "others", "keep", "gone"),
    [
        (["a", "b", "c"], [], 5, []),
        (["a", "b", "c"], [], 2, ["a"]),
        (["a", "b", "c"], [], 1, ["a"]),
        (["a", "b", "c"], [], 0, ["a"]),
        (["a", "b"], ["x", "y", "z"], 5, ["x"]),
    ],
)
def test_what_is_pruned(stack, others, keep, gone):
    past = History(
        current=stack[-1], stack=stack, states=dict.fromkeys(stack, "confirmed") | dict.fromkeys(others, "failed")
    )
    assert change.releases_to_prune(past, [*stack, *others], keep) == gone


SCHEMA_2_KEEPS_1 = [{"state": "staged", "release": "r2", "schema": "0002", "schema_keeps": ["0001"]}]
SCHEMA_3_BREAKS = [{"state": "staged", "release": "r3", "schema": "0003", "schema_keeps": ["0002"]}]


@pytest.mark.parametrize(
    ("entries", "schema", "fault"),
    [
        ([], {"revision": "0001"}, False),
        (SCHEMA_2_KEEPS_1, {"revision": "0002"}, False),
        (SCHEMA_2_KEEPS_1, {"revision": "0001", "runs_on": ["0001"]}, False),
        (SCHEMA_3_BREAKS, {"revision": "0001", "runs_on": ["0001"]}, True),
        (SCHEMA_3_BREAKS, {"revision": "0001", "runs_on": ["0001", "0003"]}, False),
        (SCHEMA_3_BREAKS, {}, False),
    ],
)
def test_a_rollback_across_a_migration_asks_the_manifests(entries, schema, fault):
    found = change.schema_fault(fold(entries), {"schema": schema})
    assert bool(found) is fault
    if fault:
        assert "Data is never rolled back with an artifact" in found


def test_a_migration_runs_only_forward():
    past = fold(SCHEMA_2_KEEPS_1)
    assert change.migration_is_due(past, {"schema": {"revision": "0003"}}) is True
    assert change.migration_is_due(past, {"schema": {"revision": "0002"}}) is False
    assert change.migration_is_due(past, {"schema": {"revision": "0001"}}) is False
    assert change.migration_is_due(past, {}) is True
