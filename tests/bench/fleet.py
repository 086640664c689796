# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a fleet costs the controller: CPU and wall seconds per host, for 1, 4, 16 and 48 hosts.

One host is deployed with two versions; all others are copies of it, so that many fit on one machine. Deploys leave the
database host out (--limit backend), so that what is counted is the backend hosts. CPU seconds are those of ansible-playbook
and all its children; the hosts run on the same machine, so wall seconds say more about it than about Ansible.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# Three levels below the root, as the group variables of the test inventories expect.
INVENTORY = ROOT / ".cache" / "bench-fleet" / "inventory"
GROUP_VARS = ROOT / "tests" / "faults" / "inventory" / "group_vars"
PODMAN = str(ROOT / "tools" / "podman")
NETWORK, SUBNET = "plano-fleet", "10.89.23"
DATABASE, FIRST_ADDRESS = "bench-db", 101
SNAPSHOT = "localhost/plano-fleet-bench:latest"
OLD, NEW = "1.0.0", "1.1.0"
COMMAND_SECONDS = 1500
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# What systemd and its services take of it on each host.
INOTIFY_PER_HOST = 7
# Two processes on each host hold at least two connections each.
DATABASE_SETTINGS = {"shared_buffers": "128MB", "effective_cache_size": "256MB", "max_connections": 600}


class BenchError(Exception):
    """The measurement cannot go on."""


class Cost(NamedTuple):
    """What one ansible-playbook took."""

    wall: float
    cpu: float


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def inotify_fault(hosts: int) -> str:
    """Say why so many hosts cannot start here: all containers share one allowance, and units fail without a word beyond it."""
    allowed = int(INOTIFY.read_text(encoding="ascii"))
    used = 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            used += link.readlink() == Path("anon_inode:inotify")
        except OSError:  # that process, or the right to look at it, is gone
            continue
    needed = used + INOTIFY_PER_HOST * hosts
    if needed <= allowed:
        return ""
    return (
        f"{hosts} hosts need {needed} inotify instances with the {used} in use, and this kernel allows {allowed}. "
        f"Raise that for the measurement (sysctl fs.inotify.max_user_instances={2 * needed}), or measure fewer with --hosts"
    )


def name(number: int) -> str:
    return f"bench-app{number + 1:02d}"


def address(number: int) -> str:
    return f"{SUBNET}.{FIRST_ADDRESS + number}"


def write_inventory(count: int, snapshot: bool) -> None:
    """Describe the database and *count* backend hosts; all but the first are copies, it too when *snapshot*."""
    apps: dict[str, dict[str, Any]] = {name(number): {"ansible_host": address(number)} for number in range(count)}
    if snapshot:
        for host in apps.values():
            host["plano_host_snapshot"] = SNAPSHOT
    hosts = {DATABASE: {"ansible_host": f"{SUBNET}.{FIRST_ADDRESS - 1}", "postgresql_settings": DATABASE_SETTINGS}}
    inventory = {
        "all": {
            "hosts": {**hosts, **apps},
            "vars": {
                "plano_host_image": "trixie",
                "plano_host_network": NETWORK,
                "plano_host_subnet": f"{SUBNET}.0/24",
                "plano_database_host": DATABASE,
                # Many processes start at once on few cores.
                "backend_start_timeout": 120,
                "plano_pin_file": str(INVENTORY.parent / "pins.yml"),
                "release_allow_rejected": True,
            },
            "children": {"postgresql": {"hosts": {DATABASE: None}}, "backend": {"hosts": dict.fromkeys(apps)}},
        }
    }
    variables = INVENTORY / "group_vars"
    (variables / "all").mkdir(parents=True, exist_ok=True)
    for item in ("all/connection.yml", "all/database.yml", "all/secrets.yml", "backend", "postgresql"):
        (variables / item).unlink(missing_ok=True)
        (variables / item).symlink_to((GROUP_VARS / item).resolve())
    catalog = ROOT / ".cache" / "artifacts" / "catalog.yml"
    text = f"plano_artifacts: \"{{{{ lookup('ansible.builtin.file', '{catalog}') | from_yaml }}}}\"\n"
    (variables / "all" / "artifacts.yml").write_text(text, encoding="utf-8")
    # JSON is YAML.
    (INVENTORY / "hosts.yml").write_text(json.dumps(inventory, indent=1), encoding="utf-8")


def run(argv: list[str], check: bool = True) -> Cost:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if check and done.returncode != 0:
        raise BenchError(f"'{' '.join(argv)}' failed:\n" + "\n".join((done.stdout + done.stderr).splitlines()[-60:]))
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def playbook(*arguments: str) -> Cost:
    return run(["ansible-playbook", "--inventory", str(INVENTORY), *arguments])


def serving(number: int) -> str:
    with urllib.request.urlopen(f"http://{address(number)}:8080/version", timeout=30) as answer:
        return str(json.load(answer)["version"])


def expect(version: str, count: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(serving, range(count)))
    if found != {version}:
        raise BenchError(f"expected {version} on all {count} hosts, found {', '.join(sorted(found))}")


def remove(count: int) -> None:
    for _attempt in range(3):
        # On a busy machine podman loses sight of a host it is just killing, and finds it gone when asked again.
        run([PODMAN, "rm", "--force", "--ignore", "--time", "2", DATABASE, *map(name, range(count))], check=False)
    run([PODMAN, "rmi", "--force", "--ignore", SNAPSHOT], check=False)
    # It stays while the hosts of the fleet's tests are on it.
    run([PODMAN, "network", "rm", NETWORK], check=False)


def prepare() -> None:
    """Make one host that has both versions, serves the old one, and is what all others are copied from."""
    write_inventory(1, snapshot=False)
    say("starting the database and the host to copy")
    playbook("molecule/shared/create.yml")
    for version in (OLD, NEW, OLD):
        playbook("plano.delivery.deploy", "-e", f"backend_version={version}")
    run([PODMAN, "stop", "--time", "20", name(0)])
    say("copying it")
    run([PODMAN, "commit", "--quiet", name(0), SNAPSHOT])
    run([PODMAN, "rm", name(0)])


def measure(count: int, forks: int) -> dict[str, Cost]:
    more = ("--limit", "backend", "--forks", str(forks))
    write_inventory(count, snapshot=True)
    say(f"{count} hosts: starting them")
    playbook("molecule/shared/create.yml", "--forks", "4")
    # The first run opens the connections and checks what a copy cannot have copied; it is not measured.
    playbook("plano.delivery.deploy", *more, "-e", f"backend_version={OLD}")
    found = {}
    for what, arguments, version in (
        ("nothing to do", ("plano.delivery.deploy", "-e", f"backend_version={OLD}"), OLD),
        ("deploy", ("plano.delivery.deploy", "-e", f"backend_version={NEW}"), NEW),
        ("rollback", ("plano.delivery.rollback",), OLD),
    ):
        found[what] = playbook(*arguments, *more)
        expect(version, count)
        say(f"  {what}: {found[what].wall:.0f} s, {found[what].cpu:.1f} s CPU")
    return found


def table(results: dict[int, dict[str, Cost]]) -> str:
    lines = [
        "| hosts | run | controller CPU s | per host | wall s | per host |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for count, costs in results.items():
        for what, cost in costs.items():
            cells = f"{cost.cpu:.1f} | {cost.cpu / count:.2f} | {cost.wall:.1f} | {cost.wall / count:.2f}"
            lines.append(f"| {count} | {what} | {cells} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="1,4,16,48", help="numbers of hosts, rising (default: %(default)s)")
    parser.add_argument("--forks", type=int, default=10, help="hosts worked on at once (default: %(default)s)")
    options = parser.parse_args()
    counts = sorted(int(item) for item in options.hosts.split(","))
    results: dict[int, dict[str, Cost]] = {}
    # Ended by a time limit, it removes its hosts as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    remove(counts[-1])
    fault = inotify_fault(counts[-1] + 1)
    if fault:
        say(fault)
        return 1
    try:
        prepare()
        for count in counts:
            results[count] = measure(count, options.forks)
    except BenchError as error:
        say(str(error))
        return 1
    finally:
        if results:
            print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {options.forks} forks\n")
            print(table(results), flush=True)
        remove(counts[-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
