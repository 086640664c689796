# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the filters of Grafana read on the controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

SHIPPED = Path(__file__).resolve().parents[2] / "roles" / "grafana" / "files" / "dashboards"
KEYS = ("src", "name", "content", "folder")


def with_dashboards(description: Any) -> dict[str, Any]:
    """Return *description* with the text of each dashboard: those that are shipped, where they are wanted, and those it names.

    Raises InputError when its list of dashboards is none.
    """
    given: dict[str, Any] = _plain.plain(description)
    shipped = given.pop("shipped_dashboards", True)
    named = given.get("dashboards") or []
    wrong = [
        f"grafana_dashboards[{number}]: it must be a mapping with src, or with name and content, and no keys but {', '.join(KEYS)}"
        for number, item in enumerate(named)
        if not isinstance(item, Mapping) or set(item) - set(KEYS) or ("src" in item) == ("content" in item)
    ]
    if wrong:
        raise InputError(wrong)
    found = [_read(path, f"roles/grafana/files/dashboards/{path.name}", {}) for path in sorted(SHIPPED.glob("*.json"))]
    found = found if shipped else []
    for number, item in enumerate(named):
        where = f"grafana_dashboards[{number}]"
        if "src" in item:
            found.append(_read(Path(str(item["src"])), f"{where} ({item['src']})", item))
        else:
            content = item["content"]
            text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            found.append({"folder": "", **item, "source": where, "content": text})
    return {**given, "dashboards": found}


def _read(path: Path, source: str, item: Mapping[str, Any]) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    return {
        "name": item.get("name") or path.name,
        "folder": item.get("folder") or "",
        "source": source,
        "content": text,
    }
