# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stamp the change; the module does the rest on the host."""

from __future__ import annotations

from ansible_collections.plano.delivery.plugins.plugin_utils._data import DataAction


class ActionModule(DataAction):
    """See the module of the same name."""
