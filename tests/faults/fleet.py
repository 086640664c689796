"""A fleet of backend hosts, operated as an operator would while users keep asking."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fault_host import INVENTORY, ROOT

COMMAND_SECONDS = 240
# Short waits for a backend that starts within two seconds, ten when both hosts compile it on a busy machine; equal in all commands,
# because they are part of a release.
PATIENCE = {"backend_soak_seconds": 4, "backend_start_timeout": 20}
# New connections to the database are refused; those the serving release has stay.
NO_DATABASE = """
nft add table inet fault
nft add chain inet fault output '{ type filter hook output priority 0; }'
nft add rule inet fault output tcp dport 5432 ct state new reject
"""


class Done:
    """A finished command, what it said, and what its users met meanwhile."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.code: int = report["code"]
        self.output: str = report["output"]
        # ansible wraps long messages; a test looks for words, not for line ends.
        self.words = " ".join(self.output.split())
        self.requests: int = report["requests"]
        self.failures: list[str] = report["failures"]
        self.versions: list[str] = report["versions"]

    def row(self, component: str, host: str) -> list[str]:
        """Return the cells of a host's line in the table the run ended with."""
        lines = [line.split() for line in self.output.splitlines()]
        return next((cells for cells in reversed(lines) if cells[:2] == [component, host]), [])


class Fleet:
    """What a test does to the hosts, and asks of them."""

    def __init__(self) -> None:
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }
        listed = json.loads(self._run(["ansible-inventory", "--inventory", str(INVENTORY), "--list"]).stdout)
        self.hosts: list[str] = listed["backend"]["hosts"]
        self._addresses = {host: listed["_meta"]["hostvars"][host]["ansible_host"] for host in self.hosts}
        self.pins = INVENTORY / "group_vars" / "all" / "pins.yml"

    def _run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )

    def play(self, name: str, *arguments: str, asked: list[str] | None = None, **extra: Any) -> Done:
        """Run a playbook while users keep asking the hosts named by *asked*, all when it is not given."""
        urls = [f"http://{self._addresses[host]}:8080/version" for host in (self.hosts if asked is None else asked)]
        command = ["ansible-playbook", "--inventory", str(INVENTORY), f"plano.delivery.{name}", *arguments]
        command += ["--extra-vars", json.dumps(extra)] if extra else []
        done = self._run([sys.executable, "molecule/shared/keep_asking.py", *urls, "--", *command])
        assert done.returncode == 0, done.stderr
        found = Done(json.loads(done.stdout))
        print(f"$ {' '.join(command)}\n{found.output}")
        return found

    def deploy(self, version: str, *arguments: str, **options: Any) -> Done:
        return self.play("deploy", *arguments, backend_version=version, **PATIENCE, **options)

    def podman(self, *argv: str) -> str:
        done = self._run([str(ROOT / "tools" / "podman"), *argv])
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def on(self, host: str, script: str) -> str:
        return self.podman("exec", host, "sh", "-euc", script)

    def status(self, host: str) -> dict[str, dict[str, Any]]:
        """Return what the host itself says of its components."""
        # It exits with 1 where anything drifted, which is for the caller to judge.
        found = json.loads(self.on(host, "/opt/plano/bin/plano status --json || true"))
        return {item["component"]: item for item in found}

    def serving(self) -> dict[str, str]:
        return {host: self.status(host)["backend"]["version"] for host in self.hosts}

    def ledger(self, host: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.on(host, "cat /var/lib/plano/backend/ledger.jsonl").splitlines()]

    def consistent(self, host: str) -> bool:
        """Say whether the host serves one confirmed release, all there, and every byte of its records holds."""
        sound = all(item["state"] == "confirmed" and not item["drift"] for item in self.status(host).values())
        self.on(host, "/opt/plano/bin/plano verify")
        return sound

    @contextmanager
    def paused(self, host: str) -> Iterator[None]:
        """Let the host fall silent, as behind a cut cable; what it was doing stands still with it."""
        self.podman("pause", host)
        try:
            yield
        finally:
            self.podman("unpause", host)

    @contextmanager
    def silent_in_its_change(self, host: str) -> Iterator[threading.Event]:
        """Let the host fall silent as soon as its next change has begun; the event tells that it happened."""
        entries = len(self.ledger(host))
        happened = threading.Event()
        # Watched from inside: asking from here takes as long as a change does.
        begun = f"for _ in $(seq {COMMAND_SECONDS * 5}); do test $(wc -l </var/lib/plano/backend/ledger.jsonl) -gt {entries} && exit 0; sleep 0.2; done; exit 1"

        def watch() -> None:
            self.on(host, begun)
            self.podman("pause", host)
            happened.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield happened
        finally:
            watcher.join()
            if happened.is_set():
                self.podman("unpause", host)

    @contextmanager
    def without_database(self, host: str) -> Iterator[None]:
        self.on(host, NO_DATABASE)
        try:
            yield
        finally:
            self.on(host, "nft delete table inet fault")

    def wait_until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it did not come about in time"
            time.sleep(1)
