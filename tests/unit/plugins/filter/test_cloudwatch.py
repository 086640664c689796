# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.filter import cloudwatch_faults as faults_plugin
from ansible_collections.plano.delivery.plugins.filter import cloudwatch_plan as plan_plugin
from ansible_collections.plano.delivery.plugins.filter import cloudwatch_ports as ports_plugin
from ansible_collections.plano.delivery.plugins.filter.cloudwatch_faults import cloudwatch_faults
from ansible_collections.plano.delivery.plugins.filter.cloudwatch_plan import cloudwatch_plan
from ansible_collections.plano.delivery.plugins.filter.cloudwatch_ports import cloudwatch_ports

RDS = {"preset": "rds", "select": {"DBInstanceIdentifier": ["prod"]}}
HOME = ["sa-east-1"]


def test_a_plan_is_plain_data():
    found = cloudwatch_plan([RDS], regions=HOME)
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert set(found) == {"configurations", "ports", "families", "clients", "requests", "cost", "policies", "summary"}
    assert set(found) == set(yaml.safe_load(plan_plugin.RETURN)["_value"]["contains"])


def test_numbers_may_come_as_text():
    text = cloudwatch_plan([RDS], regions=HOME, scrape_interval="120", scrapers="2", free_requests="0", budget="10")
    assert text == cloudwatch_plan([RDS], regions=HOME, scrape_interval=120, scrapers=2, free_requests=0, budget=10)
    assert cloudwatch_faults([RDS], regions=HOME, budget="ten") == [
        "budget: 'ten' must be a number of US dollars a month"
    ]


def test_what_roles_leave_empty_is_nothing():
    assert cloudwatch_faults([RDS], regions=HOME, role_arn="", settings={}, budget="") == []
    assert cloudwatch_faults([RDS], regions=HOME, role_arn=None, settings=None, budget=None) == []


def test_a_plan_with_faults_is_refused_with_all_of_them():
    with pytest.raises(AnsibleFilterError) as refused:
        cloudwatch_plan([{"preset": "rdz"}, {"preset": "ec2"}], regions=HOME)
    lines = str(refused.value).splitlines()
    assert lines[0].endswith("2 faults in what CloudWatch exporters are to watch:")
    assert [line[:10] for line in lines[1:]] == ["- watch[0]", "- watch[1]"]
    with pytest.raises(AnsibleFilterError, match="1 fault in what"):
        cloudwatch_plan([{"preset": "rdz"}], regions=HOME)


def test_faults_are_a_list():
    assert cloudwatch_faults([RDS], regions=HOME) == []
    assert cloudwatch_faults([RDS], regions=HOME, budget=0, free_requests=0)[0].startswith("budget: about 6.05 USD")


def test_ports_are_those_of_the_plan_and_may_come_as_text():
    given = {"sa-east-1": "9200"}
    assert cloudwatch_ports([RDS], regions=HOME, ports=given) == {"sa-east-1": 9200}
    assert cloudwatch_plan([RDS], regions=HOME, ports=given)["ports"] == {"sa-east-1": 9200}
    assert cloudwatch_ports([RDS], regions=HOME) == {"sa-east-1": 9106}
    assert cloudwatch_ports([], ports=5) == {}
    options = yaml.safe_load(ports_plugin.DOCUMENTATION)["options"]
    assert options["ports"] == yaml.safe_load(plan_plugin.DOCUMENTATION)["options"]["ports"]


def test_both_filters_take_the_same_options():
    plan, faults = (yaml.safe_load(plugin.DOCUMENTATION)["options"].items() for plugin in (plan_plugin, faults_plugin))
    shape = [
        {name: {key: value for key, value in option.items() if key != "description"} for name, option in options}
        for options in (plan, faults)
    ]
    assert shape[0] == shape[1]


def test_the_filters_have_their_names():
    assert plan_plugin.FilterModule().filters() == {"cloudwatch_plan": cloudwatch_plan}
    assert faults_plugin.FilterModule().filters() == {"cloudwatch_faults": cloudwatch_faults}
    assert ports_plugin.FilterModule().filters() == {"cloudwatch_ports": cloudwatch_ports}
