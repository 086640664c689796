"""What stands in the rule files, their tests and their documentation.

python tests/rules/rule_files.py        writes docs/runbooks/README.md anew
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "roles" / "prometheus" / "files" / "rules"
TESTS = ROOT / "tests" / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
METRICS = ROOT / "docs" / "metrics.md"

_CONTENTS = """\
# Runbooks

One page for each alert; the alert's `runbook` label says which. `page` wakes somebody: users are hurt, or will be within the hour.
`ticket` is for the next working hour. `info` asks for nothing and gives context.

Commands are those of the [README](../../README.md) and talk to the local hosts; `INVENTORY=inventories/prod` before `ARGS` names
another environment (`make status INVENTORY=inventories/prod`). `/opt/plano/bin/plano` runs on the host, as root, without a controller. PromQL goes
into Prometheus' or Grafana's query page, SQL into `psql` as the monitoring user or a superuser.

The pages on imports, restores and the monitoring's own components name commands of parts of this collection that are still to come.

A rollback of a component is one command, needs no network and ends within seconds. When users are hurt and something was changed
within the last hours: roll back first, understand later.

"""


class Rule(NamedTuple):
    """One alert or recording rule."""

    file: str
    name: str
    expression: str
    alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]


class Ours(NamedTuple):
    """A metric that this collection writes itself."""

    name: str
    labels: tuple[str, ...]


def rules() -> list[Rule]:
    """Return every rule shipped, in order."""
    return [rule for path in sorted(RULES.glob("*.yml")) for rule in _rules(path)]


def _rules(path: Path) -> Iterator[Rule]:
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            name = rule.get("alert") or rule["record"]
            yield Rule(
                path.name, name, rule["expr"], "alert" in rule, rule.get("labels", {}), rule.get("annotations", {})
            )


def promtool_groups() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every test group of promtool with the file it is in."""
    for path in sorted(TESTS.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            yield path.name, group


def table(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading of a Markdown text, cells without their code marks."""
    lines = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def recorded_names() -> list[str]:
    """Return the names that docs/metrics.md lists as recorded."""
    return [row[0].strip("`") for row in table(METRICS.read_text(encoding="utf-8"), "Recorded names")]


def our_metrics() -> list[Ours]:
    """Return the metrics that docs/metrics.md lists as ours."""
    rows = table(METRICS.read_text(encoding="utf-8"), "Names of our own")
    return [Ours(row[0].strip("`"), tuple(re.findall(r"`(\w+)`", row[1]))) for row in rows]


def contents() -> str:
    """Return the table of contents of the runbooks."""
    lines = ["| alert | severity | rules | means |", "|---|---|---|---|"]
    for rule in rules():
        if rule.alert:
            means = (RUNBOOKS / f"{rule.name}.md").read_text(encoding="utf-8").splitlines()[2]
            cells = (f"[{rule.name}]({rule.name}.md)", rule.labels["severity"], rule.file.removesuffix(".yml"), means)
            lines.append(f"| {' | '.join(cells)} |")
    return _CONTENTS + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (RUNBOOKS / "README.md").write_text(contents(), encoding="utf-8")
