"""Which metrics there are, with their labels: said by an exporter, written by us, or recorded by a rule.

What a rule or a dashboard reads and nobody says can never be seen; dead() finds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from exposition import samples
from promql import Selector
from rule_files import TESTS, our_metrics, rules


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EXPOSITIONS = TESTS / "expositions"
CLOUDWATCH = EXPOSITIONS / "needed-cloudwatch.txt"
RECORDED_NAMES = frozenset(rule.name for rule in rules() if not rule.alert)

# Labels that Prometheus gives each target, from its configuration and the inventory; exported_* is a target's own of that name.
TARGET_LABELS = _words("job instance environment host component version probe region exported_version")
JOBS = _words("node postgres blackbox backend haproxy prometheus alertmanager grafana cloudwatch")
# Labels whose values a host gives, and not the exporter.
HOST_LABELS = _words("mountpoint")


class Known(NamedTuple):
    """What is known of a metric: its labels, and the values they were seen with (None: any)."""

    labels: dict[str, set[str] | None]


def exposition(path: Path) -> dict[str, Known]:
    """Return what one recorded exposition says."""
    known: dict[str, Known] = {}
    for found in samples(path.read_text(encoding="utf-8")):
        labels = known.setdefault(found.name, Known({})).labels
        for label, value in found.labels.items():
            values = labels.setdefault(label, set())
            assert values is not None
            values.add(value)
    return known


def cloudwatch() -> dict[str, Known]:
    """Read what CloudWatch Exporter is needed to say. Once its own answer is recorded, that has to hold all of it."""
    needed = {}
    for line in CLOUDWATCH.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, labels = line.split()[:2]
            needed[name] = Known({label: None for label in labels.split(",") if label != "-"})
    return needed


def merged(*sources: dict[str, Known]) -> dict[str, Known]:
    """Return what all sources say together."""
    everything: dict[str, Known] = {}
    for source in sources:
        for name, known in source.items():
            labels = everything.setdefault(name, Known({})).labels
            for label, values in known.labels.items():
                before = labels.get(label, set())
                labels[label] = None if before is None or values is None else before | values
    return everything


def known_metrics() -> dict[str, Known]:
    """Return all that exporters, we ourselves and CloudWatch Exporter say; not what is recorded from it."""
    ours = {metric.name: Known(dict.fromkeys(metric.labels)) for metric in our_metrics()}
    severities = {"severity": {rule.labels["severity"] for rule in rules() if rule.alert}}
    alerts = {name: Known(severities) for name in ("ALERTS", "ALERTS_FOR_STATE")}
    return merged(*map(exposition, sorted(EXPOSITIONS.glob("*.prom"))), ours, cloudwatch(), alerts)


KNOWN = known_metrics()


def dead(selector: Selector) -> list[str]:
    """Return what keeps a selector from ever finding anything."""
    if selector.name in RECORDED_NAMES:
        return []
    if selector.name not in KNOWN:
        return [f"nobody says {selector.name}: it is in no exposition, no recording rule and not in docs/metrics.md"]
    labels = KNOWN[selector.name].labels
    wrong = []
    for matcher in selector.matchers:
        if matcher.label == "job" and matcher.operator == "=":
            if matcher.value not in JOBS:
                wrong.append(f"there is no job {matcher.value}")
        elif matcher.label in TARGET_LABELS | HOST_LABELS:
            continue
        elif matcher.label in labels:
            values = labels[matcher.label]
            if matcher.operator == "=" and values is not None and matcher.value not in values:
                wrong.append(f'{selector.name} was never seen with {matcher.label}="{matcher.value}"')
        else:
            wrong.append(f"{selector.name} has no label {matcher.label}")
    return wrong
