# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for every description and every configuration, whatever users write."""

from __future__ import annotations

import copy
import json
import re

import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.plano.delivery.plugins.module_utils.aws import cloudwatch_metrics as known
from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import (
    Description,
    actions,
    as_data,
    change,
    client,
    description_faults,
    plan,
)
from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_rules import (
    GLOBAL_KEYS,
    RULE_KEYS,
    configuration_faults,
    families,
    label,
)

REGIONS = ["sa-east-1", "us-east-1", "eu-west-1"]
ROLES = st.sampled_from([None, "arn:aws:iam::123456789012:role/reader", "arn:aws:iam::210987654321:role/other"])
VALUES = st.lists(st.text("abcdefghij-/", min_size=1, max_size=9), min_size=1, max_size=4, unique=True)


@st.composite
def presets(draw):
    """An entry with a preset, all or nothing of it named."""
    name = draw(st.sampled_from(sorted(known.PRESETS)))
    preset = known.PRESETS[name]
    entry = {"preset": name}
    dimensions = sorted({one for wanted in preset.metrics for one in wanted.dimensions} - set(preset.select))
    if draw(st.booleans()):
        entry["select"] = {one: draw(VALUES) for one in dimensions}
    else:
        entry["resources"] = draw(st.integers(1, 5))
        if draw(st.booleans()):
            entry["tags"] = {"Environment": draw(VALUES)}
    if preset.region is None and draw(st.booleans()):
        entry["regions"] = draw(st.lists(st.sampled_from(REGIONS), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        entry["use_get_metric_data"] = draw(st.booleans())
    return entry


@st.composite
def descriptions(draw):
    """A description without faults: each preset once, so that no series comes twice."""
    watch = draw(st.lists(presets(), min_size=1, max_size=5, unique_by=lambda entry: entry["preset"]))
    return Description(
        watch=watch,
        regions=draw(st.lists(st.sampled_from(REGIONS), min_size=1, max_size=3, unique=True)),
        role_arn=draw(ROLES),
        settings=draw(st.fixed_dictionaries({}, optional={"delay_seconds": st.integers(60, 3000)})),
        scrape_interval=draw(st.integers(60, 300)),
        scrapers=draw(st.integers(1, 3)),
        free_requests=draw(st.integers(0, 2_000_000)),
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**7) | st.floats() | st.text(max_size=12) | st.sampled_from(REGIONS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5)
            | st.sampled_from(
                [*GLOBAL_KEYS, *RULE_KEYS, "preset", "select", "tags", "regions", "resources", "unlisted"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(descriptions())
def test_a_sound_description_gives_sound_configurations(description):
    found = plan(description)
    for region, config in found.configurations.items():
        assert configuration_faults(config) == []
        assert config["region"] == region
        assert set(config) <= set(GLOBAL_KEYS)
        assert all(set(rule) <= set(RULE_KEYS) for rule in config["metrics"])
        assert found.families[region] == families(config)
        assert all(re.fullmatch(r"[a-z0-9_:]+", name) for name in found.families[region])


@settings(max_examples=50, deadline=None)
@given(descriptions())
def test_what_is_global_is_in_one_region_only(description):
    for region, config in plan(description).configurations.items():
        for rule in config["metrics"]:
            if known.only_in_global_region(rule["aws_namespace"], rule["aws_dimensions"]):
                assert region == known.GLOBAL_REGION


@settings(max_examples=50, deadline=None)
@given(descriptions())
def test_a_plan_is_data_that_survives_yaml_and_json(description):
    found = as_data(plan(description))
    assert json.loads(json.dumps(found)) == found
    written = yaml.safe_dump(found["configurations"])
    assert yaml.safe_load(written) == found["configurations"]
    # An alias would mean that two rules share a part, which somebody could change in both at once.
    assert not re.search(r"[&*]id\d", written)


@settings(max_examples=50, deadline=None)
@given(descriptions())
def test_a_plan_is_the_same_each_time_and_leaves_its_description_alone(description):
    before = copy.deepcopy(description)
    assert plan(description) == plan(description)
    assert description == before


@settings(max_examples=50, deadline=None)
@given(descriptions(), st.integers(60, 300), st.integers(1, 5))
def test_more_never_costs_less(description, interval, extra):
    slow, fast = sorted([description.scrape_interval, interval], reverse=True)
    base = plan(Description(**{**vars(description), "scrape_interval": slow})).cost
    assert 0 <= base.usd <= base.list_price
    more = Description(**{**vars(description), "scrape_interval": slow, "scrapers": description.scrapers + extra})
    assert plan(more).cost.usd >= base.usd
    often = Description(**{**vars(description), "scrape_interval": fast})
    assume(not description_faults(often))
    often = plan(often).cost
    assert often.get_metric_statistics + often.get_metric_data >= base.get_metric_statistics + base.get_metric_data


@settings(max_examples=50, deadline=None)
@given(descriptions())
def test_a_budget_holds_from_its_own_figure_on(description):
    usd = plan(description).cost.usd
    assert description_faults(Description(**{**vars(description), "budget": usd})) == []
    assume(usd >= 0.01)
    [found] = description_faults(Description(**{**vars(description), "budget": usd - 0.005}))
    assert found.startswith("budget: ")


@settings(max_examples=50, deadline=None)
@given(descriptions())
def test_the_policy_allows_each_region_what_it_needs_and_no_more(description):
    found = plan(description)
    reading = found.policies["assumed_role" if description.role_arn else "exporter"]
    allowed = {}
    for statement in reading["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in statement["Action"])
        for region in statement["Condition"]["StringEquals"]["aws:RequestedRegion"]:
            allowed.setdefault(region, []).extend(statement["Action"])
    assert allowed == {region: actions(config) for region, config in found.configurations.items()}
    if description.role_arn:
        [assuming] = found.policies["exporter"]["Statement"]
        assert (assuming["Action"], assuming["Resource"]) == (["sts:AssumeRole"], [description.role_arn])


@settings(max_examples=50, deadline=None)
@given(descriptions(), descriptions())
def test_a_restart_is_for_clients_only(one, other):
    old, new = ({**plan(item).configurations} for item in (one, other))
    for region in set(old) & set(new):
        said = change(old[region], new[region])
        assert (said == "restart") == (client(old[region]) != client(new[region]))
        assert (said == "none") == (old[region] == new[region])
        assert (change(new[region], old[region]) == "restart") == (said == "restart")


@settings(max_examples=150, deadline=None)
@given(ANYTHING)
def test_whatever_is_given_for_a_configuration_is_judged(config):
    found = configuration_faults(config)
    assert all(isinstance(fault, str) and fault for fault in found)
    assert found or (config["region"] and config["metrics"])


@settings(max_examples=150, deadline=None)
@given(st.lists(ANYTHING, max_size=3), ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_given_for_a_description_is_judged(watch, regions, role, changed, interval, scrapers, free, budget):
    description = Description(watch, regions, role, changed, interval, scrapers, free, budget)
    found = description_faults(description)
    assert all(isinstance(fault, str) and fault for fault in found)
    assert found or plan(description).configurations


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(known.PRESETS)), st.dictionaries(st.sampled_from(RULE_KEYS), ANYTHING, max_size=5))
def test_a_rule_spoilt_in_any_way_is_judged(name, spoilt):
    preset = known.PRESETS[name]
    wanted = preset.metrics[0]
    rule = {
        "aws_namespace": preset.namespace,
        "aws_metric_name": wanted.name,
        "aws_dimensions": list(wanted.dimensions),
        "aws_statistics": list(wanted.statistics),
        **spoilt,
    }
    region = preset.region or "sa-east-1"
    found = configuration_faults({"region": region, "metrics": [rule]})
    assert all(fault.startswith("metrics[0] (") for fault in found)
    if not found:
        assert families({"metrics": [rule]})


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_a_label_is_one_that_prometheus_takes(name):
    assert re.fullmatch(r"[a-z0-9_]+", label(name))
