# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: the controller's way to RDS, for checkpoints and restores. Hosts have no key of AWS."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ansible_collections.plano.delivery.plugins.module_utils.aws.restores import Rds
from ansible_collections.plano.delivery.plugins.plugin_utils import _aws


def connect() -> Rds:
    """Return RDS in the region of the environment; what takes long is told on the screen."""
    return Rds(_aws.connect("rds"), _aws.explained, Display().display)


def text(value: Any) -> str:
    return "" if value is None else str(value)
