"""What a dashboard asks Prometheus, read from its JSON: the JSON is what is installed, whatever it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# What Grafana would put in for an hour with everything chosen; a minute is four scrapes, as it reckons.
FILLED = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__range_s": "3600",
    "__range": "1h",
}
EVERYTHING = ".*"
# A dollar with a number is what label_replace() found, to Grafana too.
_VARIABLE = re.compile(r"\$(?:\{([a-zA-Z_]\w*)(?::\w+)?\}|([a-zA-Z_]\w*))")


class UnknownVariableError(ValueError):
    """A query uses a variable that neither Grafana nor the dashboard has."""


class Asked(NamedTuple):
    """A query of a panel with every variable filled in."""

    dashboard: str
    panel: str
    expression: str


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return every panel, those in closed rows too, in order."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries(dashboard: Mapping[str, Any], values: Mapping[str, str] | None = None) -> list[Asked]:
    """Return what each panel and annotation asks, with *values* for the dashboard's variables, else everything."""
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    known = {**dict.fromkeys(names, EVERYTHING), **FILLED, **(values or {})}

    def fill(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        if name not in known:
            raise UnknownVariableError(f"{dashboard['uid']}: there is no variable ${name}")
        return known[name]

    asked = [(panel["title"], target["expr"]) for panel in panels(dashboard) for target in panel.get("targets", [])]
    asked += [
        (f"annotation {each['name']}", each["expr"]) for each in dashboard["annotations"]["list"] if "expr" in each
    ]
    return [Asked(dashboard["uid"], title, _VARIABLE.sub(fill, expression)) for title, expression in asked]
