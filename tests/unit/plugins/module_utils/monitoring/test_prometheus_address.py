# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job's targets are, when they answer their own host alone."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.monitoring.prometheus import faults, plan

JOB: dict[str, Any] = {
    "job": "cloudwatch",
    "scheme": "http",
    "hosts": ["mon"],
    "regions": {"sa-east-1": 9106, "us-east-1": 9107},
}


def described(job: dict[str, Any], **addresses: str) -> dict[str, Any]:
    return {
        "environment": "test",
        "external_labels": {},
        "settings": {
            "scrape_interval": "15s",
            "evaluation_interval": "15s",
            "retention_time": "30d",
            "retention_size": "0",
        },
        "builtin": 1,
        "jobs": [job],
        "addresses": addresses,
        "probes": [],
        "modules": {},
        "blackbox": "127.0.0.1:9115",
        "rules": [],
        "constants": [],
        "alertmanagers": [],
        "remote_write": [],
        "authorities": "",
        "user": "plano",
        "credentials": "/run",
        "password_file": "/run/password",
    }


@pytest.mark.parametrize("more, address", [({}, "192.0.2.1"), ({"address": "127.0.0.1"}, "127.0.0.1")])
def test_targets_are_at_the_address_of_their_host_unless_the_job_has_one(more, address):
    made = plan(described({**JOB, **more}, mon="192.0.2.1"))["files"]["config/prometheus.yml"]
    for port, region in ((9106, "sa-east-1"), (9107, "us-east-1")):
        assert f"{address}:{port}" in made
        assert region in made


def test_a_job_with_an_address_needs_none_of_its_hosts():
    (said,) = faults(described(JOB))
    assert said.endswith(": host mon has no address; set its ansible_host")
    assert faults(described({**JOB, "address": "127.0.0.1"})) == []
