"""No way through a deploy or a rollback tells a secret: not the output at -vvv, not a process list, not what stays on the host.

The canaries are the inventory's own passwords, generated once per checkout. What stays on the host (journal, ledger,
releases, units) is judged by invariant I6 after every test of this folder; here everything is looked through once more.
"""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_host import CACHE, INVENTORY, NEW, OLD, ROOT, FaultHost, on_one_host

# Runs on a host: notes every command line and every environment that is seen, until its standard input ends.
SAMPLER = """
import pathlib, select, sys
seen = set()
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen.add(path.read_bytes())
            seen.add(path.with_name("environ").read_bytes())
        except OSError:
            pass
sys.stdout.buffer.write(b"\\n".join(seen))
"""
PLACES = "/opt/plano /etc/systemd /run/systemd /run/plano /var/log /tmp /var/tmp /home /root"


def canaries() -> list[str]:
    found = [path.read_text().split()[0] for path in sorted((CACHE / "secrets").iterdir())]
    assert len(found) >= 4
    return found


@contextmanager
def sampled(command: list[str], seen: dict[str, bytes], place: str) -> Iterator[None]:
    """Watch the processes of a machine while the block runs; the result goes to seen[place]."""
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reader = threading.Thread(target=lambda: seen.update({place: watcher.stdout.read()}))
    reader.start()
    try:
        yield
    finally:
        watcher.stdin.close()
        reader.join(30)
        watcher.wait(30)


def run(host: FaultHost, tmp_path: Path, playbook: str, *arguments: str) -> tuple[int, dict[str, bytes]]:
    """Run a playbook at -vvv and return its code and all that could be seen of it."""
    seen: dict[str, bytes] = {}
    log = tmp_path / "ansible.log"
    command = ["ansible-playbook", "-vvv", "-i", str(INVENTORY), playbook, "--limit", host.name, *arguments]
    watch = f"exec python3 -c '{SAMPLER}'"
    on_host = sampled(host.console(watch), seen, "processes of the host")
    with on_host, sampled(["sh", "-c", watch], seen, "processes of the controller"):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_LOG_PATH": str(log), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            capture_output=True,
            timeout=300,
            check=False,
        )
    seen |= {"output": done.stdout, "errors": done.stderr, "log file": log.read_bytes()}
    assert all(len(seen[place]) > 1000 for place in seen if place != "errors"), {
        name: len(text) for name, text in seen.items()
    }
    return done.returncode, seen


# How it ends, what its output says then, and the playbook with its arguments.
WAYS = {
    "checked": (True, f"{NEW}-", "deploy", ("--check", "--diff", "-e", f"backend_version={NEW}")),
    "deployed": (True, f"{NEW}-", "deploy", ("--diff", "-e", f"backend_version={NEW}", "-e", "backend_soak_seconds=1")),
    "failed": (
        False,
        "was never given traffic",
        "deploy",
        ("--diff", "-e", "backend_version=1.2.0-broken", "-e", "backend_start_timeout=3"),
    ),
    "refused": (False, "no host was touched", "deploy", ("-e", "backend_version=9.9.9")),
    "rolled back": (True, f"{NEW}-", "rollback", ("-e", "release_allow_rejected=true", "-e", f"version={NEW}")),
}


@on_one_host
@pytest.mark.parametrize("way", WAYS)
def test_no_way_tells_a_secret(host: FaultHost, tmp_path: Path, way: str) -> None:
    passes, words, playbook, arguments = WAYS[way]
    if way == "rolled back":
        host.must_deploy(NEW)
        host.must_deploy(OLD)
    pin = ("-e", f"plano_pin_file={tmp_path}/pins.yml")
    code, seen = run(host, tmp_path, f"plano.delivery.{playbook}", *arguments, *pin)
    assert (code == 0) is passes, seen["output"].decode()
    assert words.encode() in seen["output"]
    host.settle()
    for secret in canaries():
        told = [place for place, text in seen.items() if secret.encode() in text]
        kept = host.on(
            f"grep -rlF {secret} {PLACES} /var/lib/plano/*/ledger* || true; journalctl | grep -cF {secret} || true"
        )
        assert (told, kept) == ([], "0\n")


@on_one_host
def test_the_search_finds_what_is_told(host: FaultHost) -> None:
    """The same search, where there is something to find: a check that cannot fail would prove nothing."""
    canary = f"canary-{uuid.uuid4().hex}"
    seen: dict[str, bytes] = {}
    with sampled(host.console(f"exec python3 -c '{SAMPLER}'"), seen, "host"):
        host.on(f"env CANARY={canary} sleep 5; echo told {canary} | systemd-cat; echo {canary} > /var/tmp/{canary}")
    assert canary.encode() in seen["host"]
    assert host.on(f"grep -rlF {canary} {PLACES}").splitlines()[-1].startswith("/var/")
    assert host.on(f"rm /var/tmp/{canary}; journalctl | grep -cF {canary}") != "0\n"
