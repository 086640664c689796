"""What an exporter answers, in Prometheus' text format: read it, and make a recorded answer small and nobody's.

python tests/rules/exposition.py RECORDED.prom > tests/rules/expositions/node_exporter-1.9.0.prom
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

# A label with an open set of values is shown by so many of them.
VALUES = 8
# What tells a machine, not an exporter.
_ANONYMOUS = {
    "nodename": "host",
    "address": "00:00:5e:00:53:01",
    "broadcast": "00:00:5e:00:53:ff",
    "fingerprint_sha256": "0" * 64,
    "serialnumber": "0" * 40,
}
_UNAME = {"release": "6.1.0-amd64", "version": "#1 SMP"}
_DEVICES = re.compile(r"lo|eth0|vda|/dev/vda|")
# What no rule or dashboard asks for, in hundreds of lines.
_DROPPED = re.compile(
    r"go_(?!info|goroutines)\w+|node_scrape_collector_\w+|net_conntrack_\w+|python_gc_\w+|\w+_created|plano_deploy_\w+"
)
_SETTINGS = re.compile(r"pg_settings_(max_connections|superuser_reserved_connections|shared_buffers_bytes)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*,?')


class ExpositionError(ValueError):
    """A line that is not in the text format."""


class Sample(NamedTuple):
    """One line: a name, its labels, and what follows (value and time)."""

    name: str
    labels: dict[str, str]
    rest: str

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}{self.rest}" if labels else f"{self.name}{self.rest}"


def sample(line: str) -> Sample:
    """Read one line that is neither empty nor a comment. Escapes in label values stay as they are."""
    name = _NAME.match(line)
    if name is None:
        raise ExpositionError(f"no metric name: {line!r}")
    at, labels = name.end(), {}
    if line[at : at + 1] == "{":
        at += 1
        while line[at : at + 1] != "}":
            label = _LABEL.match(line, at)
            if label is None:
                raise ExpositionError(f"labels end too early: {line!r}")
            labels[label.group(1)] = label.group(2)
            at = label.end()
        at += 1
    rest = line[at:]
    if not re.fullmatch(r"\s+\S+(\s+-?\d+)?\s*", rest):
        raise ExpositionError(f"no value: {line!r}")
    return Sample(name.group(), labels, rest.rstrip())


def samples(text: str) -> Iterator[Sample]:
    """Read a whole exposition."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield sample(line)


def trim(text: str) -> str:
    """Keep the type of each metric and few label sets of it, without what belongs to one machine."""
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            lines.append(line)
        elif line.strip() and not line.startswith("#"):
            found = _anonymous(sample(line))
            if _kept(found) and _news(found.labels, seen[found.name]):
                lines.append(str(found))
    return "\n".join(_without_empty_types(lines)) + "\n"


def _kept(found: Sample) -> bool:
    if _DROPPED.fullmatch(found.name):
        return False
    if found.name.startswith("pg_settings_"):
        return _SETTINGS.fullmatch(found.name) is not None
    return not found.name.startswith("node_") or _DEVICES.fullmatch(found.labels.get("device", "")) is not None


def _news(labels: dict[str, str], seen: dict[str, set[str]]) -> bool:
    """Whether a label set shows a value not seen yet. Each series of the same values of open labels is enough once."""
    if not labels:
        return True
    news = [(name, value) for name, value in labels.items() if value not in seen[name] and len(seen[name]) < VALUES]
    for name, value in news:
        seen[name].add(value)
    return bool(news)


def _anonymous(found: Sample) -> Sample:
    replaced = {**_ANONYMOUS, **(_UNAME if found.name == "node_uname_info" else {})}
    return found._replace(labels={name: replaced.get(name, value) for name, value in found.labels.items()})


def _without_empty_types(lines: Iterable[str]) -> Iterator[str]:
    pending = ""
    for line in lines:
        if line.startswith("#"):
            pending = line
        else:
            if pending:
                yield pending
            pending = ""
            yield line


if __name__ == "__main__":
    sys.stdout.write(trim(Path(sys.argv[1]).read_text(encoding="utf-8")))
