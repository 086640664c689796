"""Which dashboards there are, and their files."""

from __future__ import annotations

import json
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
