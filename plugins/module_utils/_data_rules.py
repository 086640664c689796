# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: the options of the modules that judge rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .data.checkpoint import FOLDER, Place
from .data.errors import DataError
from .data.names import Table
from .data.rules import Known

try:
    import yaml
except ImportError:  # a file of JSON can still be read
    yaml = None  # type: ignore[assignment]  # a module to the checker, and absent here

RULES: dict[str, Any] = {
    "rules": {"type": "list", "elements": "dict", "default": []},
    "rules_file": {"type": "path", "default": ""},
    "max_keys": {"type": "int", "default": 1000, "no_log": False},
    "fail": {"type": "bool", "default": True},
    "checkpoint": {"type": "str", "default": ""},
    "checkpoint_folder": {"type": "path", "default": str(FOLDER)},
}


def rules(params: dict[str, Any]) -> list[Any]:
    """Return the rules that a module's options give, those of the file first. Raises DataError."""
    return [*(_read(Path(params["rules_file"])) if params["rules_file"] else []), *params["rules"]]


def known(params: dict[str, Any]) -> dict[Table, Known]:
    """Return what the checkpoint that a module's options name holds of each table, nothing without one. Raises DataError."""
    if not params["checkpoint"]:
        return {}
    held = Place(Path(params["checkpoint_folder"]), params["login_db"]).need(params["checkpoint"]).contents()
    return {table: Known(content.rows, " ".join(content.sums)) for table, content in held.items()}


def _read(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text) if yaml is None else yaml.safe_load(text)
    except ValueError:
        raise DataError(
            f"{path} is not JSON, and Python's yaml is missing on this host: install the package python3-yaml"
        ) from None
    except Exception as error:  # yaml.YAMLError, which a host without yaml does not know
        mark = getattr(error, "problem_mark", None)
        raise DataError(f"{path}:{mark.line + 1 if mark else 1}: is not YAML") from None
    if isinstance(found, dict):
        found = found.get("rules")
    if not isinstance(found, list):
        raise DataError(f"{path} holds no list of rules")
    return found
