# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the monitoring of a whole environment: first converge, nothing to do, and one rule more; beside prometheus.prometheus.

Ours is the local environment, made anew. The peer's roles (a checkout of their collection, given by --prometheus) get three hosts of their
own and the same archives from a server on the loopback; Prometheus, Alertmanager, blackbox exporter on one, node exporter on all,
postgres exporter on another one, our rule files, neither TLS nor passwords. Times are told, never asserted; a run that should change
nothing must change nothing, and a rule must be there when the run says that it is.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import http.server
import json
import os
import platform
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
ARTIFACTS = CACHE / "artifacts"
RULES = ROOT / "roles" / "prometheus" / "files" / "rules"
LOCAL = ROOT / "inventories" / "local"
MONITOR = "10.89.20.13"
NETWORK, SUBNET = "plano-bench-peer", "10.89.24"
PEERS = {"bench-peer-db": 11, "bench-peer-app": 12, "bench-peer-mon": 13}
# The newest of each in the mirror, which the local environment runs too.
COMPONENTS = ("prometheus", "alertmanager", "node_exporter", "postgres_exporter", "blackbox_exporter")
COMMAND_SECONDS = 900
RULE_SECONDS = 30
PEER_PLAY = """
- hosts: all
  become: true
  gather_facts: true
  roles: [prometheus.prometheus.node_exporter]
- hosts: bench-peer-db
  become: true
  gather_facts: false
  roles: [prometheus.prometheus.postgres_exporter]
- hosts: bench-peer-mon
  become: true
  gather_facts: false
  roles: [prometheus.prometheus.blackbox_exporter, prometheus.prometheus.alertmanager, prometheus.prometheus.prometheus]
"""
# Their tags cannot be used alone: what they configure needs facts that another part gathers.
PEER_RULE_PLAY = """
- hosts: bench-peer-mon
  become: true
  gather_facts: true
  roles: [prometheus.prometheus.prometheus]
"""
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+) .*skipped=(\d+)", re.MULTILINE)


class BenchError(Exception):
    """A measurement that did not measure what it should."""


class Run:
    """What a command took, and what it did."""

    def __init__(self, seconds: float, output: str) -> None:
        self.seconds = seconds
        recap = RECAP.findall(output)
        self.tasks = sum(int(ok) + int(skipped) for _host, ok, _changed, skipped in recap)
        self.changed = sum(int(changed) for _host, _ok, changed, _skipped in recap)
        self.output = output


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(argv: Sequence[str | Path], **environment: str) -> Run:
    begin = time.monotonic()
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"'{' '.join(map(str, argv))}' failed:\n" + "\n".join(done.stdout.splitlines()[-60:]))
    return Run(time.monotonic() - begin, done.stdout)


def rule_file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.yml"
    rule = {"record": f"bench:{name}", "expr": "vector(1)"}
    path.write_text(json.dumps({"groups": [{"name": name, "rules": [rule]}]}), encoding="utf-8")
    return path


def must_be_idle(found: Run) -> Run:
    if found.changed:
        raise BenchError(f"a run that should change nothing changed {found.changed} times:\n{found.output}")
    return found


class Ours:
    """The local environment."""

    def playbook(self, name: str, *arguments: str) -> Run:
        return run(["ansible-playbook", "--inventory", LOCAL, f"plano.delivery.{name}", *arguments])

    def prepare(self) -> None:
        run(["ansible-playbook", "--inventory", LOCAL, "molecule/shared/destroy.yml"])
        run(["ansible-playbook", "--inventory", LOCAL, "molecule/shared/create.yml"])

    def rule(self, path: Path) -> tuple[Run, float]:
        """Return the run, and how long the engine took from staging to proof."""
        extra = json.dumps({"prometheus_rules": [str(path)]})
        found = self.playbook("monitoring", "--limit", "local-mon", "--tags", "prometheus", "-v", "-e", extra)
        if path.stem not in rule_groups(f"https://{MONITOR}:9090", *self.credentials()):
            raise BenchError("the run ended well, and the rule is not there")
        phases = re.findall(r"^ +(?:stage|validate|switch|verify_live): ([\d.]+)$", found.output, re.MULTILINE)
        return found, sum(map(float, phases))

    def credentials(self) -> tuple[str, ssl.SSLContext]:
        password = (CACHE / "secrets" / "monitoring_web").read_text(encoding="utf-8").split()[0]
        word = base64.b64encode(f"plano:{password}".encode()).decode()
        return f"Basic {word}", ssl.create_default_context(cafile=str(CACHE / "ssh" / "local-mon-tls.crt"))


def rule_groups(address: str, authorization: str = "", context: ssl.SSLContext | None = None) -> set[str]:
    request = urllib.request.Request(f"{address}/api/v1/rules", headers={"Authorization": authorization})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return {group["name"] for group in json.load(answer)["data"]["groups"]}


class Peer:
    """prometheus.prometheus on three hosts of its own."""

    def __init__(self, collection: Path, scratch: Path, server: str) -> None:
        self.scratch = scratch
        self.rules = scratch / "rules"
        shutil.copytree(RULES, self.rules)
        place = scratch / "collections" / "ansible_collections" / "prometheus"
        place.mkdir(parents=True)
        (place / "prometheus").symlink_to(collection.resolve())
        (scratch / "play.yml").write_text(PEER_PLAY, encoding="utf-8")
        (scratch / "rule.yml").write_text(PEER_RULE_PLAY, encoding="utf-8")
        inventory = scratch / "inventory"
        (inventory / "group_vars" / "all").mkdir(parents=True)
        hosts = {name: {"ansible_host": f"{SUBNET}.{number}"} for name, number in PEERS.items()}
        variables: dict[str, Any] = {
            "plano_host_image": "trixie",
            "plano_host_network": NETWORK,
            "plano_host_subnet": f"{SUBNET}.0/24",
            "prometheus_alert_rules_files": [f"{self.rules}/*.yml"],
            "prometheus_alert_rules": [],
            "alertmanager_receivers": [{"name": "nobody"}],
            "alertmanager_route": {"receiver": "nobody"},
            "prometheus_targets": {
                "node": [{"targets": [f"{SUBNET}.{number}:9100" for number in PEERS.values()]}],
                "postgres": [{"targets": [f"{SUBNET}.11:9187"]}],
            },
            "prometheus_scrape_configs": [
                {"job_name": job, "file_sd_configs": [{"files": [f"/etc/prometheus/file_sd/{job}.yml"]}]}
                for job in ("node", "postgres")
            ],
        }
        for component in COMPONENTS:
            archive = max((ARTIFACTS / component).glob("*.tar.gz"), key=number_of)
            variables |= {
                f"{component}_version": ".".join(map(str, number_of(archive))),
                f"{component}_binary_url": f"{server}/{component}/{archive.name}",
                f"{component}_checksums_url": f"{server}/sha256sums.txt",
                f"{component}_local_cache_path": str(scratch / "cache" / component),
            }
        description = {"all": {"hosts": hosts, "vars": variables}}
        # JSON is YAML.
        (inventory / "hosts.yml").write_text(json.dumps(description, indent=1), encoding="utf-8")
        (inventory / "group_vars" / "all" / "connection.yml").symlink_to(
            LOCAL / "group_vars" / "all" / "connection.yml"
        )
        (inventory / "group_vars" / "all" / "cache.yml").write_text(f'plano_cache_dir: "{CACHE}"\n', encoding="utf-8")
        self.inventory = inventory

    def playbook(self, play: str | Path, *arguments: str) -> Run:
        collections = f"{self.scratch / 'collections'}:{CACHE / 'collections'}"
        return run(
            ["ansible-playbook", "--inventory", self.inventory, play, "-e", f"plano_cache_dir={CACHE}", *arguments],
            ANSIBLE_COLLECTIONS_PATH=collections,
        )

    def prepare(self) -> None:
        self.playbook("molecule/shared/create.yml")
        # The cloud's image has its package lists too.
        run(
            [
                "ansible",
                "--inventory",
                self.inventory,
                "all",
                "--become",
                "-e",
                f"plano_cache_dir={CACHE}",
                "-m",
                "apt",
                "-a",
                "update_cache=true",
            ]
        )

    def converge(self) -> Run:
        return self.playbook(self.scratch / "play.yml")

    def rule(self, name: str) -> Run:
        rule_file(self.rules, name)
        begin = time.monotonic()
        found = self.playbook(self.scratch / "rule.yml")
        while name not in rule_groups(f"http://{SUBNET}.13:9090"):
            if time.monotonic() - begin > found.seconds + RULE_SECONDS:
                raise BenchError("the peer's run ended well, and the rule is not there")
            time.sleep(0.2)
        found.seconds = time.monotonic() - begin
        return found

    def remove(self) -> None:
        self.playbook("molecule/shared/destroy.yml")


def number_of(archive: Path) -> tuple[int, ...]:
    found = re.search(r"-(\d+(?:\.\d+)+)\.", archive.name)
    return tuple(map(int, found[1].split("."))) if found else ()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the artifacts and their checksums on the loopback, as the peer's download site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_words: Any) -> None:
            """Who fetched what is of no interest."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def measure(options: argparse.Namespace, scratch: Path, stack: ExitStack) -> list[tuple[str, list[Run], list[Run]]]:
    ours = Ours()
    say("ours: three new hosts")
    ours.prepare()
    first = [ours.playbook("deploy")]
    say(f"ours: first converge of the whole environment {first[0].seconds:.0f} s")
    peer = None
    peers: list[Run] = []
    if options.prometheus:
        peer = Peer(options.prometheus, scratch, stack.enter_context(served(site(scratch))))
        stack.callback(peer.remove)
        say("peer: three new hosts")
        peer.prepare()
        peers.append(peer.converge())
        say(f"peer: first converge {peers[0].seconds:.0f} s")
    found: dict[str, list[Run]] = {name: [] for name in ("whole", "idle", "peer idle", "rule", "engine", "peer rule")}
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}")
        found["whole"].append(must_be_idle(ours.playbook("deploy")))
        found["idle"].append(must_be_idle(ours.playbook("monitoring")))
        name = f"bench_{time.time_ns()}"
        changed, seconds = ours.rule(rule_file(scratch, name))
        found["rule"].append(changed)
        found["engine"].append(Run(seconds, ""))
        if peer:
            found["peer idle"].append(peer.converge())
            found["peer rule"].append(peer.rule(name))
        ours.playbook("monitoring", "--limit", "local-mon", "--tags", "prometheus")
    return [
        ("first converge (ours: with host, PostgreSQL and backend)", first, peers),
        ("nothing to do, whole environment", found["whole"], []),
        ("nothing to do, monitoring", found["idle"], found["peer idle"]),
        ("one rule more, live (ours: and proven)", found["rule"], found["peer rule"]),
        ("of that the engine: checked, switched, proven", found["engine"], []),
    ]


def site(scratch: Path) -> Path:
    """Return a folder that looks like the peer's download site."""
    folder = scratch / "site"
    folder.mkdir()
    lines = []
    for component in COMPONENTS:
        (folder / component).symlink_to(ARTIFACTS / component)
        for archive in sorted((ARTIFACTS / component).glob("*.tar.gz")):
            lines.append(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    (folder / "sha256sums.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def table(rows: list[tuple[str, list[Run], list[Run]]]) -> str:
    lines = [
        "| whole `ansible-playbook` run | plano.delivery | tasks | prometheus.prometheus | tasks | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for what, ours, peers in rows:
        mine = statistics.median(item.seconds for item in ours)
        cells = [f"{mine:.1f} s", str(ours[-1].tasks or "-")]
        if peers:
            theirs = statistics.median(item.seconds for item in peers)
            cells += [f"{theirs:.1f} s", str(peers[-1].tasks), f"{mine / theirs:.2f}"]
        else:
            cells += ["-", "-", "-"]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often what repeats is measured (default: %(default)s)"
    )
    parser.add_argument("--prometheus", type=Path, help="a checkout of the collection prometheus.prometheus")
    options = parser.parse_args()
    # Ended by a time limit, it removes the peer's hosts as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="plano-bench-")))
        try:
            rows = measure(options, scratch, stack)
        except (BenchError, OSError) as error:
            say(str(error))
            return 1
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, medians of {options.rounds} rounds\n")
    print(table(rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
