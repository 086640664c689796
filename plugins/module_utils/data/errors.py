# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ..engine.errors import EngineError


class DataError(EngineError):
    """A fault the operator can act on: the message says what is wrong, where, and what to do next. It never holds a client's values."""


class BusyError(DataError):
    """Another operation is at work on the same thing; nothing was done."""


class ServerError(DataError):
    """What the server refused: *state* is its SQLSTATE, empty when it was not reached; *table* and *constraint* as far as it names them."""

    def __init__(self, message: str, state: str = "", table: str = "", constraint: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.table = table
        self.constraint = constraint
