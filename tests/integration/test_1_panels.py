"""Every panel of every dashboard shows something in the environment's Prometheus, or silent.yml says why it cannot."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from dashboards.queries import panels, queries
from local_environment import ROOT, Environment
from promql import Selector, selectors
from rule_files import rules

BOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "roles" / "grafana" / "files" / "dashboards").glob("*.json"))
]
SILENT = yaml.safe_load(Path(__file__).with_name("silent.yml").read_text(encoding="utf-8"))
RECORDED = {rule.name: rule.expression for rule in rules() if not rule.alert}
# Two scrapes and two evaluations: until then a rate has nothing to be made of.
PATIENCE = 90


class Panel(NamedTuple):
    """A panel and what it asks."""

    dashboard: str
    title: str
    expressions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.title}"


def _panels() -> Iterator[Panel]:
    for board in BOARDS:
        found: dict[str, list[str]] = {}
        for asked in queries(board):
            # Nobody waits half an hour or a week here: what was before is as good as what is now.
            found.setdefault(asked.panel, []).append(re.sub(r" offset \w+", "", asked.expression))
        for title, expressions in found.items():
            yield Panel(board["uid"], title, tuple(expressions))


def listed(kind: str) -> set[tuple[str, str]]:
    """Return the panels that silent.yml lists, dashboard and title."""
    entries = [entry for reason in SILENT[kind].values() for entry in reason.items()]
    known: dict[str, list[str]] = {panel.dashboard: [] for panel in PANELS}
    for panel in PANELS:
        if not panel.title.startswith("annotation "):
            known[panel.dashboard].append(panel.title)
    return {
        (uid, title) for uid, titles in entries for name in titles for title in (known[uid] if name == "*" else [name])
    }


PANELS = list(_panels())
NEVER = [panel for panel in PANELS if panel[:2] in listed("never")]
WHILE_WELL = [panel for panel in PANELS if panel[:2] in listed("while_well")]
SHOWN = [panel for panel in PANELS if panel not in NEVER and panel not in WHILE_WELL]


def shows(environment: Environment, expression: str) -> bool:
    """Whether a query returns a number."""
    return any(item["value"][1] != "NaN" for item in environment.query(expression))


def eventually(look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(3)
    return found


@pytest.fixture(scope="module", autouse=True)
def used(environment: Environment) -> None:
    """Users ask the backend, good things and bad: without them there is no latency and no error."""

    def asked() -> bool:
        for path in ("/clients", "/clients", "/nowhere"):
            environment.get(path)
        return shows(environment, "plano:backend_latency_p95:seconds")

    assert eventually(asked)


def test_a_panel_is_listed_once_and_exists() -> None:
    names = {panel[:2] for panel in PANELS}
    assert listed("never") | listed("while_well") <= names
    assert not listed("never") & listed("while_well")
    titles = {(board["uid"], panel["title"]) for board in BOARDS for panel in panels(board) if panel.get("targets")}
    assert titles <= names


@pytest.mark.parametrize("panel", SHOWN, ids=str)
def test_a_panel_shows_something(environment: Environment, panel: Panel) -> None:
    for expression in panel.expressions:
        assert eventually(partial(shows, environment, expression)), expression


@pytest.mark.parametrize("panel", NEVER, ids=str)
def test_a_panel_listed_as_silent_is_silent(environment: Environment, panel: Panel) -> None:
    assert [expression for expression in panel.expressions if shows(environment, expression)] == []


def read(selector: Selector) -> set[str]:
    """Return what a selector reads in the end, where a rule records it."""
    if selector.name in RECORDED:
        return {each for inner in selectors(RECORDED[selector.name]) for each in read(inner)}
    inner = ", ".join(f'{matcher.label}{matcher.operator}"{matcher.value}"' for matcher in selector.matchers)
    return {f"{selector.name}{{{inner}}}"}


@pytest.mark.parametrize("panel", WHILE_WELL, ids=str)
def test_what_a_panel_would_show_is_there(environment: Environment, panel: Panel) -> None:
    sources = {source for expression in panel.expressions for found in selectors(expression) for source in read(found)}
    assert sources
    assert [source for source in sources if not environment.query(source)] == []
