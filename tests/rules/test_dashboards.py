"""What the dashboards ask is PromQL to every Prometheus there is, and somebody says what it reads."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import stage
import yaml
from dashboards.__main__ import PAGE
from dashboards.queries import Asked, panels, queries
from known_metrics import dead
from promql import selectors, tokens
from promtool import promtools, run
from rule_files import METRICS, ROOT, RULES, our_metrics, rules, table

FILES = sorted((ROOT / "roles" / "grafana" / "files" / "dashboards").glob("*.json"))
BOARDS: list[dict[str, Any]] = [json.loads(path.read_text(encoding="utf-8")) for path in FILES]
ASKED = [asked for board in BOARDS for asked in queries(board)]
POSTGRESQL = [board for board in BOARDS if board["uid"] == "plano-postgresql"]
NEWEST = "0.17.1-postgresql17"
# What this collection writes and no exporter says; the stage has it of RDS.
OURS = {"Newest checkpoint"}
ALERTS = {rule.name: rule for rule in rules() if rule.alert}

# What a variable chooses, by the label it stands for where that is another one.
CHOSEN = {"host": "host", "component": "component", "load_balancer": "load_balancer", "web_acl": "web_acl"}
# An alert carries the labels its rule kept; which of them are there differs from alert to alert.
ALERT_NAMES = ("ALERTS", "ALERTS_FOR_STATE")


def name_of(asked: Asked) -> str:
    return f"{asked.dashboard}: {asked.panel}"


def test_every_query_is_promql_to_every_promtool_there_is(tmp_path: Path):
    recorded = [{"record": f"dashboard:query{number}", "expr": each.expression} for number, each in enumerate(ASKED)]
    path = tmp_path / "dashboards.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": recorded}]}), encoding="utf-8")
    said = {str(promtool): run(promtool, "check", "rules", path) for promtool in promtools()}
    wrong = {
        promtool: [
            name_of(ASKED[int(number)]) + ": " + line
            for line in text.splitlines()
            for number in re.findall(r"query(\d+)", line)
        ]
        for promtool, (code, text) in said.items()
        if code != 0 or f"{len(ASKED)} rules found" not in text
    }
    assert wrong == {}, said


def test_a_query_that_is_no_promql_is_noticed(tmp_path: Path):
    path = tmp_path / "bad.yml"
    rule = {"record": "dashboard:query0", "expr": "rate(up[5m)"}
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": [rule]}]}), encoding="utf-8")
    assert run(promtools()[0], "check", "rules", path)[0] != 0


@pytest.mark.parametrize("asked", ASKED, ids=name_of)
def test_whatever_a_panel_reads_is_said_by_somebody(asked: Asked):
    found = selectors(asked.expression)
    assert found, "a query that reads nothing"
    assert [fault for selector in found for fault in dead(selector)] == []


def shown(asked: list[Asked], folder: Path, postgresql: str = NEWEST) -> dict[str, str]:
    """Return what each expression finds, asked of Prometheus' engine on what exporters say; one that is silent is not there.

    promtool is told to expect nothing; it then names each expression that found something, and what.
    """
    expressions = sorted({without_offset(each.expression) for each in asked})
    test = {
        "rule_files": [str(path) for path in sorted(RULES.glob("*.yml"))],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": stage.series(postgresql),
                "promql_expr_test": [
                    {"expr": expression, "eval_time": f"{stage.MINUTES}m", "exp_samples": []}
                    for expression in expressions
                ],
            }
        ],
    }
    path = folder / "stage.yml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    _code, said = run(promtools()[0], "test", "rules", path)
    found = re.findall(r'expr: ("(?:[^"\\]|\\.)*"), time: .*\n\s*exp: .*\n\s*got: (.*)', said)
    assert "got:" in said, said
    return {json.loads(expression): got for expression, got in found if not got.endswith("NaN")}


def without_offset(expression: str) -> str:
    """A week ago was as good as now."""
    return re.sub(r" offset \w+", "", expression)


def here(boards: list[dict[str, Any]], **chosen: str) -> list[Asked]:
    """Return what dashboards ask, with rates over what the scrapes here are good for."""
    return [each for board in boards for each in queries(board, {"__rate_interval": "5m", **chosen})]


def silent(asked: list[Asked], found: dict[str, str]) -> list[str]:
    return [name_of(each) for each in asked if without_offset(each.expression) not in found]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return shown(here(BOARDS), tmp_path_factory.mktemp("stage"))


def test_every_query_finds_what_exporters_say(found: dict[str, str]):
    """Whole: names, labels, joins and rules."""
    assert silent(here(BOARDS), found) == []


def test_every_legend_names_labels_that_are_there(found: dict[str, str]):
    wrong = []
    for board in BOARDS:
        legends = [target.get("legendFormat", "") for panel in panels(board) for target in panel.get("targets", [])]
        for asked, legend in zip(here([board]), legends):
            got = found[without_offset(asked.expression)]
            wrong += [
                f"{name_of(asked)}: {label}" for label in re.findall(r"{{(\w+)}}", legend) if f'{label}="' not in got
            ]
    assert wrong == []


@pytest.mark.parametrize("server", [15, 16, 18])
def test_every_postgresql_fills_its_dashboard(tmp_path: Path, server: int):
    asked = [each for each in here(POSTGRESQL, database="db1") if each.panel not in OURS]
    assert silent(asked, shown(asked, tmp_path, f"0.17.1-postgresql{server}")) == []


def test_an_old_exporter_of_postgresql_leaves_empty_what_the_documentation_says(tmp_path: Path):
    asked = [each for each in here(POSTGRESQL, database="db1") if each.panel not in OURS]
    titles = {name.split(": ")[1] for name in silent(asked, shown(asked, tmp_path, "0.11.1-postgresql15"))}
    (row,) = re.findall(r"^\| (.+) \| with postgres_exporter 0\.11 ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert titles == set(re.findall(r"\*(.+?)\*", row))


def test_a_query_that_finds_nothing_is_noticed(tmp_path: Path):
    there = Asked("d", "there", 'sum(up{environment=~".*"})')
    joined = Asked("d", "joined", 'up{job="node"} * on (job) group_left () up{job="backend"}')
    assert list(shown([there, joined], tmp_path)) == [there.expression]


def test_whatever_a_variable_lists_is_said_by_somebody():
    for board in BOARDS:
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
                assert asked, variable["definition"]
                assert variable["query"]["query"] == variable["definition"]
                (selector,) = selectors(asked.group(1))
                assert dead(selector) == []
                assert asked.group(2) in labels_of(selector.name)


def labels_of(name: str) -> set[str]:
    """Return the labels a metric can be chosen by: those of its targets, or those its rule keeps."""
    recorded = {
        row[0].strip("`"): set(re.findall(r"`(\w+)`", row[3]))
        for row in table(METRICS.read_text("utf-8"), "Recorded names")
    }
    if name in recorded:
        return {"environment", *recorded[name]}
    ours = {metric.name: set(metric.labels) for metric in our_metrics()}
    dimensions = {
        line.split()[0]: set(line.split()[1].split(","))
        for line in (ROOT / "tests/rules/expositions/needed-cloudwatch.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
    }
    return {"environment", "host", *ours.get(name, ()), *dimensions.get(name, ())}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_every_selector_obeys_every_variable_it_can(board: dict[str, Any]):
    """A query that leaves a variable out shows what was not chosen."""
    chosen = {each["name"] for each in board["templating"]["list"] if each["type"] == "query"}
    marks = {name: f"<{name}>" for name in chosen}
    wrong = []
    for asked in queries(board, marks):
        for selector in selectors(asked.expression):
            obeyed = {matcher.value.rstrip("|") for matcher in selector.matchers if matcher.operator == "=~"}
            wanted = {"environment"}
            if selector.name not in ALERT_NAMES and not asked.panel.startswith("annotation "):
                wanted |= {name for name in chosen if CHOSEN.get(name) in labels_of(selector.name)}
                if "database" in chosen:
                    wanted.add("database")
                if "distribution" in chosen and "cloudfront" in selector.name:
                    wanted.add("distribution")
            missing = {name for name in wanted if marks[name] not in obeyed}
            if missing:
                wrong.append(f"{asked.panel}: {selector.name} without {', '.join(sorted(missing))}")
    assert wrong == []


# -- thresholds ----------------------------------------------------------------------------------------


def numbers(expression: str) -> set[float]:
    """Return every number of an expression, products such as 5 * 1024 ^ 3 worked out."""
    signs = " ".join(word.text if word.kind == "number" or word.text in "*^" else "," for word in tokens(expression))
    products = [found.strip(" *^") for found in signs.split(",")]
    return {
        math.prod(
            float(base) ** float(exponent or 1) for base, exponent in re.findall(r"([\d.]+)(?: \^ ([\d.]+))?", product)
        )
        for product in products
        if product
    }


def test_numbers_are_read_whole():
    assert numbers("a < 5 * 1024 ^ 3 and b[5m] > 0.5 or c == 1") == {5 * 1024**3, 0.5, 1.0}


def limits(panel: dict[str, Any]) -> set[tuple[float, str]]:
    """Return where a panel and its columns change colour, with the colour of the worse side."""
    config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
    given = [config["defaults"].get("thresholds", {})]
    given += [
        each["value"] for rule in config["overrides"] for each in rule["properties"] if each["id"] == "thresholds"
    ]
    found = set()
    for steps in (one.get("steps", []) for one in given):
        low_is_bad = bool(steps) and steps[0]["color"] != "green"
        for lower, upper in zip(steps, steps[1:]):
            found.add((upper["value"], (lower if low_is_bad else upper)["color"]))
    return found


COLOURS = {"page": "red", "ticket": "orange", "info": "orange"}
# Words of the panel's own: outcomes by number, and a count of which more than one is what the alert says.
NUMBERED = {
    "Outcome over time": {(2.0, "orange"), (4.0, "red")},
    "Versions at once": {(2.0, "orange")},
}
# Both count alerts of one severity, or the one that always fires.
ABOUT_ALERTS = {"Pages", "Tickets", "Alerting works"}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_limits_are_those_of_the_alerts_and_coloured_by_their_severity(board: dict[str, Any]):
    wrong = {}
    for panel in board["panels"]:
        known = set(NUMBERED.get(panel["title"], ()))
        for link in panel.get("links", []):
            alert = ALERTS[link["title"]]
            # What the alert has one by one a panel counts: there the first is one too many.
            known |= {(number, COLOURS[alert.labels["severity"]]) for number in numbers(alert.expression) | {1.0}}
        strange = limits(panel) - known
        if strange and panel["title"] not in ABOUT_ALERTS:
            wrong[panel["title"]] = strange
    assert wrong == {}
