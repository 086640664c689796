"""Prometheus of each environment sees all of it, and nothing of the other."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

CACHE = Path(__file__).resolve().parents[3] / ".cache"
CATALOG = yaml.safe_load((CACHE / "artifacts" / "catalog.yml").read_text(encoding="utf-8"))
SECONDS = 180
OLDER = {"prometheus": "2.42.0", "alertmanager": "0.25.0", "blackbox_exporter": "0.23.0", "node_exporter": "1.5.0"}
OLDER["grafana"] = CATALOG["grafana"][0]["version"]

testinfra_hosts = ["ansible://monitoring"]


@pytest.fixture
def query(host, address):
    """Ask Prometheus over the network, as a person with the password does."""
    name = host.ansible.get_variables()["inventory_hostname"]
    context = ssl.create_default_context(cafile=str(CACHE / "ssh" / f"{name}-tls.crt"))
    password = (CACHE / "secrets" / "monitoring_web").read_text(encoding="utf-8").split()[0]
    headers = {"Authorization": "Basic " + base64.b64encode(f"plano:{password}".encode()).decode()}

    def ask(expression):
        url = f"https://{address}:9090/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10, context=context
        ) as answer:
            return json.load(answer)["data"]["result"]

    return ask


def test_every_target_answers(host, query):
    suffix = host.ansible.get_variables()["inventory_hostname"].removeprefix("mon")
    database, backend, monitor = (f"{name}{suffix}" for name in ("db", "app", "mon"))
    wanted = {("node", name) for name in (database, backend, monitor)}
    wanted |= {("backend", backend), ("haproxy", backend), ("blackbox", backend), ("postgres", database)}
    wanted |= {(name, monitor) for name in ("prometheus", "alertmanager", "grafana", "blackbox_exporter", "cloudwatch")}
    end = time.monotonic() + SECONDS
    while True:
        found = {(item["metric"]["job"], item["metric"]["host"]): item["value"][1] for item in query("up")}
        if found == dict.fromkeys(wanted, "1") or time.monotonic() > end:
            break
        time.sleep(2)
    assert found == dict.fromkeys(wanted, "1")


def test_what_was_released_is_told(host, query):
    """The youngest series says it: a Prometheus that was restarted still shows, for five minutes, what it did not see end."""
    release = json.loads(host.file("/opt/plano/prometheus/current/release.json").content_string)
    end = time.monotonic() + SECONDS
    while True:
        found = query('timestamp(plano_deploy_info{component="prometheus"})')
        youngest = max((float(item["value"][1]) for item in found), default=None)
        told = {item["metric"]["version"] for item in found if float(item["value"][1]) == youngest}
        if told == {release["artifact"]["version"]} or time.monotonic() > end:
            break
        time.sleep(2)
    assert told == {release["artifact"]["version"]}


def test_what_is_watched_of_aws_is_recorded(query):
    end = time.monotonic() + SECONDS
    while not (found := query("plano:cloudfront_requests:increase20m")) and time.monotonic() < end:
        time.sleep(2)
    assert found


def test_cloudwatch_exporter_answers_its_own_host_only(address):
    for port in (9106, 9107):
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=2)


def test_the_rules_are_evaluated(query):
    assert query('ALERTS{alertname="Watchdog",alertstate="firing"}')


def test_the_older_versions_run_before_and_after(host):
    asked = host.check_output("cat /opt/plano/cloudwatch_exporter/current/config/sa-east-1.yml")
    assert "plano-prod" in asked
    assert "plano-prod-replica" not in asked
    # It asks each process for a second, which on a machine that runs other tests beside this may be too short.
    end = time.monotonic() + SECONDS
    while (status := host.run("/opt/plano/bin/plano status")).rc != 0 and time.monotonic() < end:
        time.sleep(2)
    assert status.rc == 0, status.stdout
    found = {line.split()[0]: line for line in status.stdout.splitlines()}
    for component, version in OLDER.items():
        assert f" {version}" in found[component], found[component]
