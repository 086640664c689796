"""Which dashboards there are, and their files."""

from __future__ import annotations

import json
import re
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import alb, backend, deploys, edge, fleet, hosts, imports, monitoring, postgresql, rds

BUILDERS = (
    fleet.build,
    deploys.build,
    backend.build,
    postgresql.build,
    rds.build,
    hosts.build,
    alb.build,
    edge.build,
    imports.build,
    monitoring.build,
)


# Between these lines of the documentation stands what is made of the dashboards.
_TABLES = re.compile(r"(?<=<!-- panels -->\n).*?(?=<!-- /panels -->)", re.DOTALL)


def texts() -> dict[str, str]:
    """Return the text of each dashboard's file by its name; the same bytes every time."""
    boards = [build() for build in BUILDERS]
    return {f"{board.uid}.json": json.dumps(board, cls=JSONEncoder, indent=2) + "\n" for board in boards}


def write(folder: Path) -> list[Path]:
    """Write all files of a folder anew; a file that is no dashboard of ours any more goes."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = texts()
    for path in folder.glob("plano-*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in wanted]


def documented(text: str) -> str:
    """Return a page of documentation with its tables of panels as they are now."""
    return _TABLES.sub(lambda _old: "\n" + "\n".join(map(_table, texts().values())) + "\n", text)


def _table(text: str) -> str:
    board = json.loads(text)
    heading = board["title"].removeprefix("Plano / ")
    lines = [
        f"### {heading}",
        "",
        f"`{board['uid']}`. {board['description']}",
        "",
        "| panel | shows | alerts |",
        "|---|---|---|",
    ]
    for panel in board["panels"]:
        if panel["type"] != "row":
            # What it shows; when to worry is read beside the panel.
            shows = re.split(r"[;.](?:\s|$)", panel["description"])[0].replace("|", "\\|")
            alerts = ", ".join(f"[{link['title']}](runbooks/{link['title']}.md)" for link in panel.get("links", []))
            lines.append(f"| {panel['title']} | {shows} | {alerts} |")
    return "\n".join(lines) + "\n"
