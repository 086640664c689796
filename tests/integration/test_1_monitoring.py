"""What watches the environment: it sees everything, tells a person, and a change to it is proven or taken back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from inbox import Inbox
from local_environment import ROOT, Environment

MONITOR = "local-mon"
GATEWAY = "10.89.20.1"
JOBS = {
    "node": {"local-db", "local-app", "local-mon"},
    "postgres": {"local-db"},
    "backend": {"local-app"},
    "haproxy": {"local-app"},
    "blackbox": {"local-app"},
    "blackbox_exporter": {"local-mon"},
    "prometheus": {"local-mon"},
    "alertmanager": {"local-mon"},
    "grafana": {"local-mon"},
    "cloudwatch": {"local-mon"},
}


@pytest.fixture(scope="module")
def inbox(environment: Environment) -> Iterator[Inbox]:
    found = Inbox(GATEWAY)
    found.start()
    yield found
    found.stop()


def up(environment: Environment) -> dict[tuple[str, str], str]:
    """Return whether each target answers, by job and host."""
    found = environment.query("up")
    return {(item["metric"]["job"], item["metric"]["host"]): item["value"][1] for item in found}


def eventually(look: Any, seconds: float) -> Any:
    """Return what *look* finds as soon as it is something, or what it found last."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(1)
    return found


def test_every_target_of_the_inventory_is_read(environment: Environment) -> None:
    wanted = {(job, host) for job, hosts in JOBS.items() for host in hosts}

    def all_up() -> bool:
        found = up(environment)
        return wanted <= set(found) and all(found[target] == "1" for target in wanted)

    # CloudWatch is asked once a minute.
    assert eventually(all_up, 120), up(environment)


def test_targets_carry_the_labels_of_the_inventory(environment: Environment) -> None:
    (found,) = environment.query('up{job="backend"}')
    labels = found["metric"]
    assert labels["environment"] == "local"
    assert labels["host"] == "local-app"
    assert labels["component"] == "backend"
    assert labels["version"] == environment.version


def test_nobody_reads_without_the_password(environment: Environment) -> None:
    for address in (
        "10.89.20.13:9090/api/v1/query?query=up",
        "10.89.20.13:9093/api/v2/alerts",
        "10.89.20.13:3000/metrics",
    ):
        assert environment.monitor(address, password="wrong")[0] == 401


def test_exporters_answer_the_monitoring_host_only(environment: Environment) -> None:
    done = environment.on("local-app", "timeout 3 bash -c '</dev/tcp/10.89.20.11/9187' && echo open || echo closed")
    assert done.strip() == "closed"


def test_units_are_hardened(environment: Environment) -> None:
    lines = environment.on(MONITOR, "systemd-analyze security --no-pager | grep plano-").splitlines()
    found = {line.split()[0]: float(line.split()[1]) for line in lines}
    names = ("node-exporter", "blackbox-exporter", "prometheus", "alertmanager", "grafana", "cloudwatch-exporter")
    wanted = {f"plano-{name}.service": 1.5 if name == "cloudwatch-exporter" else 1.6 for name in names}
    assert {name for name, most in wanted.items() if found[name] > most} == set(), found


def test_an_alert_reaches_a_person_and_so_does_its_end(environment: Environment, inbox: Inbox) -> None:
    environment.on("local-db", "systemctl stop postgresql@17-main.service")
    try:
        fired = inbox.wait("PostgresqlDown", "firing", 180)
        # It fails, for PostgreSQL; what it says is looked at.
        found = json.loads(environment.on("local-db", "/opt/plano/bin/plano status --json || true"))
        drift = {item["component"]: item["drift"] for item in found}
        assert drift["postgresql"]
        assert drift["postgres_exporter"] == []
    finally:
        environment.on("local-db", "systemctl start postgresql@17-main.service")
    assert fired["labels"]["severity"] == "page"
    assert fired["labels"]["database"] == "local-db"
    assert (ROOT / fired["annotations"]["runbook"]).is_file()
    assert fired["annotations"]["summary"] == "PostgreSQL on local-db is down"
    inbox.wait("PostgresqlDown", "resolved", 240)


def test_a_target_that_goes_silent_later_is_no_fault_of_prometheus(environment: Environment) -> None:
    target = ("node", "local-app")
    environment.on("local-app", "systemctl stop plano-node-exporter.service")
    try:
        assert eventually(lambda: up(environment)[target] == "0", 60)
        environment.on(MONITOR, "/opt/plano/bin/plano status")
        done = environment.playbook("monitoring", "--limit", MONITOR, "--tags", "prometheus")
    finally:
        environment.on("local-app", "systemctl start plano-node-exporter.service")
    assert done.code == 0
    assert re.search(rf"{MONITOR}.*changed=0", done.output), done.output
    assert eventually(lambda: up(environment)[target] == "1", 60)


# -- a change of the monitoring itself ---------------------------------------------------------------


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "own.yml"
    # Never the release that an earlier test rolled back, which would be refused for that.
    rule = {"record": "own:one", "expr": "vector(1)", "labels": {"made": str(time.time_ns())}}
    path.write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": [rule]}]}), encoding="utf-8")
    return path


def current(environment: Environment, component: str) -> str:
    return environment.on(MONITOR, f"readlink /opt/plano/{component}/current").strip()


def test_a_rule_is_added_without_a_restart_and_taken_away_again(environment: Environment, rules: Path) -> None:
    before = environment.on(MONITOR, "systemctl show --property=MainPID plano-prometheus")
    done = environment.watch(prometheus_rules=[str(rules)])
    assert done.code == 0
    (change,) = set(re.findall(r"prometheus .* confirmed, .*change (\S+)", done.output))
    assert silences(environment, change) == [("expired", "local\\-mon")]
    assert eventually(lambda: environment.query("own:one"), 40)
    done = environment.playbook("rollback", component="prometheus", reason="one rule too many")
    assert done.code == 0
    assert not [group for group in environment.rule_groups() if group["name"] == "own"]
    assert environment.on(MONITOR, "systemctl show --property=MainPID plano-prometheus") == before
    (back,) = set(re.findall(r"prometheus .* confirmed, .*change (\S+)", done.output))
    deployed, returned = annotations(environment, change), annotations(environment, back)
    assert [item["tags"] for item in deployed] == [["plano", "deploy", "environment:local", "component:prometheus"]]
    assert [item["tags"] for item in returned] == [["plano", "rollback", "environment:local", "component:prometheus"]]
    assert "one rule too many" in returned[0]["text"]


def test_a_monitoring_host_that_is_away_keeps_nobody_from_a_change(environment: Environment) -> None:
    here = {"component": "node_exporter", "rollback_hosts": "backend"}
    # Another release each time, as one that was rolled back is refused.
    more = {"node": [f"--web.max-requests={time.time_ns() % 10**6 + 40}"]}
    environment.shell(f"tools/podman pause {MONITOR}")
    try:
        deployed = environment.playbook("deploy", "--limit", "backend", "--tags", "exporter", exporter_arguments=more)
        returned = environment.playbook("rollback", **here)
    finally:
        environment.shell(f"tools/podman unpause {MONITOR}")
    for done in (deployed, returned):
        assert done.code == 0
        assert re.search(r"local-app: node_exporter \S+ -> \S+ confirmed", done.words)


def annotations(environment: Environment, change: str) -> list[dict[str, Any]]:
    """Return what the dashboards show of a change."""
    status, found = environment.monitor("10.89.20.13:3000/api/annotations?tags=plano", user="admin")
    assert status == 200
    return [item for item in found if change in item["text"]]


def silences(environment: Environment, change: str) -> list[tuple[str, str]]:
    """Return what became of the silences that *change* asked for, and whom they were for."""
    status, found = environment.monitor("10.89.20.13:9093/api/v2/silences")
    assert status == 200
    return [
        (item["status"]["state"], matcher["value"])
        for item in found
        for matcher in item["matchers"]
        if item["createdBy"] == change and matcher["name"] == "host"
    ]


BAD = {
    "an invalid rule": (
        {"prometheus_rules": "bad_rule"},
        ("own.yml", "could not parse expression"),
    ),
    "an invalid duration": (
        {"prometheus_scrape_interval": "often"},
        ("prometheus_scrape_interval", "no host was touched"),
    ),
    "an unknown host": (
        {"prometheus_jobs": [{"job": "other", "hosts": ["elsewhere"], "port": 1}]},
        ("prometheus_jobs[0]", "elsewhere", "no host was touched"),
    ),
    "an invalid scrape configuration": (
        {"prometheus_jobs": [{"job": "other", "hosts": ["local-app"], "port": 9100, "scrape_timeout": "5m"}]},
        ("scrape timeout greater than scrape interval", "other"),
    ),
    "a target that does not answer": (
        {"prometheus_jobs": [{"job": "other", "hosts": ["local-app"], "port": 9}], "prometheus_start_timeout": 30},
        ("target other 10.89.20.12:9", "does not answer", "goes on serving"),
    ),
    "a route to nobody": (
        {"alertmanager_routes": [{"receiver": "missing", "matchers": ['severity="page"']}]},
        ("alertmanager_routes[0]", "missing", "no host was touched"),
    ),
    "a dashboard without a data source": (
        {
            "grafana_dashboards": [
                {
                    "name": "a.json",
                    "content": {"uid": "a", "title": "A", "panels": [{"type": "stat", "datasource": "b"}]},
                }
            ]
        },
        ("grafana_dashboards[0]: panel 0: there is no data source with uid 'b'", "no host was touched"),
    ),
    "a data source that does not answer": (
        {"grafana_prometheus_url": "https://127.0.0.1:9", "grafana_start_timeout": 25},
        ("data source prometheus at https://127.0.0.1:9 does not answer Grafana", "goes on serving"),
    ),
    "a metric that AWS does not have": (
        {
            "cloudwatch_exporter_watch": [
                {
                    "aws_namespace": "AWS/RDS",
                    "aws_metric_name": "CPUUtilisation",
                    "aws_dimensions": ["DBInstanceIdentifier"],
                    "aws_statistics": ["Average"],
                }
            ]
        },
        ("cloudwatch_exporter_watch[0]", "did you mean CPUUtilization?", "no host was touched"),
    ),
    "a wrong password for the database": (
        {"exporter_postgres": "wrong_password"},
        ("postgres_exporter", "pg_up 1", "goes on serving"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_leaves_the_old_configuration_running(environment: Environment, rules: Path, name: str) -> None:
    extra: dict[str, Any]
    extra, words = BAD[name]
    if extra.get("prometheus_rules") == "bad_rule":
        rules.write_text(rules.read_text(encoding="utf-8").replace("vector(1)", "vector(1"), encoding="utf-8")
        extra = {"prometheus_rules": [str(rules)]}
    if extra.get("exporter_postgres") == "wrong_password":
        authority = (ROOT / ".cache/ssh/local-db-ca.crt").read_text(encoding="utf-8")
        database = {"host": "127.0.0.1", "port": 5432, "database": "backend", "user": "backend_monitoring"}
        extra = {"exporter_postgres": {**database, "password": "wrong", "sslmode": "verify-full", "ca": authority}}
    names = ("prometheus", "alertmanager", "grafana")
    before = [current(environment, component) for component in names]
    done = environment.watch(hosts="all" if "exporter_postgres" in extra else MONITOR, **extra)
    assert done.code != 0
    for word in words:
        assert word in done.words, done.output
    assert [current(environment, component) for component in names] == before
    targets = (("prometheus", MONITOR), ("postgres", "local-db"))
    # A scrape that met the exporter while it was put back says so until the next one, 15 s later.
    assert eventually(lambda: all(up(environment).get(target) == "1" for target in targets), 40), up(environment)


def test_data_that_an_older_version_cannot_read_is_refused(environment: Environment) -> None:
    marker = "/var/lib/plano-prometheus/plano-version"
    before = current(environment, "prometheus")
    environment.on(MONITOR, f"cp -p {marker} /run/plano-version && echo 3.5.0 > {marker}")
    try:
        done = environment.watch(prometheus_version="2.42.0")
    finally:
        environment.on(MONITOR, f"mv /run/plano-version {marker}")
    assert done.code != 0
    assert "was written by Prometheus 3.5.0" in done.words
    assert "Go by way of 2.55" in done.words
    assert current(environment, "prometheus") == before


def test_a_full_disk_is_told_before_anything_is_touched(environment: Environment, rules: Path) -> None:
    before = current(environment, "prometheus")
    environment.on(
        MONITOR,
        "cp -a /opt/plano/prometheus /run/full; mount -t tmpfs -o size=8m tmpfs /opt/plano/prometheus;"
        "cp -a /run/full/. /opt/plano/prometheus/; head -c 8M /dev/zero > /opt/plano/prometheus/full || true",
    )
    try:
        done = environment.watch(prometheus_rules=[str(rules)])
    finally:
        environment.on(MONITOR, "umount /opt/plano/prometheus; rm -r /run/full")
    assert done.code != 0
    assert "space" in done.words, done.output
    assert current(environment, "prometheus") == before


def test_a_second_run_changes_nothing(environment: Environment) -> None:
    done = environment.playbook("monitoring")
    assert done.code == 0
    recap = json.dumps([line for line in done.output.splitlines() if "changed=" in line])
    assert "changed=0" in recap and "changed=1" not in recap, done.output
