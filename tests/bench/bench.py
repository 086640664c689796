# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure deploy and rollback on the local environment, beside ansistrano on the same host in the same run.

Times are told, never asserted: the machine is somebody else's too. Counts are asserted: a second converge changes
nothing and restarts nothing, and the deploy play stays within its budget of host-tasks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
VENV_BIN = Path(sys.executable).parent
INVENTORY = Path("inventories/local")
APP, DB = "local-app", "local-db"
VERSIONS = ("1.0.0", "1.1.0")
HOST_TASK_BUDGET = 8
COMMAND_SECONDS = 600
# What ansible-playbook spends before, between and after the tasks.
OUTSIDE = "(outside any task)"
SLOW_TASK_SECONDS = 0.15
# On the host, outside everything the engine owns; removed at the end.
HOST_DIR = "/var/tmp/plano-bench"
SERVER_UNIT = "plano-bench-http.service"
SERVER_PORT = 18099
PHASES = (
    *("fetch", "verify", "unpack", "venv", "seal", "stage", "validate", "migrate", "start", "health", "soak", "warm"),
    *("switch", "verify_live"),
)
UNITS = {APP: ["haproxy.service", "plano-backend@blue.service", "plano-backend@green.service"], DB: ["postgresql@*"]}

# What the engine does behind its answer (byte code, the standby's end) is neither measured nor in the way of what is.
SETTLE = """
for _ in $(seq 120); do
  systemctl list-units --plain --no-legend 'plano-backend-change-*' | grep -q . || break
  sleep 0.5
done
"""

# Makes a version as good as never seen by the host: its standby process, its releases and its store entry.
FORGET = """
set -eu
{settle}
/opt/plano/bin/plano retire backend
for release in /opt/plano/backend/releases/*/; do
  if [ "$(basename "$(readlink "${{release}}artifact")")" = {sha256} ]; then rm -rf "$release"; fi
done
rm -rf /opt/plano/store/sha256/{sha256}
sync
"""

ANSISTRANO_PLAY = """---
- name: Run ansistrano
  hosts: "{host}"
  gather_facts: false
  become: true
  vars:
    ansistrano_deploy_to: "{host_dir}/ansistrano"
    ansistrano_allow_anonymous_stats: false
    ansistrano_rsync_use_ssh_args: true
  roles:
    - role: "ansistrano.{role}"
"""

CAVEAT = (
    "ansistrano unpacks (or copies) files and moves a symlink. It checks no digest, builds no virtual environment, starts no "
    "service, asks no health check and proves nothing afterwards; plano.delivery does all of that within its time (byte code is compiled behind it)."
)


class BenchError(Exception):
    """The measurement cannot go on."""


def say(text: str) -> None:
    print(f"[{datetime.now().astimezone():%H:%M:%S}] {text}", file=sys.stderr, flush=True)


# -- running Ansible -----------------------------------------------------------------------------------


def read_report(out: str) -> dict[str, Any] | None:
    """Return the json callback's document; the release plugin's own line of words comes before it."""
    start = re.search(r"^\{$", out, re.MULTILINE)
    report: dict[str, Any] | None = json.JSONDecoder().raw_decode(out, start.start())[0] if start else None
    return report


def why(out: str, err: str) -> str:
    """Return what the failed tasks said, or the last lines where there is no report."""
    report = read_report(out)
    said = [
        f"{host}: {task['task']['name']}: {result.get('msg')} {result.get('stderr', '')}".rstrip()
        for play in (report or {}).get("plays", [])
        for task in play["tasks"]
        for host, result in task["hosts"].items()
        if result.get("failed") or result.get("unreachable")
    ]
    return "\n".join(said or (out + err).strip().splitlines()[-30:])


@dataclass(frozen=True)
class Run:
    """One finished ansible-playbook, and what the json callback says about it."""

    seconds: float
    report: dict[str, Any]

    def results(self) -> Iterator[dict[str, Any]]:
        for play in self.report["plays"]:
            for task in play["tasks"]:
                yield from task["hosts"].values()

    def phases(self) -> dict[str, float]:
        """Return the engine's phases of the backend, the last release the play makes."""
        found = [item["phases"] for item in self.results() if item.get("phases")]
        return found[-1] if found else {}

    def tasks(self) -> dict[str, float]:
        """Return the seconds of each task that took any, on the controller's clock."""
        found = {}
        for play in self.report["plays"]:
            for task in play["tasks"]:
                begin, end = (task["task"]["duration"].get(name) for name in ("start", "end"))
                if begin and end:
                    spent = datetime.fromisoformat(end.rstrip("Z")) - datetime.fromisoformat(begin.rstrip("Z"))
                    found[task["task"]["name"]] = spent.total_seconds()
        return found

    def changed(self) -> int:
        return sum(host["changed"] for host in self.report["stats"].values())


class Ansible:
    """The repository's own settings for every command, ansistrano's included."""

    def __init__(self, roles_path: Path | None) -> None:
        self.env = {
            **os.environ,
            "PATH": f"{VENV_BIN}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            **({"ANSIBLE_ROLES_PATH": str(roles_path)} if roles_path else {}),
        }

    def _run(self, argv: list[str], **env: str) -> tuple[float, str]:
        started = time.monotonic()
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        seconds = time.monotonic() - started
        if done.returncode != 0:
            raise BenchError(f"'{shlex.join(argv)}' failed with {done.returncode}:\n{why(done.stdout, done.stderr)}")
        return seconds, done.stdout

    def playbook(self, name: str, *more: str, variables: dict[str, Any] | None = None) -> Run:
        seconds, out = self._run(self._argv(name, more, variables), ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
        return Run(seconds, self._report(out))

    def verbose(self, name: str, *more: str, variables: dict[str, Any] | None = None) -> str:
        return self._run(
            [*self._argv(name, more, variables), "-vvv"], ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default"
        )[1]

    def ask(self, host: str, module: str, **arguments: Any) -> dict[str, Any]:
        """Run one module on *host* and return its result."""
        argv = ["ansible", "-i", str(INVENTORY), host, "--become", "-m", module, "-a", json.dumps(arguments)]
        _seconds, out = self._run(argv, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", ANSIBLE_LOAD_CALLBACK_PLUGINS="1")
        return next(Run(0.0, self._report(out)).results())

    def shell(self, host: str, script: str) -> str:
        """Run *script* as root on *host*."""
        return str(self.ask(host, "ansible.builtin.shell", cmd=script)["stdout"])

    def version(self) -> str:
        return self._run(["ansible", "--version"])[1].splitlines()[0]

    @staticmethod
    def _argv(name: str, more: tuple[str, ...], variables: dict[str, Any] | None) -> list[str]:
        extra = ["-e", json.dumps(variables)] if variables else []
        return ["ansible-playbook", "-i", str(INVENTORY), *more, *extra, name]

    @staticmethod
    def _report(out: str) -> dict[str, Any]:
        report = read_report(out)
        if report is None:
            raise BenchError(f"no report from the json callback in: {out[-400:]}")
        return report


# -- what is collected -----------------------------------------------------------------------------------


@dataclass
class Samples:
    """Seconds by what was done; phases and the switch of the engine beside them."""

    wall: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    phases: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    tasks: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, name: str, run: Run) -> None:
        self.wall[name].append(run.seconds)
        for phase, seconds in run.phases().items():
            self.phases[name][phase].append(seconds)
        for task, seconds in run.tasks().items():
            self.tasks[name][task].append(seconds)
        self.tasks[name][OUTSIDE].append(run.seconds - sum(run.tasks().values()))
        switch = run.phases().get("switch")
        say(f"  {name}: {run.seconds:.1f} s" + (f", switch {switch * 1000:.1f} ms" if switch is not None else ""))

    def median(self, name: str) -> float | None:
        return statistics.median(self.wall[name]) if self.wall.get(name) else None

    def cell(self, name: str) -> str:
        found = self.wall.get(name)
        return f"{statistics.median(found):.1f} s ({min(found):.1f} to {max(found):.1f})" if found else "-"

    def ratio(self, ours: str, theirs: str) -> str:
        mine, other = self.median(ours), self.median(theirs)
        return f"{mine / other:.2f}" if mine and other else "-"

    def on_host(self, name: str) -> float:
        """Return the median sum of the engine's phases: the part of the wall time that is work on the host."""
        return sum(statistics.median(values) for values in self.phases[name].values())

    def switch_cell(self, names: list[str]) -> str:
        found = [seconds * 1000 for name in names for seconds in self.phases[name].get("switch", [])]
        return (
            f"{statistics.median(found):.1f} ms ({min(found):.1f} to {max(found):.1f}, n={len(found)})"
            if found
            else "-"
        )


@dataclass
class Counts:
    """What is asserted."""

    changed: int = 0
    restarts: list[str] = field(default_factory=list)
    converge_seconds: float = 0.0
    host_tasks: list[str] = field(default_factory=list)
    module_runs: int = 0
    restore: str = ""

    def faults(self) -> list[str]:
        found = [self.restore] if self.restore else []
        if self.changed:
            found.append(f"the second converge changed {self.changed} tasks, expected 0")
        if self.restarts:
            found.append(f"the second converge restarted {', '.join(self.restarts)}, expected none")
        if len(self.host_tasks) > HOST_TASK_BUDGET:
            found.append(
                f"the deploy play ran {len(self.host_tasks)} host-tasks, budget {HOST_TASK_BUDGET}: {', '.join(self.host_tasks)}"
            )
        return found


def host_tasks(output: str) -> tuple[list[str], int]:
    """Return the tasks of a -vvv run that executed a module on a host, and how many executions that were."""
    task, found, runs = "", [], 0
    for line in output.splitlines():
        header = re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line)
        if header:
            task = header[1]
        elif line.startswith("Using module file "):
            runs += 1
            if task not in found:
                found.append(task)
    return found, runs


# -- the measurements --------------------------------------------------------------------------------------


class Bench:
    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.ansible = Ansible(options.ansistrano)
        self.samples = Samples()
        self.counts = Counts()
        self.rounds = 0
        # Read as the inventory does, by Ansible: there is no YAML in the standard library.
        catalog = self.ansible.ask(APP, "ansible.builtin.debug", var="plano_artifacts")["plano_artifacts"]
        self.artifacts: dict[str, dict[str, Any]] = {str(item["version"]): item for item in catalog["backend"]}
        self.rsync = False
        self.started_with = ""

    # Steps that are not measured.

    def serving(self) -> str:
        status = json.loads(self.ansible.shell(APP, "/opt/plano/bin/plano status --json || true"))
        return str(next(item["version"] for item in status if item["component"] == "backend"))

    def archive(self, version: str) -> Path:
        return Path(unquote(urlsplit(self.artifacts[version]["sources"][0]).path))

    def loopback(self, version: str) -> str:
        """Where the host finds the archive on itself."""
        return f"http://127.0.0.1:{SERVER_PORT}/{self.archive(version).name}"

    def forget(self, version: str) -> None:
        self.ansible.shell(APP, FORGET.format(settle=SETTLE, sha256=self.artifacts[version]["sha256"]))

    def variables(self, version: str, **more: Any) -> dict[str, Any]:
        """Pins go to a file of ours, so that the inventory's stays as it was found."""
        return {
            "backend_version": version,
            "release_allow_rejected": True,
            "plano_pin_file": str(self.scratch / "pins.yml"),
            "plano_reason": "benchmark",
            **more,
        }

    def pulled(self) -> dict[str, Any]:
        """The same artifacts, fetched by the host from its own loopback instead of sent by the controller."""
        entries = [{**item, "sources": [self.loopback(version)]} for version, item in self.artifacts.items()]
        return {"plano_artifacts": {"backend": entries}}

    def prepare_host(self) -> None:
        self.ansible.shell(APP, f"rm -rf {HOST_DIR}; mkdir -p {HOST_DIR}/www")
        for version in VERSIONS:
            self.ansible.ask(
                APP, "ansible.builtin.copy", src=str(self.archive(version)), dest=f"{HOST_DIR}/www/", mode="0644"
            )
        serve = f"/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory {HOST_DIR}/www {SERVER_PORT}"
        self.ansible.shell(
            APP, f"systemctl stop {SERVER_UNIT} 2>/dev/null; systemd-run --collect --unit={SERVER_UNIT} {serve}"
        )
        if not self.options.ansistrano:
            return
        for role in ("deploy", "rollback"):
            play = ANSISTRANO_PLAY.format(host=APP, host_dir=HOST_DIR, role=role)
            (self.scratch / f"{role}.yml").write_text(play, encoding="utf-8")
        self.rsync = shutil.which("rsync") is not None
        if self.rsync:
            self.ansible.shell(
                APP,
                "command -v rsync || (apt-get -q update && apt-get -qy install rsync && touch " + HOST_DIR + "/rsync)",
            )
            for version in VERSIONS:
                shutil.unpack_archive(self.archive(version), self.scratch / version)

    def clean_host(self) -> None:
        self.ansible.shell(
            APP,
            f"systemctl stop {SERVER_UNIT}; if [ -e {HOST_DIR}/rsync ]; then apt-get -qy purge rsync; fi; rm -rf {HOST_DIR}",
        )

    # Steps that are.

    def deploy(self, name: str, version: str, **more: Any) -> None:
        self.forget(version)
        run = self.ansible.playbook("plano.delivery.deploy", "--limit", APP, variables=self.variables(version, **more))
        if "switch" not in run.phases() or "venv" not in run.phases():
            raise BenchError(f"{name} of {version} was no deploy of a new version, its phases: {run.phases()}")
        self.samples.add(name, run)

    def rollback(self, name: str, wanted: str) -> None:
        self.ansible.shell(APP, SETTLE + ("/opt/plano/bin/plano retire backend" if name == "rollback cold" else ""))
        run = self.ansible.playbook("plano.delivery.rollback", "--limit", APP, variables=self.variables(wanted))
        if ("warm" in run.phases()) != (name == "rollback warm"):
            raise BenchError(f"{name} was not that, its phases: {run.phases()}")
        self.samples.add(name, run)

    def ansistrano(self, version: str) -> None:
        if not self.options.ansistrano:
            return
        self.ansible.shell(APP, SETTLE)
        ways = {"download_unarchive": {"ansistrano_get_url": self.loopback(version)}}
        if self.rsync:
            ways["rsync"] = {"ansistrano_deploy_from": f"{self.scratch / version}/"}
        for way, variables in ways.items():
            self._ansistrano(f"ansistrano deploy {way}", "deploy", {"ansistrano_deploy_via": way, **variables})
            self._ansistrano("ansistrano rollback", "rollback", {})

    def _ansistrano(self, name: str, role: str, variables: dict[str, Any]) -> None:
        before = self._ansistrano_current()
        self.samples.add(name, self.ansible.playbook(str(self.scratch / f"{role}.yml"), variables=variables))
        if self._ansistrano_current() == before:
            raise BenchError(f"{name} did not move its 'current' link from {before}")

    def _ansistrano_current(self) -> str:
        return self.ansible.shell(APP, f"readlink {HOST_DIR}/ansistrano/current || true")

    def round(self, old: str, new: str) -> None:
        """From *old* serving to *new* serving; every deploy of *new* is one of a version the host has not."""
        soak = {"backend_soak_seconds": 0}
        self.deploy("deploy", new)
        self.rollback("rollback warm", old)
        self.ansistrano(new)
        self.deploy("deploy, soak 0", new, **soak)
        self.rollback("rollback cold", old)
        self.deploy("deploy pulled, soak 0", new, **soak, **self.pulled())

    def warm_up(self) -> None:
        """Bring the schema to its latest revision and the page cache to work; nothing of this is counted."""
        say("warm-up, not counted")
        for version in (VERSIONS[1], VERSIONS[0]):
            self.ansible.playbook("plano.delivery.deploy", "--limit", APP, variables=self.variables(version))
        if self.options.ansistrano:
            base = {"ansistrano_deploy_via": "download_unarchive", "ansistrano_get_url": self.loopback(VERSIONS[0])}
            self.ansible.playbook(str(self.scratch / "deploy.yml"), variables=base)

    def pids(self) -> dict[str, str]:
        """Return the main process of every service that a needless restart would hurt."""
        found = {}
        for host, units in UNITS.items():
            listing = self.ansible.shell(
                host, f"systemctl show --property=Id,MainPID {' '.join(map(shlex.quote, units))}"
            )
            for block in listing.split("\n\n"):
                shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
                if int(shown.get("MainPID", 0)):
                    found[f"{host}:{shown['Id']}"] = shown["MainPID"]
        return found

    def converge(self) -> None:
        """Run the whole playbook twice; the second run is the one that must not touch anything."""
        variables = self.variables(VERSIONS[0])
        say("converge of the whole environment, twice")
        self.ansible.playbook("plano.delivery.deploy", variables=variables)
        before = self.pids()
        again = self.ansible.playbook("plano.delivery.deploy", variables=variables)
        after = self.pids()
        self.counts.converge_seconds = again.seconds
        self.counts.changed = again.changed()
        self.counts.restarts = sorted(
            unit for unit in before.keys() | after.keys() if before.get(unit) != after.get(unit)
        )
        if not {"haproxy", "postgresql", "plano-backend"} <= {
            re.split(r"[.@]", unit.split(":")[1])[0] for unit in before
        }:
            raise BenchError(f"not all services were found running: {before}")

    def count_host_tasks(self, version: str) -> None:
        say("host-tasks of the deploy play")
        self.forget(version)
        output = self.ansible.verbose("plano.delivery.deploy", "--limit", APP, variables=self.variables(version))
        self.counts.host_tasks, self.counts.module_runs = host_tasks(output)
        if not self.counts.host_tasks:
            raise BenchError("no module run was found in the output of ansible-playbook -vvv")

    def measure(self) -> None:
        say("the environment as the inventory wants it")
        self.ansible.playbook("plano.delivery.deploy", variables={"plano_pin_file": str(self.scratch / "pins.yml")})
        self.started_with = self.serving()
        if self.started_with not in VERSIONS:
            raise BenchError(f"backend {self.started_with} serves; this measures {' and '.join(VERSIONS)}")
        try:
            self.prepare_host()
            self.warm_up()
            deadline = time.monotonic() + self.options.minutes * 60
            old, new = VERSIONS
            for number in range(1, self.options.rounds + 1):
                say(f"round {number} of {self.options.rounds}: {old} -> {new}, load {os.getloadavg()[0]:.1f}")
                self.round(old, new)
                self.rounds = number
                old, new = new, old
                if time.monotonic() > deadline:
                    say(f"{self.options.minutes} minutes are over, no further round")
                    break
            self.count_host_tasks(new)
            self.converge()
        finally:
            # What was measured is worth telling even when the way back fails.
            try:
                self.restore()
            except (BenchError, subprocess.TimeoutExpired) as exc:
                self.counts.restore = f"the environment was not restored: {exc}"
                say(self.counts.restore)

    def restore(self) -> None:
        say(f"back to {self.started_with}, and the host cleaned")
        self.ansible.playbook("plano.delivery.deploy", "--limit", APP, variables=self.variables(self.started_with))
        self.clean_host()

    # The answer.

    def machine(self) -> dict[str, str]:
        host = self.ansible.shell(
            APP,
            ". /etc/os-release; echo $PRETTY_NAME; python3 --version; haproxy -v | sed -n 's/^HAProxy version \\([^ ]*\\).*/HAProxy \\1/p'",
        )
        return {
            "machine": f"{os.cpu_count()} cores shared with others, {platform.system()} {platform.release()}",
            "controller": f"{self.ansible.version()}, Python {platform.python_version()}",
            "host": ", ".join(host.splitlines()) + ", a container reached over SSH",
            "artifact": f"{self.archive(VERSIONS[0]).stat().st_size / 1e6:.1f} MB, tar.gz of wheels",
        }

    def table(self, load: tuple[float, float]) -> str:
        got = self.samples
        command = (
            f"make bench ARGS={shlex.quote(shlex.join(shown_arguments(self.options)))}"
            if sys.argv[1:]
            else "make bench"
        )
        lines = [
            "# Deploy and rollback, measured",
            "",
            f"`{command}` on {datetime.now(timezone.utc):%Y-%m-%d}, {self.rounds} rounds; medians with (lowest to highest).",
            "",
            *(f"- {name}: {value}" for name, value in self.machine().items()),
            f"- load average: {load[0]:.1f} at the start, {load[1]:.1f} at the end",
            "",
            "| whole `ansible-playbook` run | plano.delivery | ansistrano | ratio |",
            "|---|---|---|---|",
        ]
        rsync, pull, back = "ansistrano deploy rsync", "ansistrano deploy download_unarchive", "ansistrano rollback"
        for label, ours, theirs in (
            ("deploy of a new version, sent by the controller (ansistrano: rsync)", "deploy", rsync),
            ("the same, soak 0", "deploy, soak 0", rsync),
            (
                "deploy of a new version, fetched by the host, soak 0 (ansistrano: download_unarchive)",
                "deploy pulled, soak 0",
                pull,
            ),
            ("rollback to the warm standby", "rollback warm", back),
            ("rollback to a stopped release", "rollback cold", back),
        ):
            lines.append(f"| {label} | {got.cell(ours)} | {got.cell(theirs)} | {got.ratio(ours, theirs)} |")
        lines += ["", CAVEAT if self.options.ansistrano else "ansistrano was left out: no --ansistrano PATH was given."]
        if self.options.ansistrano and not self.rsync:
            lines += ["", "ansistrano's rsync was left out: the controller has no rsync."]
        lines += ["", *self.phase_table(), "", *self.task_table(), "", "| switch on the host | |", "|---|---|"]
        deploys = ["deploy", "deploy, soak 0", "deploy pulled, soak 0"]
        lines += [
            f"| deploy | {got.switch_cell(deploys)} |",
            f"| rollback | {got.switch_cell(['rollback warm', 'rollback cold'])} |",
        ]
        lines += [
            "",
            "| count | found | wanted |",
            "|---|---|---|",
            f"| changed tasks in a second converge ({self.counts.converge_seconds:.1f} s) | {self.counts.changed} | 0 |",
            f"| services restarted by it (HAProxy, PostgreSQL, backend) | {len(self.counts.restarts)} | 0 |",
            f"| host-tasks of a deploy | {len(self.counts.host_tasks)} | ≤ {HOST_TASK_BUDGET} |",
            f"| module runs of these tasks | {self.counts.module_runs} | |",
        ]
        return "\n".join(lines) + "\n"

    def phase_table(self) -> list[str]:
        names = [
            name
            for name in ("deploy", "deploy pulled, soak 0", "rollback warm", "rollback cold")
            if self.samples.wall.get(name)
        ]
        seen = [phase for phase in PHASES if any(phase in self.samples.phases[name] for name in names)]
        lines = [
            f"| phase on the host, seconds and share of the whole run | {' | '.join(names)} |",
            "|---|" + "---|" * len(names),
        ]
        whole = {name: self.samples.median(name) or 0.0 for name in names}

        def cell(name: str, seconds: float) -> str:
            return f"{seconds:.3f} ({100 * seconds / whole[name]:.0f} %)"

        for phase in seen:
            found = {name: self.samples.phases[name].get(phase) for name in names}
            cells = [cell(name, statistics.median(values)) if values else "-" for name, values in found.items()]
            lines.append(f"| {phase} | {' | '.join(cells)} |")
        rest = [cell(name, whole[name] - self.samples.on_host(name)) for name in names]
        lines.append(f"| everything else (Ansible, templates, SSH, upload, other tasks) | {' | '.join(rest)} |")
        return lines

    def task_table(self) -> list[str]:
        """Where the controller's time goes, in the order of the play."""
        lines = ["| task, seconds on the controller | median |", "|---|---|"]
        for name in ("deploy", "rollback warm"):
            for task, found in self.samples.tasks[name].items():
                if statistics.median(found) >= SLOW_TASK_SECONDS:
                    lines.append(f"| {name}: {task.replace('|', '/')} | {statistics.median(found):.2f} |")
        return lines


def shown_arguments(options: argparse.Namespace) -> list[str]:
    """Return the command's options as somebody else would type them; paths of this machine are not for others."""
    shown = ["--rounds", str(options.rounds)]
    return [*shown, "--ansistrano", "PATH"] if options.ansistrano else shown


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure deploy and rollback on the local environment (see tests/bench/README.md)."
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds to take medians over (default 5)")
    parser.add_argument(
        "--minutes", type=float, default=25.0, metavar="N", help="start no further round after so long (default 25)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table there")
    parser.add_argument(
        "--ansistrano",
        type=Path,
        metavar="PATH",
        help="folder with the roles ansistrano.deploy and ansistrano.rollback",
    )
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.ansistrano:
        options.ansistrano = options.ansistrano.resolve()
        missing = [
            role
            for role in ("ansistrano.deploy", "ansistrano.rollback")
            if not (options.ansistrano / role / "tasks").is_dir()
        ]
        if missing:
            parser.error(f"{options.ansistrano} has no role {' and '.join(missing)}")
    return options


@contextmanager
def scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="plano-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(argv: list[str]) -> int:
    options = parse(argv)
    load = os.getloadavg()[0]
    if not options.ansistrano:
        say("ansistrano is left out: give --ansistrano PATH, the folder with its two roles")
    with scratch_folder() as scratch:
        try:
            bench = Bench(options, scratch)
            bench.measure()
            table = bench.table((load, os.getloadavg()[0]))
        except (BenchError, subprocess.TimeoutExpired) as exc:
            print(f"bench: {exc}", file=sys.stderr)
            return 1
    print(table, end="")
    if options.output:
        options.output.write_text(table, encoding="utf-8")
    faults = bench.counts.faults()
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
