# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release tells the end of the run, which shows it on the dashboards."""

from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.action.release import released

CONFIRMED = {"changed": True, "status": "confirmed", "version": "2", "release": "2-a", "previous": "1-a"}
MOVE = {"component": "app", "version": "2", "release": "2-a", "previous": "1-a"}


def test_a_confirmed_deploy_is_told():
    assert released({"component": "app"}, CONFIRMED) == [{**MOVE, "kind": "deploy"}]


def test_each_component_that_went_back_is_told():
    items = [{**CONFIRMED, "component": "app"}, {**CONFIRMED, "component": "proxy", "changed": False}]
    found = released({"state": "rolled_back"}, {"changed": True, "rolled_back": items})
    assert found == [{**MOVE, "kind": "rollback"}]


@pytest.mark.parametrize(
    "more", [{"changed": False}, {"status": "reverted", "failed": True}, {"status": "planned"}, {"status": "unchanged"}]
)
def test_what_changed_nothing_is_not_told(more):
    assert released({"component": "app"}, {**CONFIRMED, **more}) == []
