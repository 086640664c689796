# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the filters of Prometheus read on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.plano.delivery.plugins.module_utils.monitoring import prometheus
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

SHIPPED = Path(__file__).resolve().parents[2] / "roles" / "prometheus" / "files" / "rules"


def with_rules(description: dict[str, Any]) -> dict[str, Any]:
    """Return *description* with the text of each rules file under its name: those that are shipped, and those that it names."""
    plain = _plain.plain(description)
    shipped = sorted(SHIPPED.glob("*.yml"))
    named = [Path(path) for path in plain.get("rules") or []]
    names = [path.name for path in shipped] + [prometheus.OWN_RULES]
    texts = {path.name: path.read_text(encoding="utf-8") for path in [*shipped, *named] if path.is_file()}
    return {
        **plain,
        "rules": texts,
        "missing_rules": [str(path) for path in named if not path.is_file()],
        "double_rules": [
            str(path)
            for number, path in enumerate(named)
            if path.name in names + [other.name for other in named[:number]]
        ],
    }
