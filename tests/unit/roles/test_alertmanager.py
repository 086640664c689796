# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hands to the internal role `service`, by Ansible itself with a `service` that writes it down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[3]
WRITE_DOWN = """
- name: Write down what was asked for
  ansible.builtin.copy:
    content: "{{ {PAIRS} | to_json }}"
    dest: "{{ written }}"
    mode: "0600"
"""
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
def release(tmp_path):
    """Check the inputs and run the role for one host; return the exit code, all that was said and what was written down."""
    root = tmp_path / "ansible_collections" / "plano" / "delivery"
    for path in ("plugins", "meta", "roles/alertmanager"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", COLLECTION / path, root / path], check=True)
    pairs = "{" + ", ".join(f"'{name}': service_{name}" for name in NAMES) + "}"
    stub = root / "roles" / "service" / "tasks" / "main.yml"
    stub.parent.mkdir(parents=True)
    stub.write_text(WRITE_DOWN.replace("{PAIRS}", pairs))
    check = {"plano.delivery.preflight": {"roles": {"all": ["alertmanager"]}}, "run_once": True}
    play = {"hosts": "all", "gather_facts": False, "pre_tasks": [check], "roles": ["plano.delivery.alertmanager"]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    written = tmp_path / "written.json"

    def run(text: str = "", **changed: Any) -> tuple[int, str, dict[str, Any]]:
        variables = {**GOOD, **changed, "ansible_connection": "local", "written": str(written)}
        variables["ansible_python_interpreter"] = sys.executable
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"mon": None}}}))
        (tmp_path / "host_vars").mkdir(exist_ok=True)
        (tmp_path / "host_vars" / "mon.yml").write_text(yaml.safe_dump(variables) + text)
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
                "ANSIBLE_RESULT_FORMAT": "yaml",
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return (
            done.returncode,
            done.stdout + done.stderr,
            json.loads(written.read_text()) if done.returncode == 0 else {},
        )

    return run


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
