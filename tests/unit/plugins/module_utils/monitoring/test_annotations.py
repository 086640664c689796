# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ansible_collections.plano.delivery.plugins.filter import grafana_annotation
from ansible_collections.plano.delivery.plugins.module_utils.monitoring import annotations

NOW = datetime(2026, 11, 27, 12, 5, tzinfo=timezone.utc)
CHANGE = "20261127T120000Z-1"


def move(component, release, previous=None, kind="deploy"):
    return {"component": component, "release": release, "previous": previous, "kind": kind}


def made(released, change=CHANGE, reason=""):
    return annotations.annotation(released, "dev", change, reason, NOW)


def test_a_run_that_changed_nothing_is_not_shown():
    assert made({"app": [], "db": []}) == {}


def test_it_spans_the_change_and_says_what_went_where():
    found = made({"app": [move("backend", "2", "1")], "mon": []}, reason="faster")
    assert found["time"] == 1795780800000
    assert found["timeEnd"] == 1795781100000
    assert found["tags"] == ["plano", "deploy", "environment:dev", "component:backend"]
    assert found["text"] == f"<b>change {CHANGE}</b>: faster<br>backend 1 → 2 (app)"


def test_what_is_the_same_on_several_hosts_is_one_line():
    found = made({"a": [move("host", "2")], "b": [move("host", "2")], "c": [move("host", "3")]})
    assert found["text"].split("<br>")[1:] == ["host none → 2 (a, b)", "host none → 3 (c)"]


def test_a_change_that_was_taken_back_is_both():
    found = made({"a": [move("backend", "2", "1"), move("backend", "1", "2", "rollback")]})
    assert found["tags"][1:3] == ["deploy", "rollback"]


def test_a_fleet_does_not_fill_the_screen():
    found = made({f"h{number:02}": [move("backend", f"{number:02}")] for number in range(30)})
    lines = found["text"].split("<br>")
    assert len(lines) == 1 + annotations.MOST_LINES
    assert lines[-1] == "and 11 more"


def test_a_reason_is_text_and_no_html():
    assert "&lt;script&gt;" in made({"a": [move("backend", "2")]}, reason="<script>")["text"]


@pytest.mark.parametrize("change", ["ticket-17", "20991231T000000Z-1"])
def test_a_change_whose_beginning_is_not_known_is_a_point(change):
    found = made({"a": [move("backend", "2")]}, change)
    assert found["time"] == found["timeEnd"] == 1795781100000


def test_the_filter_takes_the_present():
    (make,) = grafana_annotation.FilterModule().filters().values()
    before = datetime.now(timezone.utc).timestamp() * 1000 - 1
    found = make({"a": [move("backend", "2")]}, "dev", "c")
    assert before <= found["timeEnd"] <= before + 60_000
