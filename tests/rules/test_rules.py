"""The rules load, every alert is tested three times and explained, and whatever a rule reads some exporter really says."""

from __future__ import annotations

import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from known_metrics import CLOUDWATCH, EXPOSITIONS, KNOWN, RECORDED_NAMES, cloudwatch, dead, exposition, merged
from promql import Selector, selectors
from promtool import promtools, run
from rule_files import (
    METRICS,
    RULES,
    RUNBOOKS,
    TESTS,
    Rule,
    contents,
    our_metrics,
    promtool_groups,
    recorded_names,
    rules,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALERTS = [rule for rule in rules() if rule.alert]
RECORDED = [rule for rule in rules() if not rule.alert]

# What a runbook must say after its first sentence, in this order.
SECTIONS = ["Users notice", "Look first", "Do", "Roll back"]
# PostgreSQL 17 moved counters from one view to another, postgres_exporter 0.18 divided a size: an exposition has one name or the other.
MOVED = {
    "pg_stat_bgwriter_checkpoints_req_total": "pg_stat_checkpointer_num_requested_total",
    "pg_stat_user_tables_size_bytes": "pg_stat_user_tables_table_size_bytes",
}
# postgres_exporter of Debian 12 is older than these; docs/metrics.md says which alerts stay silent with it.
MISSING_BEFORE_0_17 = _words(
    """
    pg_database_wraparound_age_datfrozenxid_seconds pg_replication_is_replica pg_replication_lag_seconds
    pg_stat_user_tables_n_dead_tup pg_stat_user_tables_n_live_tup pg_stat_user_tables_n_mod_since_analyze
    pg_stat_user_tables_size_bytes pg_wal_size_bytes
    """
)


# -- promtool ------------------------------------------------------------------------------------------


def test_every_promtool_there_is_accepts_the_rules():
    faults = {}
    for promtool in promtools():
        code, said = run(promtool, "check", "rules", *sorted(RULES.glob("*.yml")))
        if code != 0 or "FAILED" in said:
            faults[str(promtool)] = said
        assert said.count("SUCCESS") == len(list(RULES.glob("*.yml")))
    assert faults == {}


def test_the_newest_promtool_runs_the_tests_clean():
    promtool = promtools()[0]
    files = sorted(TESTS.glob("*.yml"))
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda path: run(promtool, "test", "rules", path), files))
    faults = [
        f"{path.name}: {said}" for path, (code, said) in zip(files, outcomes) if code != 0 or "SUCCESS" not in said
    ]
    assert faults == []


# -- each alert ----------------------------------------------------------------------------------------


def test_names_are_not_given_twice():
    names = [rule.name for rule in rules()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on(rule: Rule):
    assert re.fullmatch(r"([A-Z][a-z0-9]+)+", rule.name)
    assert rule.labels["severity"] in ("page", "ticket", "info")
    assert sorted(rule.annotations) == ["description", "runbook", "summary"]
    assert rule.annotations["runbook"] == f"docs/runbooks/{rule.name}.md"
    assert not rule.annotations["summary"].endswith(".")
    assert rule.annotations["description"].endswith((".", "?"))


@pytest.mark.parametrize("rule", RECORDED, ids=lambda rule: rule.name)
def test_a_recorded_name_says_what_and_in_which_unit(rule: Rule):
    assert re.fullmatch(r"plano:[a-z0-9_]+(:[a-z0-9_]+)?", rule.name)


def _kinds() -> dict[str, set[str]]:
    """Return for each alert which kinds of test it has.

    fires: a time at which it is expected with all its labels. resolves: a later time of the same group without it.
    quiet: a group with series in which it is asked for and never expected.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    for file, group in promtool_groups():
        asked: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for check in group["alert_rule_test"]:
            asked[check["alertname"]].append((_seconds(check["eval_time"]), bool(check["exp_alerts"])))
        for name, times in asked.items():
            assert group["name"].startswith(f"{name} "), f"{file}: {group['name']} asks for {name}"
            fired = [at for at, fires in times if fires]
            if not fired:
                assert group["input_series"], f"{file}: {group['name']} has no series, so nothing could fire"
                assert re.fullmatch(rf"{name} does not fire: .+", group["name"])
                kinds[name].add("quiet")
            else:
                assert group["name"] == f"{name} fires and resolves"
                assert min(times) < (min(fired), True), f"{file}: {group['name']} does not show the time before"
                kinds[name].add("fires")
                if max(at for at, _fires in times) > max(fired):
                    kinds[name].add("resolves")
    return kinds


def _seconds(duration: str) -> float:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", duration))


def test_every_alert_is_shown_to_fire_to_resolve_and_not_to_fire():
    assert _kinds() == {rule.name: {"fires", "resolves", "quiet"} for rule in ALERTS}


def test_every_alert_has_its_runbook_and_every_runbook_its_alert():
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {rule.name for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_a_runbook_answers_the_five_questions(rule: Rule):
    text = (RUNBOOKS / f"{rule.name}.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == f"# {rule.name}"
    assert lines[1] == ""
    assert lines[2].endswith("."), "the third line says in one sentence what it means"
    assert "|" not in lines[2]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE))


def test_the_contents_of_the_runbooks_are_current():
    assert (RUNBOOKS / "README.md").read_text(encoding="utf-8") == contents(), (
        "write it anew: python tests/rules/rule_files.py"
    )


# -- each metric ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_whatever_a_rule_reads_is_said_by_somebody(rule: Rule):
    found = selectors(rule.expression)
    assert found, "a rule that reads nothing"
    faults = [fault for selector in found for fault in dead(selector)]
    assert faults == []


@pytest.mark.parametrize(
    "selector, fault",
    [
        (Selector("pg_replication_lag", ()), "nobody says"),
        (selectors('node_cpu_seconds_total{mode="idel"}')[0], "never seen with"),
        (selectors('node_cpu_seconds_total{mod="idle"}')[0], "has no label"),
        (selectors('up{job="nodes"}')[0], "there is no job"),
    ],
)
def test_a_dead_selector_is_noticed(selector: Selector, fault: str):
    assert len(dead(selector)) == 1
    assert fault in dead(selector)[0]


def test_every_recorded_name_is_used():
    used = {selector.name for rule in rules() for selector in selectors(rule.expression)}
    assert RECORDED_NAMES - used == set()


def test_the_table_of_recorded_names_is_complete():
    assert recorded_names() == sorted(RECORDED_NAMES)


def test_our_own_names_are_nobody_elses():
    recorded = merged(*map(exposition, sorted(EXPOSITIONS.glob("*.prom"))))
    assert {metric.name for metric in our_metrics()} & set(recorded) == set()
    assert all(metric.name.startswith("plano_") for metric in our_metrics())


def _postgres_names() -> set[str]:
    return {
        selector.name
        for rule in rules()
        for selector in selectors(rule.expression)
        if selector.name.startswith("pg_") and selector.name not in MOVED.values()
    }


@pytest.mark.parametrize("path", sorted(EXPOSITIONS.glob("postgres_exporter-*.prom")), ids=lambda path: path.stem)
def test_each_server_and_exporter_says_all_that_the_rules_read(path: Path):
    said = set(exposition(path))
    missing = {name for name in _postgres_names() if name not in said and MOVED.get(name) not in said}
    old = path.name.startswith("postgres_exporter-0.11")
    assert missing == (MISSING_BEFORE_0_17 if old else set())


@pytest.mark.parametrize("server", [15, 16, 17, 18])
def test_each_server_is_recorded(server: int):
    assert list(EXPOSITIONS.glob(f"postgres_exporter-0.17*-postgresql{server}.prom"))


def _derived(namespace: str, metric: str, statistic: str) -> str:
    """Name a metric as CloudWatch Exporter does: words split before a capital that follows a small letter or a digit."""
    words = [re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", part).lower() for part in (metric, statistic)]
    return re.sub(r"_{2,}", "_", re.sub(r"[^a-zA-Z0-9:_]", "_", "_".join([namespace.lower(), *words])))


def test_names_of_cloudwatch_follow_the_exporters_rule():
    lines = [line.split() for line in CLOUDWATCH.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    derived = {line[0]: _derived(*line[2:]) for line in lines if line[2] != "-"}
    assert {name: name for name in derived} == derived
    assert {line[0] for line in lines} == {
        selector.name
        for rule in rules()
        for selector in selectors(rule.expression)
        if re.match(r"aws_|cloudwatch_", selector.name)
    }


def test_a_recorded_cloudwatch_exporter_says_all_that_is_needed():
    recorded: list[dict[str, Any]] = [exposition(path) for path in EXPOSITIONS.glob("cloudwatch_exporter-*.prom")]
    if recorded:
        said = merged(*recorded)
        lacking = {
            name: sorted(set(known.labels) - set(said[name].labels) if name in said else ["everything"])
            for name, known in cloudwatch().items()
        }
        assert {name: labels for name, labels in lacking.items() if labels} == {}
    else:
        # Nothing recorded yet: the names are only derived, and the file says so.
        assert "derives each anew" in CLOUDWATCH.read_text(encoding="utf-8")


def test_documentation_names_no_metric_that_is_not_there():
    known = set(KNOWN) | RECORDED_NAMES
    named = set(re.findall(r"`((?:plano:|plano_)[a-z0-9_:]+)", METRICS.read_text(encoding="utf-8")))
    assert named - known == set()
