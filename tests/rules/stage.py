"""A small production made of what exporters were recorded to say: input for promtool, which is Prometheus' own engine.

One host runs the backend, one PostgreSQL, one the monitoring; behind a load balancer, with RDS beside. Counters rise, the
rest stays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from exposition import Sample, samples
from known_metrics import EXPOSITIONS
from rule_files import our_metrics

MINUTES = 120
# What a counter gains in a minute: a thousand a second, so that nothing is too little to be judged.
RISE = 60_000
RISING = ("counter", "histogram", "summary")
# A target of each exposition: its job, and its labels as docs/metrics.md wants them.
TARGETS: list[tuple[str, str, str, dict[str, str]]] = [
    *(("node_exporter-1.9.0", "node", host, {}) for host in ("app1", "db1", "mon1")),
    ("postgres_exporter-{postgresql}", "postgres", "db1", {}),
    ("backend-1.1.0", "backend", "app1", {"version": "1.1.0"}),
    ("haproxy-3.0.11", "haproxy", "app1", {}),
    ("blackbox_exporter-0.26.0", "blackbox", "app1", {"probe": "backend"}),
    ("prometheus-2.53.3", "prometheus", "mon1", {}),
    ("alertmanager-0.28.1", "alertmanager", "mon1", {}),
    ("cloudwatch_exporter-0.16.0", "cloudwatch", "mon1", {"region": "us-east-1"}),
]
# Whose own labels win over those of the target.
HONOURED = ("node", "cloudwatch")
DATABASE = "plano-prod"
# What our own metrics are labelled with.
OURS = {
    "component": ("backend", "node_exporter"),
    "version": ("1.1.0",),
    "release": ("1.1.0-01234567",),
    "change": ("20260101T000000Z-0001",),
    "database": (DATABASE,),
    "datname": ("backend",),
    "target": ("clients",),
    "operation": ("checkpoint", "undo"),
    "outcome": ("accepted", "held", "reverted", "failed"),
    "rule": ("email_is_unique",),
    "severity": ("warn", "critical"),
    "state": ("read", "inserted", "updated", "unchanged", "quarantined"),
}
# A primary has no lag, so this one is a replica.
VALUES = {"pg_replication_is_replica": 1.0}


def series(postgresql: str) -> list[dict[str, str]]:
    """Return the input series of a promtool test, with what is recorded of one exporter and server."""
    found = dict(_everything(postgresql))
    return [{"series": name, "values": values} for name, values in sorted(found.items())]


def _everything(postgresql: str) -> Iterator[tuple[str, str]]:
    for stem, job, host, labels in TARGETS:
        target = {"environment": "prod", "host": host, "job": job, "instance": f"{host}:1", **labels}
        yield from _said(EXPOSITIONS / f"{stem.format(postgresql=postgresql)}.prom", target)
    for _stem, job, host, labels in [*TARGETS, ("", "grafana", "mon1", {})]:
        target = {"environment": "prod", "host": host, "job": job, "instance": f"{host}:1", **labels}
        yield _line("up", target, 0 if job == "grafana" else 1, rising=False)
        for name in ("scrape_duration_seconds", "scrape_samples_post_metric_relabeling"):
            yield _line(name, target, 1, rising=False)
    for metric in our_metrics():
        rows: list[dict[str, str]] = [{}]
        for label in metric.labels:
            rows = [{**row, label: value} for row in rows for value in OURS[label]]
        for row in rows:
            # The process that reports itself runs on app1.
            yield _line(metric.name, {"environment": "prod", "host": "app1", "job": "node", **row}, 1, rising=False)
    # No exporter was recorded beside a database that has an action log.
    kept = {"environment": "prod", "host": "db1", "job": "postgres", "instance": "db1:1", "datname": "backend"}
    if "0.11" not in postgresql:
        kept = {**kept, "schemaname": "plano_delivery", "relname": "run"}
        yield _line("pg_stat_user_tables_size_bytes", kept, 1e6, rising=False)


def _said(path: Path, target: dict[str, str]) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for sample in samples(text):
        value = VALUES.get(sample.name, float(sample.rest.split()[0]))
        if not math.isnan(value) and sample.name not in {metric.name for metric in our_metrics()}:
            family = re.sub(r"_(bucket|count|sum|total)$", "", sample.name)
            rising = types.get(sample.name, types.get(family, "")) in RISING
            yield _line(sample.name, _labels(sample, target), value, rising)
            if types.get(family) == "histogram" and sample.name.endswith("_count"):
                # Of the buckets the first few are recorded, and a quantile needs the last.
                yield _line(f"{family}_bucket", {**_labels(sample, target), "le": "+Inf"}, value, rising)


def _labels(sample: Sample, target: dict[str, str]) -> dict[str, str]:
    if target["job"] in HONOURED:
        return {name: value for name, value in {**target, **sample.labels}.items() if value}
    own = {f"exported_{name}" if name in target else name: value for name, value in sample.labels.items()}
    return {**own, **target}


def _line(name: str, labels: dict[str, str], value: float, rising: bool) -> tuple[str, str]:
    inner = ", ".join(f'{label}="{labels[label]}"' for label in sorted(labels))
    return f"{name}{{{inner}}}", f"{value:.6f}+{RISE if rising else 0}x{MINUTES}"
