# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML text of plain data, the same for the same data: every text in quotes, so that nothing is taken for something else."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping, Sequence

_PLAIN_KEY = re.compile(r"[a-z]+(_[a-z]+)*")
# Words that YAML 1.1 takes for a boolean or for nothing.
_NO_KEYS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
# What JSON leaves as it is and YAML does not want to see, or takes for the end of a line.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def yaml_text(value: Mapping[str, Any]) -> str:
    """Return *value*, made of mappings, lists, texts, whole numbers and booleans, as a document in block style."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    found: list[str] = []
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            if _nested(item):
                found += [f"{_key(key)}:", *(f"  {line}" for line in _lines(item))]
            else:
                found.append(f"{_key(key)}: {_scalar(item)}")
    elif _nested(value):
        for item in value:
            first, *rest = _lines(item)
            found += [f"- {first}", *(f"  {line}" for line in rest)]
    else:
        found.append(_scalar(value))
    return found


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, Sequence)) and not isinstance(value, str) and len(value) > 0


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) and name not in _NO_KEYS else _scalar(name)


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    # JSON's texts are YAML's in double quotes.
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group(0)):04x}", text)
