# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.silences import silence

NOW = datetime(2026, 11, 26, 23, 50, 1, tzinfo=timezone(timedelta(hours=-3)))


def test_a_silence_is_for_these_hosts_of_this_environment_and_ends():
    found = silence("prod", ["web-2", "db.example", "web-2"], 15, "c-1", "kernel", NOW)
    assert found == {
        "matchers": [
            {"name": "environment", "value": "prod", "isRegex": False, "isEqual": True},
            {"name": "host", "value": r"db\.example|web\-2", "isRegex": True, "isEqual": True},
            {"name": "alertname", "value": "Deploy.*", "isRegex": True, "isEqual": False},
        ],
        "startsAt": "2026-11-27T02:50:01Z",
        "endsAt": "2026-11-27T03:05:01Z",
        "createdBy": "c-1",
        "comment": "kernel",
    }
    pattern = found["matchers"][1]["value"]
    assert re.fullmatch(pattern, "db.example")
    assert not re.fullmatch(pattern, "dbxexample")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"environment": ""}, "environment: it must be a text"),
        ({"hosts": []}, "hosts: it must be a list of names, one at least"),
        ({"hosts": "web"}, "hosts: it must be a list of names"),
        ({"hosts": ["web", ""]}, "hosts: it must be a list of names"),
        ({"minutes": 0}, "minutes: it must be a number from 1 to 1440, is 0"),
        ({"minutes": "5"}, "minutes: it must be a number"),
        ({"minutes": 1441}, "minutes: it must be a number"),
        ({"change": " "}, "change: it must be a text"),
        ({"comment": None}, "comment: it must be a text"),
    ],
)
def test_what_would_silence_too_much_is_refused(changed, said):
    good = {"environment": "prod", "hosts": ["a"], "minutes": 5, "change": "c", "comment": "x", "now": NOW}
    assert silence(**good)["createdBy"] == "c"
    with pytest.raises(InputError) as refused:
        silence(**{**good, **changed})
    assert len(refused.value.faults) == 1
    assert said in refused.value.faults[0]
