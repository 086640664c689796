# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine import status


def report(site):
    return status.report("app", site.host, site.layout)


def test_what_serves_and_what_stands_by_is_reported(site):
    site.deploy("1")
    site.deploy("2")
    found = report(site)
    past = site.component.ledger().history
    assert (found["state"], found["version"], found["previous"], found["standby"]) == ("confirmed", "2", "1", "1")
    assert (found["release"], found["since"], found["slot"]) == (past.current, past.since, "blue")
    assert (found["drift"], found["candidates"], found["rejected"]) == ([], [past.previous], [])


def test_a_release_that_was_rolled_back_is_reported_as_rejected_and_no_longer_stands_by(site):
    site.deploy("1")
    site.deploy("2")
    left = site.component.ledger().history.current
    site.rollback()
    site.host.stop("app@blue.service")
    found = report(site)
    assert (found["version"], found["rejected"], found["candidates"], found["standby"]) == ("1", [left], [], None)


def test_what_drifted_and_does_not_answer_is_reported_as_unhealthy(site):
    site.deploy("1")
    site.host.stop("app@green.service")
    found = report(site)
    assert (found["state"], found["version"]) == ("unhealthy", "1")
    assert found["drift"][0] == "app@green.service is not running"
    assert "answered 503 instead of 200" in found["drift"][1]


def test_a_switch_that_nobody_confirmed_is_reported(site):
    site.deploy("1")
    site.component.ledger().append("switched", site.stage("2"), version="2")
    assert (report(site)["state"], report(site)["version"]) == ("switched", "1")


def test_a_component_whose_only_attempt_failed_is_reported_as_absent(site):
    site.broken["1"] = "silent"
    site.deploy("1")
    found = report(site)
    assert (found["state"], found["version"], found["drift"]) == ("absent", None, [])


def test_a_release_that_is_gone_from_the_disk_is_reported(site):
    site.deploy("1")
    release = site.component.ledger().history.current
    site.component.releases.remove(release)
    assert (report(site)["state"], report(site)["drift"]) == ("damaged", [f"release {release} is gone from the disk"])


def test_a_release_that_cannot_be_read_is_reported(site):
    site.deploy("1")
    site.deploy("2")
    past = site.component.ledger().history
    for release in (past.previous, past.current):
        (site.component.releases.path(release) / "release.json").write_text("{")
        found = report(site)
        assert found["state"] == "damaged"
        assert f"release {release} of app cannot be read" in found["drift"][0]


def test_a_damaged_ledger_is_reported_with_what_to_do(site):
    site.deploy("1")
    site.layout.ledger.write_bytes(b"x" + site.layout.ledger.read_bytes())
    found = report(site)
    assert found["state"] == "damaged"
    assert "plano recover app --rebuild" in found["drift"][0]


def test_a_component_whose_ledger_was_removed_is_not_forgotten(site):
    assert status.components(site.layout) == []
    site.deploy("1")
    assert status.components(site.layout) == ["app"]
    site.layout.ledger.unlink()
    assert status.components(site.layout) == ["app"]
    assert "the file is gone, but its head is there" in report(site)["drift"][0]


@pytest.mark.parametrize(
    ("drift", "shown"), [([], "none"), (["it is silent"], "it is silent"), (["a", "b", "c"], "a (+2)")]
)
def test_a_row_shows_the_first_drift_and_how_many_more(drift, shown):
    found = {
        "component": "app",
        "version": None,
        "since": None,
        "state": "absent",
        "standby": None,
        "drift": drift,
    }
    assert status.row(found, "host-1") == {
        "component": "app",
        "host": "host-1",
        "version": "-",
        "since": "-",
        "state": "absent",
        "standby": "-",
        "drift": shown,
    }


def test_a_row_shows_the_time_to_the_second(site):
    site.deploy("1")
    row = status.row(report(site), "host-1")
    since = site.component.ledger().history.since
    assert row["since"] == f"{since[:10]} {since[11:19]}"


def test_a_table_is_as_wide_as_its_widest_cells_and_ends_without_spaces():
    rows = [{"name": "haproxy", "state": "ok"}, {"name": "db", "state": ""}]
    assert status.table(rows, ("name", "state")) == "NAME     STATE\nhaproxy  ok\ndb"
    assert status.table([], ("name", "state")) == "NAME  STATE"
