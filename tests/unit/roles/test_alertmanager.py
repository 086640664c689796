# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hands to the internal role `service`, by Ansible itself with a `service` that writes it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[3]
NAMES = [
    "component",
    "version",
    "artifacts",
    "command",
    "files",
    "secrets",
    "web",
    "state",
    "strategy",
    "validate",
    "health",
    "start_timeout",
    "keep",
]
GOOD: dict[str, Any] = {
    "alertmanager_version": "0.28.1",
    "alertmanager_artifacts": [
        {"version": "0.28.1", "sha256": "0" * 64, "sources": ["https://example.com/a.tar.gz"], "strip": 1}
    ],
    "alertmanager_receivers": [
        {"name": "ops", "slack": [{"url": "https://hooks.example.com/S3CRET", "channel": "#{{ channel }}"}]},
        {
            "name": "alive",
            "webhook": [{"url": "https://example.com/alive"}],
            "email": [{"to": "a@b", "from": "a@b", "smarthost": "h:25"}],
        },
    ],
    "alertmanager_default_receiver": "ops",
    "alertmanager_watchdog_receiver": "alive",
    "channel": "plano",
    "monitoring_user": "plano",
    "monitoring_password": "S3CRET",
    "monitoring_password_salt": "0123456789abcdef",
}


@pytest.fixture
def release(collection):
    return collection.handing_over("alertmanager", NAMES, GOOD)


def test_the_role_hands_over_a_release_that_proves_itself(release):
    # Go's templates look like Ansible's; what is marked arrives as it is.
    template = "alertmanager_templates: [{name: a.tmpl, content: !unsafe '{{ define \"a\" }}{{ .Status }}{{ end }}'}]\n"
    code, said, asked = release(template)
    assert code == 0, said
    assert "S3CRET" not in said
    files = {file["dest"]: file["content"] for file in asked["files"]}
    assert list(files) == ["config/alertmanager.yml", "config/templates/a.tmpl", "config/prove.py"]
    assert files["config/templates/a.tmpl"] == '{{ define "a" }}{{ .Status }}{{ end }}'
    proof = COLLECTION / "roles" / "alertmanager" / "files" / "prove.py"
    assert files["config/prove.py"] == proof.read_text(encoding="utf-8")
    assert asked["secrets"] == {"slack-ops-0": "https://hooks.example.com/S3CRET"}
    assert "S3CRET" not in str(asked["files"])
    configuration = yaml.safe_load(files["config/alertmanager.yml"])
    assert configuration["receivers"][1]["slack_configs"][0]["channel"] == "#plano"
    assert configuration["route"]["group_by"] == ["alertname", "environment"]
    assert [route["receiver"] for route in configuration["route"]["routes"] if "receiver" in route] == [
        "alive",
        "nobody",
    ]
    assert len(configuration["inhibit_rules"]) == 9
    assert asked["command"] == [
        "@ARTIFACT@/files/alertmanager",
        "--config.file=@CURRENT@/config/alertmanager.yml",
        "--storage.path=/var/lib/plano-alertmanager",
        "--data.retention=432000s",
        "--web.listen-address=:9093",
        "--web.config.file=/run/credentials/plano-alertmanager.service/web.yml",
        "--web.external-url=https://mon:9093",
        "--web.route-prefix=/",
        "--cluster.listen-address=",
    ]
    assert asked["validate"][0] == ["@ARTIFACT@/files/amtool", "check-config", "@RELEASE@/config/alertmanager.yml"]
    assert asked["health"][0]["argv"][-6:] == [
        "https://127.0.0.1:9093",
        "/var/lib/plano/tls/ca.crt",
        "plano",
        "@SECRETS@/monitoring_password",
        "@VERSION@",
        "@RELEASE@/config/alertmanager.yml",
    ]
    assert {key: asked[key] for key in ("component", "version", "web", "state", "strategy")} == {
        "component": "alertmanager",
        "version": "0.28.1",
        "web": True,
        "state": True,
        "strategy": "reload",
    }


def test_all_faults_are_told_before_the_host_is_touched_and_no_secret(release):
    hook = {"url": "https://example.com/S3CRET", "secret": True}
    receivers = [{"name": "ops", "webhook": [hook], "slack": [{"url": "S3CRET"}]}]
    code, said, _asked = release(
        alertmanager_receivers=receivers,
        alertmanager_watchdog_receiver="dog",
        # The version that is really released, because a rollback's pin keeps it, cannot keep the URL secret.
        plano_pins={"alertmanager": {"version": "0.25.0", "instead_of": "0.28.1", "change": "c"}},
    )
    assert code != 0
    assert "no host was touched" in said
    assert "alertmanager_watchdog_receiver: there is no receiver 'dog'" in said
    assert "alertmanager_receivers[0].webhook[0].secret: Alertmanager 0.25.0 cannot keep a URL" in said
    assert "alertmanager_receivers[0].slack[0].url: it must be a URL" in said
    assert "S3CRET" not in said


def test_what_the_specification_does_not_know_is_told(release):
    code, said, _asked = release(
        alertmanager_receivers=[{"name": "ops", "pagerduty": []}], alertmanager_route_tests=[{}]
    )
    assert code != 0
    assert "pagerduty" in said
    assert "missing required arguments: labels, receivers found in alertmanager_route_tests" in said
