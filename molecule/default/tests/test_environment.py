"""A user's view of the whole environment."""

from __future__ import annotations

import json
import socket
import uuid

import pytest

testinfra_hosts = ["ansible://backend"]


def test_the_backend_answers_through_the_proxy_and_its_database(http):
    answer = http("/health")
    assert answer.status == 200, answer.text


def test_the_process_itself_reports_the_version_and_artifact_of_the_current_release(host, http):
    release = json.loads(host.file("/opt/plano/backend/current/release.json").content_string)
    version = http("/version").json
    assert version["version"] == "1.0.0"
    assert version["release"] == release["id"]
    assert version["artifact_sha256"] == release["artifact"]["sha256"]


def test_clients_can_be_imported_and_read_back(http):
    name = f"client-{uuid.uuid4()}"
    csv = f"external_id,name,email,valid_from,valid_until\n{name},Somebody,a@example.com,2026-01-01,2026-12-31\n"
    answer = http("/clients/import", csv.encode(), "text/csv")
    assert answer.status == 201, answer.text
    assert name in http("/clients?limit=1000").text


def test_metrics_are_not_for_the_public(http):
    assert http("/metrics").status == 403


def test_only_the_ports_that_are_meant_are_reachable(host, address):
    listening = host.check_output("ss -Hltn")
    public = {
        line.split()[3].rpartition(":")[2] for line in listening.splitlines() if "127.0.0." not in line.split()[3]
    }
    # 8404 is for Prometheus, where there is one.
    assert public <= {"22", "8080", "8404"}, listening
    assert "policy drop" in host.check_output("nft list chain inet plano input")
    with pytest.raises(TimeoutError):
        socket.create_connection((address, 8404), timeout=2)


def test_the_hosts_run_without_a_failed_unit(host):
    assert host.check_output("systemctl is-system-running") == "running"


def test_the_backend_is_sandboxed(host):
    unit = host.check_output("systemctl list-units 'plano-backend@*' --state=running --plain --no-legend").split()[0]
    verdict = host.check_output(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
    assert float(verdict.rpartition(":")[2].split()[0]) <= 1.5, verdict
