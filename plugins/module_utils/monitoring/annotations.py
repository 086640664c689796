# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change did, as an annotation on Grafana's dashboards."""

from __future__ import annotations

import html
import re
from datetime import datetime, timezone
from typing import Any, Mapping, Sequence

# The id of a change begins with when it began, to the second in UTC.
BEGAN = re.compile(r"[0-9]{8}T[0-9]{6}Z")
# A fleet's first deploy must not fill the screen.
MOST_LINES = 20

Released = Mapping[str, Sequence[Mapping[str, Any]]]


def annotation(released: Released, environment: str, change: str, reason: str, now: datetime) -> dict[str, Any]:
    """Return the body for POST /api/annotations, or nothing where nothing was changed.

    *released* names for each host what the release action told of it: component, version, release, previous and kind (deploy or
    rollback). The tags are those of the dashboards: plano, the kind, environment:NAME and component:NAME.
    """
    moves: dict[tuple[str, str], list[str]] = {}
    kinds: set[str] = set()
    components: set[str] = set()
    for host, items in released.items():
        for item in items:
            kinds.add(item["kind"])
            components.add(item["component"])
            what = f"{item['component']} {item['previous'] or 'none'} → {item['release']}"
            moves.setdefault((item["component"], what), []).append(host)
    if not moves:
        return {}
    # Grafana shows the text as HTML.
    lines = [html.escape(f"{what} ({', '.join(hosts)})") for (_component, what), hosts in sorted(moves.items())]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1} more"]
    said = f": {html.escape(reason)}" if reason else ""
    end = int(now.timestamp() * 1000)
    return {
        "time": min(_began(change) or end, end),
        "timeEnd": end,
        "tags": [
            "plano",
            *sorted(kinds),
            f"environment:{environment}",
            *(f"component:{name}" for name in sorted(components)),
        ],
        "text": "<br>".join([f"<b>change {html.escape(change)}</b>{said}", *lines]),
    }


def _began(change: str) -> int | None:
    """Return when a change began, in milliseconds since 1970, if its id says so."""
    found = BEGAN.match(change)
    if not found:
        return None
    return int(datetime.strptime(found[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp() * 1000)
