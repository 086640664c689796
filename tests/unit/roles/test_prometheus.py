# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of an inventory and hands to the internal role `service`, by Ansible itself with a `service` that writes it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[3] / "roles" / "prometheus"
NAMES = [
    "artifacts",
    "command",
    "component",
    "files",
    "health",
    "secrets",
    "start_timeout",
    "state",
    "strategy",
    "unit",
    "validate",
    "version",
]
WRITE_DOWN = """
- name: Write down what was asked for
  ansible.builtin.copy:
    content: "{{ {PAIRS} | to_json }}"
    dest: "{{ written }}"
    mode: "0600"
"""
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"
GOOD: dict[str, Any] = {
    "prometheus_version": "2.53.3",
    "prometheus_artifacts": [
        {"version": "2.53.3", "sha256": "0" * 64, "sources": ["https://example.com/p.tar.gz"], "strip": 1}
    ],
    "plano_environment": "dev",
    "monitoring_password": "S3CRET",
    "monitoring_password_salt": "0123456789abcdef",
    "backend_version": "1.2.0",
    "backend_health_path": "/health",
}


@pytest.fixture
def release(collection, tmp_path):
    """Check the inputs and run the role for the monitoring host; return the exit code, all that was said and what was written down."""
    pairs = "{" + ", ".join(f"'{name}': service_{name}" for name in NAMES) + "}"
    collection.tasks("service", WRITE_DOWN.replace("{PAIRS}", pairs))
    (tmp_path / "db.crt").write_text(PEM.format("REI=") + "\n")
    written = tmp_path / "written.json"
    check = {"plano.delivery.preflight": {"roles": {"monitoring": ["prometheus"]}}, "run_once": True}
    plays = [
        {"hosts": "all", "gather_facts": False, "tasks": [check]},
        {"hosts": "monitoring", "gather_facts": False, "roles": ["plano.delivery.prometheus"]},
    ]

    def run(**changed: Any) -> tuple[int, str, dict[str, Any]]:
        inventory = {
            "vars": {**GOOD, "written": str(written), **changed},
            "children": {
                "backend": {
                    "hosts": {"app": {"ansible_host": "192.0.2.2", "certificate_authority": PEM.format("QVBQ")}}
                },
                "postgresql": {
                    "hosts": {"db": {"ansible_host": "192.0.2.3", "certificate_copy": str(tmp_path / "db.crt")}}
                },
                "monitoring": {"hosts": {"mon": {"ansible_host": "192.0.2.4", "certificate_copy": "/nowhere/mon.crt"}}},
            },
        }
        code, said = collection.run(plays, inventory)
        return code, said, json.loads(written.read_text()) if written.exists() else {}

    return run


def read(asked: dict[str, Any], name: str) -> str:
    return str(next(file["content"] for file in asked["files"] if file["dest"] == f"config/{name}"))


def test_the_role_hands_over_a_release_that_proves_itself(release, tmp_path):
    own = tmp_path / "own.yml"
    own.write_text("groups: [{name: own, rules: [{record: 'own:one', expr: vector(1)}]}]\n")
    writer = {"name": "far", "url": "https://metrics.example/", "user": "u", "password": "S3CRET-far"}
    code, said, asked = release(
        prometheus_rules=[str(own)],
        prometheus_remote_write=[writer],
        prometheus_retention_size="50GB",
        prometheus_jobs=[{"job": "own", "hosts": ["app"], "port": 9999, "labels": {"tier": "gold"}}],
        prometheus_probes=[{"probe": "shop", "module": "http_2xx", "host": "shop", "url": "https://shop.example/"}],
        prometheus_constants=[{"record": "plano_limit", "value": 5}],
        cloudwatch_exporter_budget=12.5,
    )
    assert code == 0, said
    assert "S3CRET" not in said
    configuration = yaml.safe_load(read(asked, "prometheus.yml"))
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    targets = {name: [found["targets"] for found in job["static_configs"]] for name, job in jobs.items()}
    monitor = "192.0.2.4"
    assert targets == {
        "node": [["192.0.2.2:9100"], ["192.0.2.3:9100"], [f"{monitor}:9100"]],
        "postgres": [["192.0.2.3:9187"]],
        "backend": [["192.0.2.2:8080"]],
        "haproxy": [["192.0.2.2:8404"]],
        "prometheus": [[f"{monitor}:9090"]],
        "alertmanager": [[f"{monitor}:9093"]],
        "grafana": [[f"{monitor}:3000"]],
        "blackbox_exporter": [[f"{monitor}:9115"]],
        "own": [["192.0.2.2:9999"]],
        "blackbox": [["http://192.0.2.2:8080/health"], ["https://shop.example/"]],
    }
    assert jobs["backend"]["static_configs"][0]["labels"] == {
        "environment": "dev",
        "host": "app",
        "component": "backend",
        "version": "1.2.0",
    }
    # Of the host in this run, and of one that it leaves out from the copy; of a third nothing is known yet.
    assert read(asked, "authorities.crt").split("\n") == [
        "# app",
        *PEM.format("QVBQ").split("\n"),
        "# db",
        *PEM.format("REI=").split("\n"),
        "",
    ]
    for path in ROLE.glob("files/rules/*.yml"):
        assert read(asked, f"rules/{path.name}") == path.read_text(encoding="utf-8")
    assert read(asked, "rules/own.yml") == own.read_text()
    for name in ("prove.py", "data.py"):
        assert read(asked, name) == (ROLE / "files" / name).read_text(encoding="utf-8")
    assert "expr: vector(5" in read(asked, "rules/plano_configuration.yml")
    assert "record: plano_cloudwatch_budget_usd" in read(asked, "rules/plano_configuration.yml")
    assert asked["secrets"] == {"remote_write_far": "S3CRET-far"}
    assert "S3CRET" not in str({**asked, "secrets": None})
    assert asked["command"] == [
        "@ARTIFACT@/files/prometheus",
        "--config.file=@CURRENT@/config/prometheus.yml",
        "--storage.tsdb.path=/var/lib/plano-prometheus",
        "--storage.tsdb.retention.time=30d",
        "--storage.tsdb.retention.size=50GB",
        "--web.listen-address=:9090",
        "--web.config.file=/run/credentials/plano-prometheus.service/web.yml",
        "--web.external-url=https://192.0.2.4:9090/",
        "--web.route-prefix=/",
        "--storage.remote.flush-deadline=10s",
    ]
    python = ["/usr/bin/python3", "-I"]
    assert asked["validate"][0] == [*python, "@RELEASE@/config/data.py", "/var/lib/plano-prometheus", "@VERSION@"]
    assert asked["validate"][1][-1] == "@RELEASE@/config/prometheus.yml"
    shipped = [path.name for path in ROLE.glob("files/rules/*.yml")]
    checked = [*sorted([*shipped, "own.yml"]), "plano_configuration.yml"]
    assert asked["validate"][2][3:] == [f"@RELEASE@/config/rules/{name}" for name in checked]
    proof = [
        *python,
        "@RELEASE@/config/prove.py",
        "--url=https://127.0.0.1:9090",
        "--authority=/var/lib/plano/tls/ca.crt",
        "--user=plano",
        "--password-file=@SECRETS@/monitoring_password",
        "--expected=@RELEASE@/config/expected.json",
        "--version=@VERSION@",
    ]
    assert asked["health"] == [
        {"type": "command", "argv": proof},
        {"type": "command", "argv": [*proof, "--targets"], "only": "change"},
    ]
    assert {key: asked[key] for key in ("component", "version", "state", "strategy")} == {
        "component": "prometheus",
        "version": "2.53.3",
        "state": True,
        "strategy": "reload",
    }
    assert asked["unit"] == ['ExecStartPre=/bin/sh -c "echo @VERSION@ >/var/lib/plano-prometheus/plano-version"']


def test_a_backend_that_a_pin_keeps_back_has_the_version_that_it_really_runs(release):
    pin = {"backend": {"version": "1.1.0", "instead_of": "1.2.0", "change": "c"}}
    code, said, asked = release(plano_pins=pin)
    assert code == 0, said
    jobs = {job["job_name"]: job for job in yaml.safe_load(read(asked, "prometheus.yml"))["scrape_configs"]}
    assert jobs["backend"]["static_configs"][0]["labels"]["version"] == "1.1.0"
    # One that was for another version says nothing about this one.
    code, said, asked = release(plano_pins={"backend": {**pin["backend"], "instead_of": "1.20"}})
    jobs = {job["job_name"]: job for job in yaml.safe_load(read(asked, "prometheus.yml"))["scrape_configs"]}
    assert jobs["backend"]["static_configs"][0]["labels"]["version"] == "1.2.0"


def test_a_host_that_is_no_longer_to_be_watched_is_gone(release):
    code, said, asked = release(prometheus_hosts=["mon", "db"], backend_health_path=None)
    assert code == 0, said
    configuration = yaml.safe_load(read(asked, "prometheus.yml"))
    assert "192.0.2.2" not in str(configuration)
    assert "blackbox" not in [job["job_name"] for job in configuration["scrape_configs"]]


def test_all_faults_are_told_before_the_host_is_touched_and_no_secret(release):
    code, said, asked = release(
        prometheus_jobs=[{"job": "node", "hosts": ["app"], "port": 9999}],
        prometheus_probes=[{"probe": "shop", "module": "http2", "host": "shop", "url": "https://shop.example/"}],
        prometheus_scrape_interval="often",
        prometheus_remote_write=[{"name": "far", "url": "https://u:S3CRET@metrics.example/"}],
        monitoring_password="S3CRET" * 13,
    )
    assert code != 0
    assert not asked
    assert "5 faults in the inputs, no host was touched" in said
    assert "prometheus_jobs[0].job: 'node' is the name of another job too (job node)" in said
    assert "prometheus_probes[0].module: 'http2' is not among exporter_blackbox_modules" in said
    assert "prometheus_scrape_interval: 'often' is no duration" in said
    assert "prometheus_remote_write[0].url: is no http or https URL" in said
    assert "monitoring: the password must have 1 to 72 bytes" in said
    assert "S3CRET" not in said


def test_what_the_specification_does_not_know_is_told(release):
    code, said, _asked = release(
        prometheus_jobs=[{"job": "own", "hosts": ["app"], "target": "x"}],
        prometheus_remote_write=[{"name": "far", "url": "https://metrics.example/", "token": "t"}],
        monitoring_password_salt=None,
    )
    assert code != 0
    assert "prometheus_jobs.target" in said
    assert "missing required arguments: port found in prometheus_jobs" in said
    assert "prometheus_remote_write.token" in said
    assert "missing required arguments: monitoring_password_salt" in said


def test_everything_that_can_be_said_is_specified_and_has_a_default_or_is_required():
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"][
        "main"
    ]["options"]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert set(defaults) <= set(options)
    required = {name for name, option in options.items() if option.get("required")}
    assert set(options) - set(defaults) - required == {
        "release_allowed_signers",
        "release_require_signature",
        "exporter_blackbox_modules",
    }
