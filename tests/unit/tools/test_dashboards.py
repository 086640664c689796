"""The dashboards as files: current, complete, fit to be read by a person. Their queries are judged in tests/rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dashboards.__main__ import DASHBOARDS, PAGE
from dashboards.boards import documented, texts, write
from dashboards.panels import Query, above, below
from dashboards.queries import Asked, UnknownVariableError, panels, queries
from rule_files import ROOT, RUNBOOKS, rules

TEXTS = texts()
BOARDS: list[dict[str, Any]] = [json.loads(text) for text in TEXTS.values()]
ALERTS = {rule.name for rule in rules() if rule.alert}
BY_UID = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])


def drawn(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that ask something."""
    return [panel for panel in panels(board) if panel["type"] not in ("row", "annolist")]


# -- files ---------------------------------------------------------------------------------------------


def test_the_files_are_what_the_code_says():
    committed = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")}
    assert committed == TEXTS, "write them anew: make dashboards"


def test_the_documentation_names_every_panel():
    text = PAGE.read_text(encoding="utf-8")
    assert documented(text) == text, "write it anew: make dashboards"
    for board in BOARDS:
        for panel in panels(board):
            assert panel["type"] == "row" or f"| {panel['title']} |" in text


def test_the_same_code_gives_the_same_bytes():
    assert texts() == TEXTS


def test_a_dashboard_that_is_no_more_goes_and_a_strangers_file_stays(tmp_path: Path):
    (tmp_path / "plano-old.json").write_text("{}")
    (tmp_path / "mine.json").write_text("{}")
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*TEXTS, "mine.json"}


def test_there_are_the_ten_of_them():
    assert [board["uid"] for board in BOARDS] == [
        "plano-fleet",
        "plano-deploys",
        "plano-backend",
        "plano-postgresql",
        "plano-rds",
        "plano-hosts",
        "plano-alb",
        "plano-edge",
        "plano-imports",
        "plano-monitoring",
    ]
    assert len({board["title"] for board in BOARDS}) == len(BOARDS)


# -- each dashboard ------------------------------------------------------------------------------------


@BY_UID
def test_a_dashboard_belongs_to_no_server_and_finds_its_neighbours(board: dict[str, Any]):
    assert "id" not in board
    assert "version" not in board
    assert board["schemaVersion"] == 39
    assert board["description"].endswith(".")
    assert board["tags"] == ["plano"]
    assert board["timezone"] == "browser"
    assert board["refresh"] == "30s"
    assert re.fullmatch(r"now-\d+[hd]", board["time"]["from"])
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["plano"], True, True)


@BY_UID
def test_its_variables_choose_much_and_begin_with_everything(board: dict[str, Any]):
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables)[:3] == ["datasource", "environment", "runbooks"]
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    # Two servers call their data sources differently: none is named.
    assert "current" not in variables["datasource"]
    for name, variable in variables.items():
        assert variable["description"].endswith(".")
        if variable["type"] == "query":
            assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
            assert variable["current"]["value"] == ["$__all"]
            assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert name == "environment" or "$environment" in variable["definition"]


@BY_UID
def test_every_variable_is_used(board: dict[str, Any]):
    text = json.dumps([board["panels"], board["annotations"]])
    for variable in board["templating"]["list"]:
        assert f"${variable['name']}" in text or f"${{{variable['name']}" in text, variable["name"]


@BY_UID
def test_a_panel_says_what_it_shows_in_which_unit_and_asks_whom_one_chose(board: dict[str, Any]):
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles), "two panels of one name"
    ids = [panel["id"] for panel in panels(board)]
    assert ids == list(range(1, len(ids) + 1))
    for panel in drawn(board):
        assert len(panel["description"].split()) > 5, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["instant"] == (panel["type"] in ("stat", "table"))
            assert 'environment=~"$environment' in target["expr"], panel["title"]
            if panel["type"] in ("timeseries", "state-timeline"):
                assert target["legendFormat"], panel["title"]


@BY_UID
def test_what_was_before_is_dashed(board: dict[str, Any]):
    for panel in drawn(board):
        for target in panel["targets"]:
            if " offset " in target["expr"]:
                names = [rule["matcher"]["options"].strip("/") for rule in panel["fieldConfig"]["overrides"]]
                assert [name for name in names if re.search(name, target["legendFormat"])], panel["title"]


@BY_UID
def test_the_grid_has_no_holes_in_its_lines_and_nothing_over_another(board: dict[str, Any]):
    taken: set[tuple[int, int]] = set()
    widths: dict[int, int] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24, panel["title"]
        widths[place["y"]] = widths.get(place["y"], 0) + place["w"]
    assert set(widths.values()) == {24}
    assert len(taken) == 24 * (max(y for _x, y in taken) + 1)


@BY_UID
def test_the_first_line_answers_whether_all_is_well(board: dict[str, Any]):
    first = [panel for panel in board["panels"] if panel["gridPos"]["y"] == 0]
    assert [panel["type"] for panel in first] == ["stat"] * 6
    for panel in first:
        assert len(panel["title"]) <= 25, f"{panel['title']}: too long for a sixth of a small screen"
        # Nothing known is shown as such, in neither colour of the limits.
        special = [each for each in panel["fieldConfig"]["defaults"]["mappings"] if each["type"] == "special"]
        assert special[0]["options"]["result"]["text"] == "no data"


# -- links ---------------------------------------------------------------------------------------------


@BY_UID
def test_links_lead_to_runbooks_that_are_there(board: dict[str, Any]):
    (base,) = (variable for variable in board["templating"]["list"] if variable["name"] == "runbooks")
    assert base["type"] == "textbox"
    assert base["query"].endswith(str(RUNBOOKS.relative_to(ROOT)))
    for panel in panels(board):
        for link in panel.get("links", []):
            assert link["url"] == f"${{runbooks:raw}}/{link['title']}.md"
            assert (RUNBOOKS / f"{link['title']}.md").is_file(), panel["title"]
            assert link["targetBlank"]


def test_every_alert_stands_beside_what_it_is_about():
    linked = {link["title"] for board in BOARDS for panel in panels(board) for link in panel.get("links", [])}
    assert ALERTS - linked == set()


def test_an_alert_in_the_list_opens_its_runbook():
    fleet = BOARDS[0]
    (firing,) = (panel for panel in fleet["panels"] if panel["title"] == "Firing alerts")
    overrides = {rule["matcher"]["options"]: rule["properties"] for rule in firing["fieldConfig"]["overrides"]}
    (links,) = (each["value"] for each in overrides["alert"] if each["id"] == "links")
    assert [link["url"] for link in links] == ["${runbooks:raw}/${__value.raw}.md"]
    (colours,) = (each["value"] for each in overrides["severity"] if each["id"] == "mappings")
    assert {name: result["color"] for name, result in colours[0]["options"].items()} == {
        "page": "red",
        "ticket": "orange",
        "info": "blue",
    }
    renamed = firing["transformations"][-1]["options"]["renameByName"]
    assert renamed["alertname"] == "alert"


def test_every_table_is_sorted_by_a_column_it_has():
    for board in BOARDS:
        for panel in drawn(board):
            if panel["type"] == "table":
                headers = panel["transformations"][-1]["options"]["renameByName"]
                assert panel["options"]["sortBy"][0]["displayName"] in headers.values()
                assert {rule["matcher"]["options"] for rule in panel["fieldConfig"]["overrides"]} <= set(
                    headers.values()
                )


# -- what they are made with ---------------------------------------------------------------------------


def test_a_short_form_stands_for_the_matchers_of_its_variables():
    assert Query("rate(a{@host}[5m])\n  / b{@environment, x=~'y'}").promql == (
        """rate(a{environment=~"$environment", host=~"$host"}[5m]) / b{environment=~"$environment", x=~'y'}"""
    )


@pytest.mark.parametrize(
    "limits, colours",
    [
        (above(), [(None, "green")]),
        (above(ticket=1, page=2), [(None, "green"), (1, "orange"), (2, "red")]),
        (above(page=2), [(None, "green"), (2, "red")]),
        (below(ticket=2, page=1), [(None, "red"), (1, "orange"), (2, "green")]),
        (below(ticket=2), [(None, "orange"), (2, "green")]),
    ],
)
def test_limits_colour_what_lies_beyond_them(limits: Any, colours: list[tuple[float | None, str]]):
    assert [(step.value, step.color) for step in limits.steps] == colours


def test_a_line_of_a_graph_has_the_colour_of_what_lies_beyond_it():
    for limits in (below(ticket=2, page=1), above(ticket=1, page=2)):
        assert [step.color for step in limits.lines if step.value == limits.ticket] == ["orange"]
        assert [step.color for step in limits.lines if step.value == limits.page] == ["red"]
        assert [step.value for step in limits.lines] == [None, 1, 2]


def board_of(*expressions: str) -> dict[str, Any]:
    inner = {"title": "inner", "targets": [{"expr": expression} for expression in expressions]}
    return {
        "uid": "d",
        "templating": {"list": [{"name": "environment"}, {"name": "host"}]},
        "annotations": {"list": [{"name": "told"}, {"name": "confirmed", "expr": "c"}]},
        "panels": [{"title": "row", "panels": [inner]}],
    }


def test_queries_are_filled_in():
    board = board_of(
        'a{e=~"$environment|",h="${host:regex}"}[$__rate_interval]', "b[$__range] < $__range_s or $__interval"
    )
    assert queries(board, {"host": "one"}) == [
        Asked("d", "inner", 'a{e=~".*|",h="one"}[1m]'),
        Asked("d", "inner", "b[1h] < 3600 or 15s"),
        Asked("d", "annotation confirmed", "c"),
    ]


def test_what_label_replace_found_is_no_variable():
    (first, _annotation) = queries(board_of('label_replace(a, "b", "$1", "c", "(.+)")'))
    assert '"$1"' in first.expression


def test_an_unknown_variable_is_told_with_where_it_is():
    with pytest.raises(UnknownVariableError, match=r"d: there is no variable \$hots"):
        queries(board_of('a{h=~"$hots"}'))
