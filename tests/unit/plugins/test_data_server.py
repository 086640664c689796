# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.plugin_utils._data import server_name

HOSTS = {"10.0.0.5": "dev-db", "dev-db": "dev-db", "db.example.com": "other"}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("", "here"),
        ("127.0.0.1", "here"),
        ("::1", "here"),
        ("localhost", "here"),
        ("/var/run/postgresql", "here"),
        ("10.0.0.5", "dev-db"),
        ("dev-db", "dev-db"),
        ("db.example.com", "other"),
        ("plano-prod.abc123.eu-west-1.rds.amazonaws.com", "plano-prod"),
        ("10.0.0.6", "10.0.0.6"),
        ("fd00::6", "fd00::6"),
    ],
)
def test_the_server_is_called_as_monitoring_calls_it(address, name):
    assert server_name(address, "here", HOSTS) == name
