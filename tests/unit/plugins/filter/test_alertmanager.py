# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.filter import alertmanager_faults as faults_plugin
from ansible_collections.plano.delivery.plugins.filter import alertmanager_plan as plan_plugin
from ansible_collections.plano.delivery.plugins.filter import alertmanager_silence as silence_plugin
from ansible_collections.plano.delivery.plugins.filter.alertmanager_faults import alertmanager_faults
from ansible_collections.plano.delivery.plugins.filter.alertmanager_plan import alertmanager_plan
from ansible_collections.plano.delivery.plugins.filter.alertmanager_silence import alertmanager_silence
from ansible_collections.plano.delivery.plugins.plugin_utils._plain import plain

SOUND: dict[str, Any] = {
    "version": "0.28.1",
    "default_receiver": "ops",
    "receivers": [{"name": "ops", "slack": [{"url": "https://example.com/S3CRET"}]}],
}


def test_a_plan_is_plain_data():
    found = alertmanager_plan(SOUND)
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert set(found) == set(yaml.safe_load(plan_plugin.RETURN)["_value"]["contains"])


def test_a_plan_with_faults_is_refused_with_all_of_them_and_no_secret():
    with pytest.raises(AnsibleFilterError) as refused:
        alertmanager_plan({**SOUND, "port": 0, "routes": [{"receiver": "x"}]})
    lines = str(refused.value).splitlines()
    assert lines[0].endswith("2 faults in what Alertmanager is to do:")
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "- alertmanager_port",
        "- alertmanager_routes[0].receiver",
    ]
    assert "S3CRET" not in str(refused.value)
    with pytest.raises(AnsibleFilterError, match="1 fault in what"):
        alertmanager_plan({**SOUND, "port": 0})


def test_faults_are_a_list():
    assert alertmanager_faults(SOUND) == []
    assert len(alertmanager_faults({**SOUND, "port": 0})) == 1


class Vaulted:
    """What ansible-core before 2.19 has in place of an encrypted text: no text until it is asked."""

    def __str__(self) -> str:
        return "https://example.com/S3CRET"


def test_an_encrypted_text_is_one():
    hidden = {**SOUND, "receivers": ({"name": "ops", "slack": [{"url": Vaulted()}]},)}
    assert alertmanager_plan(hidden) == alertmanager_plan(SOUND)
    assert plain({1: (True, None, 1.5, Vaulted())}) == {"1": [True, None, 1.5, "https://example.com/S3CRET"]}


def test_a_silence_begins_now_and_takes_numbers_as_text():
    found = alertmanager_silence(["a"], environment="prod", minutes="30", change="c", comment="x")
    start, end = (datetime.fromisoformat(found[key].replace("Z", "+00:00")) for key in ("startsAt", "endsAt"))
    assert end - start == timedelta(minutes=30)
    assert abs(datetime.now(timezone.utc) - start) < timedelta(minutes=1)
    with pytest.raises(AnsibleFilterError, match="alertmanager_silence: hosts: it must be a list"):
        alertmanager_silence([], environment="prod", minutes=30, change="c", comment="x")


def test_the_filters_have_their_names():
    assert plan_plugin.FilterModule().filters() == {"alertmanager_plan": alertmanager_plan}
    assert faults_plugin.FilterModule().filters() == {"alertmanager_faults": alertmanager_faults}
    assert silence_plugin.FilterModule().filters() == {"alertmanager_silence": alertmanager_silence}
