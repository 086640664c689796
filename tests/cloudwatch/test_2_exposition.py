"""Our configurations of two regions, read by the real exporter: all presets are there, at the price named."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from cloudwatch import (
    BALANCER,
    DATABASE,
    DISTRIBUTION,
    EDGE_REGION,
    EDGE_WEB_ACL,
    HOME_REGION,
    REPLICA,
    TARGETS,
    WEB_ACL,
)
from cloudwatch_jar import Exposition, exporter
from cloudwatch_watch import described

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import MONTH, plan

EXPOSITIONS = Path(__file__).resolve().parents[1] / "rules" / "expositions"
# An exporter shows no family without a sample, so both databases must not lack one; only the replica has a lag.
PLAN = plan(described())


@pytest.fixture(scope="module")
def seen(jar, aws, tmp_path_factory):
    """By region: two scrapes one after another, and the calls that each made."""
    found = {}
    for region, config in PLAN.configurations.items():
        with exporter(jar, tmp_path_factory.mktemp(region), config, aws) as running:
            scrapes = []
            for _turn in range(2):
                with aws.asked() as calls:
                    shown = running.scrape()
                scrapes.append((shown, calls))
            found[region] = scrapes
    return found


@pytest.mark.parametrize("region", [HOME_REGION, EDGE_REGION])
def test_every_family_that_the_plan_names_is_shown_once_and_no_other(seen, region):
    for shown, _calls in seen[region]:
        assert shown.error == 0
        assert sorted(shown.families) == list(PLAN.families[region])


def test_the_values_are_those_of_the_right_resource(seen):
    home, edge = seen[HOME_REGION][0][0], seen[EDGE_REGION][0][0]
    for name in (DATABASE, REPLICA):
        assert home.value("aws_rds_cpuutilization_average", dbinstance_identifier=name) == 41.5
    [lag] = home.of("aws_rds_replica_lag_average")
    assert (lag.label("dbinstance_identifier"), lag.value) == (REPLICA, 1.5)
    balancer = {"load_balancer": BALANCER}
    assert home.value("aws_applicationelb_request_count_sum", **balancer) == 60
    assert home.value("aws_applicationelb_httpcode_target_5_xx_count_sum", **balancer) == 2
    group = {**balancer, "target_group": TARGETS}
    assert home.value("aws_applicationelb_un_healthy_host_count_average", **group) == 0.5
    assert home.value("aws_applicationelb_healthy_host_count_minimum", **group) == 1
    assert home.value("aws_applicationelb_healthy_host_count_maximum", **group) == 2
    regional = {"region": HOME_REGION, "rule": "ALL", "web_acl": WEB_ACL}
    assert home.value("aws_wafv2_blocked_requests_sum", **regional) == 5
    [blocked] = edge.of("aws_wafv2_blocked_requests_sum")
    assert (blocked.value, blocked.label("web_acl"), blocked.label("region")) == (50, EDGE_WEB_ACL, None)
    front = {"distribution_id": DISTRIBUTION, "region": "Global"}
    assert edge.value("aws_cloudfront_5xx_error_rate_average", **front) == 0.5


def test_the_exporter_sets_job_and_instance_itself(seen):
    """Hence honor_labels in the scrape configuration: without it these become exported_job and exported_instance."""
    for scrapes in seen.values():
        shown = scrapes[0][0]
        for sample in shown.samples:
            if sample.name in shown.families:
                assert sample.label("job").startswith("aws_")
                assert sample.label("instance") == ""


def test_a_scrape_makes_the_calls_that_the_cost_is_reckoned_with(seen):
    """Each region's second scrape is one of 15 that find the lists in the cache; what it asks is multiplied."""
    series, calls, lists = 0, Counter(), 0
    for region, scrapes in seen.items():
        series += sum(len(scrapes[0][0].of(name)) for name in PLAN.families[region])
        calls.update(call.action for call in scrapes[1][1])
        lists += sum(call.action == "ListMetrics" for call in scrapes[0][1])
        assert {call.region for _shown, made in scrapes for call in made} == {region}
    # The database that is no replica is asked for its lag, and has none.
    assert series == PLAN.cost.series - 1
    assert calls == {"GetMetricStatistics": PLAN.cost.get_metric_statistics // (MONTH // 60)}
    assert lists == PLAN.cost.list_metrics // (MONTH // 900) == 2


def test_the_exporter_counts_its_calls_as_they_came(seen):
    shown = seen[HOME_REGION][1][0]
    counted = sum(one.value for one in shown.of("cloudwatch_requests_total"))
    # What the second scrape asked may be printed before or after it is counted.
    first, second = (len(calls) for _shown, calls in seen[HOME_REGION])
    assert first <= counted <= first + second


def test_by_get_metric_data_the_same_is_shown_in_fewer_calls(jar, aws, tmp_path, seen):
    wanted = plan(described(settings={"use_get_metric_data": True}))
    config = wanted.configurations[HOME_REGION]
    with exporter(jar, tmp_path, config, aws) as running, aws.asked() as calls:
        shown = running.scrape()
    assert shown.error == 0
    before = seen[HOME_REGION][0][0]
    for name in PLAN.families[HOME_REGION]:
        values = [sorted((one.labels, one.value) for one in found.of(name)) for found in (before, shown)]
        assert values[0] == values[1]
    # One a rule, and the lists.
    assert Counter(call.action for call in calls) == {"GetMetricData": len(config["metrics"]), "ListMetrics": 2}


# -- the record ----------------------------------------------------------------------------------------------------


def merged(*texts: str) -> str:
    """Return several expositions as one, each family once; what is about the process comes from the first."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, text in enumerate(texts):
        name = ""
        for line in text.splitlines():
            if line.startswith("#"):
                name = line.split()[2]
                heads = families.setdefault(name, ([], []))[0]
                if line.split()[1] not in [one.split()[1] for one in heads]:
                    heads.append(line)
            elif number == 0 or name.startswith("aws_"):
                families[name][1].append(line)
    return "".join(f"{line}\n" for heads, samples in families.values() for line in (*heads, *samples))


def shape(text: str) -> set[tuple[str, tuple[str, ...]]]:
    """Return which series there are, whatever their values; those of the machine and its Java are not ours."""
    return {
        (one.name, tuple(name for name, _value in one.labels))
        for one in Exposition(text).samples
        if one.name.startswith(("aws_", "cloudwatch_"))
    }


def test_the_recorded_exposition_is_what_the_exporter_shows(seen, pytestconfig):
    shown = merged(*(seen[region][1][0].text for region in (HOME_REGION, EDGE_REGION)))
    version = re.search(r'cloudwatch_exporter_build_info\{build_version="([^"]+)"', shown).group(1)
    path = EXPOSITIONS / f"cloudwatch_exporter-{version}.prom"
    if pytestconfig.getoption("--record"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.is_file(), f"{path} is missing: make cloudwatch ARGS=--record writes it"
    assert shape(path.read_text(encoding="utf-8")) == shape(shown)
