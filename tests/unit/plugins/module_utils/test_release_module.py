# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils import _release
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import CONFIRMED, REJECTED, Ledger
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import Layout, describe

REQUEST = {"component": "backend", "version": "2", "files": [], "activation": {"strategy": "none"}}


@pytest.fixture
def note(tmp_path, monkeypatch):
    """Write to the ledgers of a host that is a folder."""

    def layout(name):
        return Layout(name, tmp_path / "opt", tmp_path / "var", tmp_path / "run")

    def append(component, state, release, change, **stamp):
        ledger = Ledger(layout(component).ledger)
        ledger.append(state, release, version="1", component=component, change={"id": change, **stamp})

    monkeypatch.setattr(_release, "Layout", layout)
    return append


@pytest.fixture
def rolled(note, monkeypatch):
    """Record what is taken back to what, with which stamp, instead of doing it; every kept release is on the disk."""
    done = []

    def roll(component, target, params, check_mode):
        done.append((component.name, target, params["change"]))
        return {"component": component.name, "changed": True, "status": CONFIRMED}

    monkeypatch.setattr(_release, "_roll", roll)
    monkeypatch.setattr(_release.change.Releases, "has", lambda *_release: True)
    return done


def test_a_change_is_taken_back_in_the_reverse_of_its_order(note, rolled):
    for component in ("host", "haproxy", "backend"):
        note(component, CONFIRMED, "old", "c1")
    for component in ("host", "haproxy", "backend"):
        note(component, CONFIRMED, "new", "c2")
    result = _release.reverted({"change": {"id": "c2"}}, False)
    assert [(name, target) for name, target, _stamp in rolled] == [
        ("backend", "old"),
        ("haproxy", "old"),
        ("host", "old"),
    ]
    assert all(stamp == {"id": "c2", "aborted": True} for _name, _target, stamp in rolled)
    assert (result["status"], result["changed"], result["warnings"]) == (CONFIRMED, True, [])


def test_what_nothing_stood_before_stays_and_does_not_keep_the_rest_from_going_back(note, rolled):
    note("backend", CONFIRMED, "old", "c1")
    note("backend", CONFIRMED, "new", "c2")
    note("haproxy", CONFIRMED, "first", "c2")
    result = _release.reverted({"change": {"id": "c2"}}, False)
    assert [name for name, _target, _stamp in rolled] == ["backend"]
    assert result["warnings"] == [
        "stays as it is: haproxy was first deployed by change c2; there is no release before it"
    ]


def test_a_host_that_the_change_never_reached_is_left_alone(note, rolled):
    note("backend", CONFIRMED, "old", "c1")
    result = _release.reverted({"change": {"id": "c2"}}, False)
    assert rolled == []
    assert (result["status"], result["changed"], result["rolled_back"]) == ("unchanged", False, [])


@pytest.mark.parametrize(("stamp", "allowed"), [({"aborted": True}, True), ({}, False)])
def test_only_what_a_person_rolled_back_needs_permission_to_come_again(note, stamp, allowed):
    release = describe(REQUEST)["id"]
    note("backend", CONFIRMED, "old", "c1")
    note("backend", CONFIRMED, release, "c2")
    note("backend", REJECTED, release, "c2", **stamp)
    params = {**REQUEST, "allow_rejected": False}
    component = _release.Component(_release.Layout("backend"))
    assert _release._was_only_taken_back(component, params) is allowed
    assert not _release._was_only_taken_back(component, {**params, "version": "3"})
