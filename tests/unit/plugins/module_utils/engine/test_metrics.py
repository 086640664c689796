# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import shutil

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import change, cli, metrics
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import (
    CONFIRMED,
    FAILED,
    REVERTED,
    STAGED,
    SWITCHED,
)

CHANGE = {"id": "20261126T120000Z-1"}


def entry(state, time, release="1.0-a", version="1.0", **more):
    return {"state": state, "release": release, "version": version, "time": time, "change": CHANGE, **more}


def samples(text):
    """Return the samples of a text, and insist that each family is described once."""
    found, described = {}, set()
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name = line.split()[1:3]
            assert (kind, name) not in described
            described.add((kind, name))
        else:
            name, _space, value = line.rpartition(" ")
            assert {kind for kind, family in described if family == name.partition("{")[0]} == {"HELP", "TYPE"}
            found[name] = float(value)
    return found


CONFIRM = [
    entry(STAGED, "2026-11-26T12:00:00.000000Z"),
    entry(SWITCHED, "2026-11-26T12:00:01.000000Z"),
    entry(CONFIRMED, "2026-11-26T12:00:02.500000Z"),
]


def test_what_was_confirmed_last_is_told_with_its_time():
    assert samples(metrics.exposition("app", CONFIRM)) == {
        'plano_deploy_info{component="app",version="1.0",release="1.0-a",change="20261126T120000Z-1"}': 1,
        'plano_deploy_timestamp_seconds{component="app"}': 1795694402.5,
        'plano_deploy_started_timestamp_seconds{component="app"}': 0,
    }


def test_a_change_under_way_is_told_with_its_beginning():
    begun = [*CONFIRM, entry(STAGED, "2026-11-26T12:10:00.000000Z", "2.0-b", "2.0", attempt="a1")]
    found = samples(metrics.exposition("app", begun))
    assert found['plano_deploy_started_timestamp_seconds{component="app"}'] == 1795695000
    assert any('version="1.0"' in name for name in found)


def test_a_change_that_was_reverted_is_over_and_what_serves_is_the_old_release():
    entries = [
        *CONFIRM,
        entry(STAGED, "2026-11-26T12:10:00.000000Z", "2.0-b", "2.0"),
        entry(SWITCHED, "2026-11-26T12:10:01.000000Z", "2.0-b", "2.0"),
        entry(REVERTED, "2026-11-26T12:10:02.000000Z", "2.0-b", "2.0"),
    ]
    found = samples(metrics.exposition("app", entries))
    assert found['plano_deploy_started_timestamp_seconds{component="app"}'] == 0
    assert found['plano_deploy_reverted_timestamp_seconds{component="app"}'] == 1795695002
    assert any('version="1.0"' in name for name in found)


def test_a_first_change_that_failed_leaves_nothing_to_name():
    entries = [entry(STAGED, "2026-11-26T12:00:00.000000Z"), entry(FAILED, "2026-11-26T12:00:01.000000Z")]
    assert samples(metrics.exposition("app", entries)) == {'plano_deploy_started_timestamp_seconds{component="app"}': 0}


def test_a_rebuilt_ledger_does_not_know_the_change():
    rebuilt = {key: value for key, value in CONFIRM[-1].items() if key != "change"}
    assert any('change=""' in name for name in samples(metrics.exposition("app", [rebuilt])))


def test_labels_are_escaped():
    text = metrics.sample("plano_deploy_info", {"component": 'a"b\\c\nd'}, 1)
    assert text.splitlines()[-1] == 'plano_deploy_info{component="a\\"b\\\\c\\nd"} 1'


def test_each_change_writes_the_file(site):
    site.deploy("1")
    path = site.layout.metrics / "plano_app.prom"
    assert path.read_text(encoding="utf-8") == metrics.exposition("app", site.component.ledger().entries)
    assert 'version="1"' in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o644


def test_recovery_writes_the_file_anew(site):
    site.deploy("1")
    shutil.rmtree(site.layout.metrics)
    change.recover(site.component)
    assert [path.name for path in site.layout.metrics.iterdir()] == ["plano_app.prom"]


def test_metrics_that_cannot_be_written_are_a_warning(site):
    site.layout.metrics.parent.mkdir(parents=True, exist_ok=True)
    site.layout.metrics.write_text("in the way", encoding="utf-8")
    outcome = site.deploy("1")
    assert outcome["status"] == CONFIRMED
    assert outcome["warnings"] == [f"{site.layout.metrics} could not be written: Not a directory"]


@pytest.mark.parametrize("waits", [True, False])
def test_the_host_tells_whether_it_waits_for_a_restart(site, tmp_path, waits):
    flag = tmp_path / "reboot-required"
    if waits:
        flag.touch()
    metrics.publish_host(site.layout, flag)
    text = (site.layout.metrics / "plano.prom").read_text(encoding="utf-8")
    assert samples(text) == {"plano_host_reboot_required": float(waits)}


def test_the_command_writes_all_and_a_damaged_ledger_does_not_silence_the_others(site, monkeypatch, capsys):
    site.deploy("1")
    shutil.rmtree(site.layout.metrics)
    damaged = site.layout.var / "broken" / "ledger.jsonl"
    damaged.parent.mkdir()
    damaged.write_text("no ledger\n", encoding="utf-8")

    def layout(name):
        return change.Layout(name, site.layout.opt, site.layout.var, site.layout.run)

    monkeypatch.setattr(cli, "Layout", layout)
    assert cli.COMMANDS["metrics"](argparse.Namespace(command="metrics")) == cli.EXIT_FAULT
    assert sorted(path.name for path in site.layout.metrics.iterdir()) == ["plano.prom", "plano_app.prom"]
    assert "broken" in capsys.readouterr().err


def test_a_component_that_is_being_changed_writes_its_file_itself(site, monkeypatch):
    site.deploy("1")
    shutil.rmtree(site.layout.metrics)

    def layout(name):
        return change.Layout(name, site.layout.opt, site.layout.var, site.layout.run)

    monkeypatch.setattr(cli, "Layout", layout)
    with change.Lock(site.layout.lock, "app") as lock:
        lock.acquire({"change": "c", "release": "r", "since": "s"}, wait=0.0)
        assert cli.COMMANDS["metrics"](argparse.Namespace(command="metrics")) == cli.EXIT_OK
    assert [path.name for path in site.layout.metrics.iterdir()] == ["plano.prom"]
