# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.filter import alertmanager_alert as plugin
from ansible_collections.plano.delivery.plugins.filter.alertmanager_alert import alertmanager_alert
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring.alarms import ALARMS, alarm

ROOT = Path(__file__).resolve().parents[5]
RULES = yaml.safe_load((ROOT / "roles" / "prometheus" / "files" / "rules" / "import.yml").read_text(encoding="utf-8"))
BY_NAME = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
NOW = datetime(2026, 11, 26, 23, 55, 1, tzinfo=timezone(timedelta(hours=-3)))
GOOD = {
    "name": "ImportHeld",
    "environment": "prod",
    "labels": {"database": "db1", "datname": "shop", "target": "public.clients"},
    "reason": "dates: 3 rows",
    "minutes": 10,
    "now": NOW,
}


@pytest.mark.parametrize("name", ALARMS)
def test_it_is_the_alert_that_the_rule_fires(name):
    """Alertmanager takes alerts of the same labels for one: a label more or less, and people hear twice."""
    rule, known = BY_NAME[name], ALARMS[name]
    (kept,) = re.findall(r"by \(environment, ([\w, ]+)\)", rule["expr"])
    assert known.labels == tuple(kept.split(", "))
    assert rule["labels"] == {"severity": known.severity}
    assert re.sub(r"{{ \$labels\.(\w+) }}", r"{\1}", rule["annotations"]["summary"]) == known.summary
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{name}.md"


def test_the_body_is_what_alertmanager_takes():
    assert alarm(**GOOD, external={"region": "eu", "severity": "none"}) == [
        {
            "labels": {
                "region": "eu",
                "database": "db1",
                "datname": "shop",
                "target": "public.clients",
                "alertname": "ImportHeld",
                "environment": "prod",
                "severity": "ticket",
            },
            "annotations": {
                "summary": "The last import into public.clients of shop on db1 is held",
                "description": "dates: 3 rows",
                "runbook": "docs/runbooks/ImportHeld.md",
            },
            "startsAt": "2026-11-27T02:55:01Z",
            "endsAt": "2026-11-27T03:05:01Z",
        }
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "HostDown"}, "the alert 'HostDown' is none of ImportReverted"),
        ({"environment": ""}, "environment: it must be a text"),
        ({"reason": None}, "reason: it must be a text"),
        ({"labels": {**GOOD["labels"], "target": ""}}, "labels.target: it must be a text"),
        ({"labels": {"database": "db1"}}, "labels: ImportHeld has database, datname, target, not database"),
        ({"labels": {**GOOD["labels"], "run": "r1"}}, "labels: ImportHeld has database, datname, target, not"),
        ({"minutes": 0}, "minutes: it must be a number from 1 to 1440, is 0"),
        ({"minutes": True}, "minutes: it must be a number"),
    ],
)
def test_what_would_not_be_the_rules_alert_is_refused(changed, said):
    with pytest.raises(InputError) as refused:
        alarm(**{**GOOD, **changed})
    assert len(refused.value.faults) == 1
    assert said in refused.value.faults[0]


def test_the_filter_takes_what_playbooks_give():
    given = {key: GOOD[key] for key in ("name", "environment", "labels", "reason")}
    (found,) = alertmanager_alert(**given, minutes="5")
    begun, ends = (datetime.strptime(found[key], "%Y-%m-%dT%H:%M:%SZ") for key in ("startsAt", "endsAt"))
    assert ends - begun == timedelta(minutes=5)
    with pytest.raises(AnsibleFilterError, match="alertmanager_alert: minutes: it must be"):
        alertmanager_alert(**given, minutes="soon")
    assert set(yaml.safe_load(plugin.DOCUMENTATION)["options"]["_input"]["choices"]) == set(ALARMS)
