# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the inventory says, as plain data."""

from __future__ import annotations

from typing import Any, Mapping


def plain(value: Any) -> Any:
    """Return *value* as dictionaries, lists, texts, numbers and booleans.

    Before ansible-core 2.19 an encrypted text in the inventory is an object that becomes a text only when asked.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)
