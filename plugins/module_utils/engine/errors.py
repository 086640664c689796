# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class EngineError(Exception):
    """A fault the operator can act on: the message says what is wrong, where, and what to do next."""


class InputError(EngineError):
    """One or more inputs are wrong; every fault is listed, nothing was touched."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))
