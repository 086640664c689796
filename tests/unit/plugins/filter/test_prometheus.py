# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.filter import prometheus_plan as plan_plugin
from ansible_collections.plano.delivery.plugins.filter.prometheus_faults import FilterModule as FaultsModule
from ansible_collections.plano.delivery.plugins.filter.prometheus_plan import FilterModule as PlanModule

SHIPPED = Path(__file__).resolve().parents[4] / "roles" / "prometheus" / "files" / "rules"
SOUND: dict[str, Any] = {
    "environment": "dev",
    "settings": {
        "scrape_interval": "15s",
        "evaluation_interval": "15s",
        "retention_time": "30d",
        "retention_size": "0",
    },
    "builtin": 0,
    "jobs": [{"job": "own", "hosts": ["db"], "port": 9999}],
    "addresses": {"db": "192.0.2.3"},
    "modules": {},
    "blackbox": "127.0.0.1:9115",
    "remote_write": [{"name": "far", "url": "https://metrics.example/", "user": "u", "password": "S3CRET"}],
    "authorities": "",
    "user": "plano",
    "credentials": "/run/credentials/plano-prometheus.service",
    "password_file": "/run/credentials/plano-prometheus.service/monitoring_password",
}
prometheus_plan = PlanModule().filters()["prometheus_plan"]
prometheus_faults = FaultsModule().filters()["prometheus_faults"]


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.yml"
    path.write_text("groups: [{name: own, rules: [{record: 'own:one', expr: vector(1)}]}]\n")
    return path


def test_a_plan_is_plain_data_with_every_rule_that_is_shipped(own):
    found = prometheus_plan({**SOUND, "rules": [str(own)]})
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert set(found) == {"files", "rules", "secrets"}
    assert all(f"C({key})" in yaml.safe_load(plan_plugin.RETURN)["_value"]["description"] for key in found)
    for path in [*SHIPPED.glob("*.yml"), own]:
        assert found["files"][f"config/rules/{path.name}"] == path.read_text(encoding="utf-8")
    assert len(found["rules"]) == len(list(SHIPPED.glob("*.yml"))) + 2


def test_a_plan_with_faults_is_refused_with_all_of_them_and_no_secret(own):
    bad = {**SOUND, "rules": [str(own), "/nowhere/a.yml"], "jobs": [{"job": "own", "hosts": ["db"], "port": 0}]}
    assert prometheus_faults({**SOUND, "rules": [str(own)]}) == []
    assert len(prometheus_faults(bad)) == 2
    with pytest.raises(AnsibleFilterError) as refused:
        prometheus_plan(bad)
    assert "prometheus_jobs[0].port" in str(refused.value)
    assert "there is no file /nowhere/a.yml" in str(refused.value)
    assert "S3CRET" not in str(refused.value)


@pytest.mark.parametrize("name", ["backend.yml", "plano_configuration.yml"])
def test_rules_that_would_take_the_place_of_others_are_refused(tmp_path, own, name):
    taken = tmp_path / name
    taken.write_text(own.read_text())
    (fault,) = prometheus_faults({**SOUND, "rules": [str(own), str(taken)]})
    assert fault == f"prometheus_rules: {taken} has the name of another rules file; give it one of its own"


def test_two_own_files_of_one_name_are_refused(tmp_path, own):
    other = tmp_path / "folder" / "own.yml"
    other.parent.mkdir()
    other.write_text(own.read_text())
    assert len(prometheus_faults({**SOUND, "rules": [str(own), str(other)]})) == 1


class Vaulted:
    """What ansible-core before 2.19 has in place of an encrypted text: no text until it is asked."""

    def __str__(self) -> str:
        return "S3CRET"


def test_an_encrypted_password_is_one():
    writer = {**SOUND["remote_write"][0], "password": Vaulted()}
    assert prometheus_plan({**SOUND, "remote_write": [writer]})["secrets"] == {"remote_write_far": "S3CRET"}
