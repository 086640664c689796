# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change, cli
from ansible_collections.plano.delivery.plugins.module_utils.engine.change import Component, Order
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import Ledger
from ansible_collections.plano.delivery.plugins.module_utils.engine.lock import Lock
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout


@pytest.fixture
def plano(spawning, capsys):
    """Run the command as a person would; returns its exit code, what it said, and what it complained."""

    def run(*argv):
        capsys.readouterr()
        code = cli.main(argv)
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


def damage(site):
    """Change a byte in the last line of the ledger."""
    data = site.layout.ledger.read_bytes()
    site.layout.ledger.write_bytes(data[:-10] + b"x" + data[-9:])


# -- status ------------------------------------------------------------------------------------------


def test_an_empty_host_has_an_empty_status(plano):
    assert plano("status", "--json") == (0, "[]", "")
    assert plano("status")[:2] == (0, "COMPONENT  HOST  VERSION  SINCE  STATE  STANDBY  DRIFT")


def test_status_shows_what_runs(plano, site):
    site.deploy("1")
    code, said, _complaint = plano("status")
    words = said.splitlines()[1].split()
    assert (code, words[0], words[2], words[5:]) == (0, "app", "1", ["confirmed", "-", "none"])
    code, said, _complaint = plano("status", "--json")
    assert (code, json.loads(said)[0]["release"]) == (0, site.component.ledger().history.current)


def test_status_fails_when_anything_drifted(plano, site):
    site.deploy("1")
    site.host.stop("app@green.service")
    code, said, _complaint = plano("status")
    assert code == 1
    assert "app@green.service is not running (+1)" in said


# -- history -----------------------------------------------------------------------------------------


def test_history_shows_who_did_what_and_why_on_one_line_each(plano, site):
    site.deploy("1")
    site.broken["2"] = "silent"
    site.host.says("journalctl", "Traceback")
    site.deploy("2")
    code, said, _complaint = plano("history", "app")
    lines = said.splitlines()
    assert (code, [line.split()[3] for line in lines[1:]]) == (
        0,
        ["staged", "switched", "confirmed", "staged", "failed"],
    )
    assert "the new release in slot blue was never given traffic" in lines[-1]
    assert "Traceback" not in said


def test_history_for_programs_is_the_ledger(plano, site):
    site.deploy("1")
    code, said, _complaint = plano("history", "app", "--json")
    assert (code, [json.loads(line) for line in said.splitlines()]) == (0, site.component.ledger().entries)


def test_a_component_that_is_not_here_is_refused_with_those_that_are(plano, site):
    assert plano("history", "app") == (2, "", "plano: component app is not on this host; known: none")
    site.deploy("1")
    for command in ("history", "rollback", "retire", "verify", "recover"):
        assert plano(command, "ap") == (2, "", "plano: component ap is not on this host; known: app")


def test_history_shows_of_a_damaged_ledger_what_still_proves_itself(plano, site):
    site.deploy("1")
    damage(site)
    code, said, complaint = plano("history", "app")
    assert (code, [line.split()[3] for line in said.splitlines()[1:]]) == (1, ["staged", "switched"])
    assert "line 3 does not match its hash" in complaint
    site.layout.ledger.unlink()
    code, said, complaint = plano("history", "app", "--json")
    assert (code, said) == (1, "")
    assert "the file is gone, but its head is there" in complaint


# -- rollback ----------------------------------------------------------------------------------------


def test_a_rollback_on_the_host_needs_no_controller(plano, site, monkeypatch):
    site.deploy("1")
    site.deploy("2")
    monkeypatch.setenv("SUDO_USER", "ana")
    target = site.component.ledger().history.previous
    code, said, complaint = plano("rollback", "app", "--reason", "it hurts")
    assert (code, complaint) == (0, "")
    assert f"plano: rolling app back to {target} ..." in said
    assert f"plano: confirmed {target} (switch " in said
    assert site.served() == "1"
    stamp = site.component.ledger().entries[-1]["change"]
    assert stamp["actor"].startswith("ana@")
    assert stamp["reason"] == "it hurts"


def test_a_rollback_to_what_serves_says_that_nothing_changed(plano, site):
    site.deploy("1")
    code, said, _complaint = plano("rollback", "app", "--to", "1")
    assert code == 0
    assert "plano: unchanged 1-" in said


def test_a_rollback_with_nothing_to_go_to_is_refused(plano, site):
    site.deploy("1")
    code, _said, complaint = plano("rollback", "app")
    assert code == 2
    assert complaint.startswith("plano: app has no confirmed release before 1-")


def test_a_rollback_to_a_rejected_release_must_be_allowed(plano, site):
    site.deploy("1")
    site.deploy("2")
    site.rollback()
    code, _said, complaint = plano("rollback", "app", "--to", "2")
    assert (code, "app 2 is rejected" in complaint) == (2, True)
    assert plano("rollback", "app", "--to", "2", "--allow-rejected")[0] == 0
    assert site.served() == "2"


def test_a_rollback_that_fails_says_why_and_what_serves(plano, site):
    site.deploy("1")
    site.deploy("2")
    site.broken["1"] = "silent"
    code, _said, complaint = plano("rollback", "app")
    assert code == 1
    assert "plano: failed 1-" in complaint
    assert complaint.endswith("goes on serving.")
    assert site.served() == "2"


# -- verify ------------------------------------------------------------------------------------------


def test_verify_counts_what_holds(plano, site):
    site.deploy("1")
    site.deploy("2")
    assert plano("verify") == (0, "app: ledger of 6 entries holds, 2 releases, 0 faults", "")


def test_verify_names_each_file_that_was_changed(plano, site):
    site.deploy("1")
    release = site.component.ledger().history.current
    (site.component.releases.path(release) / "config/app.conf").write_text("tampered")
    stored = site.component.store.path("0" * 64)
    (stored / "files").mkdir(parents=True)
    code, said, _complaint = plano("verify", "app")
    assert (code, said.splitlines()) == (
        1,
        [
            "app: ledger of 3 entries holds, 1 releases, 1 faults",
            f"  {release}: config/app.conf was changed",
            f"store 000000000000: artifact {'0' * 64} is not in the store",
        ],
    )


def test_verify_goes_on_behind_a_damaged_ledger(plano, site):
    site.deploy("1")
    damage(site)
    (Layout("other").ledger.parent).mkdir()
    Ledger(Layout("other").ledger).append("failed", "r1")
    code, said, complaint = plano("verify")
    assert (code, said) == (1, "other: ledger of 1 entries holds, 0 releases, 0 faults")
    assert "ledger.jsonl is damaged" in complaint


# -- recover -----------------------------------------------------------------------------------------


def interrupted(site):
    site.deploy("1")
    release = site.stage("2")
    site.component.ledger().append("switched", release, version="2", slot="blue", change={"id": "killed"})
    site.component.strategy(site.component.described(release)).point(site.component.described(release))
    return release


def test_recover_finishes_what_was_interrupted(plano, site):
    release = interrupted(site)
    code, said, _complaint = plano("recover")
    assert code == 0
    assert said.startswith(f"app: {release} reverted to 1-")
    assert said.endswith("because the change was interrupted before the switch was confirmed")
    assert site.served() == "1"
    assert plano("recover", "app") == (0, "app: nothing to recover", "")


def test_recover_at_boot_touches_only_the_disk(plano, site):
    interrupted(site)
    stops = site.host.ran("systemctl stop")
    code, said, _complaint = plano("recover", "--boot")
    assert (code, "because the host restarted" in said) == (0, True)
    assert (site.served(), site.host.ran("systemctl stop")) == ("1", stops)


def test_one_damaged_ledger_does_not_keep_the_others_from_being_recovered(plano, site):
    interrupted(site)
    broken = Layout("aaa").ledger
    broken.parent.mkdir()
    broken.write_text("{}\n{}\n")
    code, said, complaint = plano("recover")
    assert code == 1
    assert f"plano: ledger {broken} is damaged" in complaint
    assert said.startswith("app: 2-")
    assert site.served() == "1"


def test_a_ledger_is_rebuilt_and_the_damaged_one_kept(plano, site):
    site.deploy("1")
    damage(site)
    damaged = site.layout.ledger.read_bytes()
    code, said, _complaint = plano("recover", "app", "--rebuild")
    assert code == 0
    words, _separator, aside = said.partition(", the old one is ")
    assert words == "app: new ledger written"
    with open(aside, "rb") as kept:
        assert kept.read() == damaged
    assert site.served() == "1"


def test_a_ledger_that_is_gone_without_a_trace_is_rebuilt(plano, site):
    site.deploy("1")
    for path in (site.layout.ledger, site.layout.ledger.with_suffix(".head")):
        path.unlink()
    assert plano("recover", "app", "--rebuild") == (0, "app: new ledger written", "")
    assert site.served() == "1"


# -- the rest ----------------------------------------------------------------------------------------


def test_retire_stops_the_standby_and_says_nothing(plano, site):
    site.deploy("1")
    site.deploy("2")
    assert plano("retire", "app") == (0, "", "")
    assert (site.running("app@green.service"), site.served()) == (None, "2")


def test_a_standby_that_cannot_be_retired_is_told(plano, site):
    site.deploy("1")
    site.deploy("2")
    site.haproxy.crash()
    code, _said, complaint = plano("retire", "app")
    assert code == 1
    assert complaint.startswith("plano: HAProxy's master does not answer on")


def test_requests_that_a_retired_standby_cuts_off_are_told(plano, site, hurried):
    site.deploy("1")
    site.deploy("2")
    site.haproxy.sessions["green"] = [1]
    code, _said, complaint = plano("retire", "app")
    assert (code, site.running("app@green.service")) == (0, None)
    assert complaint.startswith(
        "plano: app: slot green still had requests in flight after 2 s; they end with its process"
    )


def order(site, tmp_path, release):
    path = tmp_path / "order"
    path.write_text(json.dumps(Order.new(release, {"id": "c-1"}).__dict__))
    return path


def test_an_order_is_carried_out_and_gone(plano, site, tmp_path):
    path = order(site, tmp_path, site.stage("1"))
    code, said, _complaint = plano("carry-out", "app", str(path))
    assert (code, said.startswith("plano: confirmed 1-"), path.exists()) == (0, True, False)
    assert site.served() == "1"


def test_an_order_that_is_refused_says_by_whom(plano, site, tmp_path):
    path = order(site, tmp_path, site.stage("1"))
    other = Lock(site.layout.lock, "app")
    with other:
        other.acquire({"change": "theirs", "release": "other"})
        code, _said, complaint = plano("carry-out", "app", str(path))
    assert code == 2
    assert "app is being changed by change theirs (release other" in complaint


def test_an_order_that_cannot_be_read_is_told(plano, tmp_path):
    code, _said, complaint = plano("carry-out", "app", str(tmp_path / "gone"))
    assert (code, "gone" in complaint) == (1, True)


def test_an_unknown_command_is_told_with_those_that_exist(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["deploy"])
    assert caught.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_the_component_of_a_command_lives_where_the_engine_looks(this_host, site):
    site.deploy("1")
    assert Component(Layout("app"), this_host).ledger().entries == site.component.ledger().entries
    assert change.recover(Component(Layout("app"))) is None


def test_what_root_writes_under_a_strict_umask_is_readable_for_services(plano):
    before = os.umask(0o077)
    try:
        plano("status")
        assert os.umask(before) == 0o022
    finally:
        os.umask(before)
