"""The hosts that are put under load, and how they are operated: with the collection's playbooks, and with Debian's own tools."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PORT = 8080
COMMAND_SECONDS = 300
STATEMENT = ["runuser", "-u", "postgres", "--", "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-F", " ", "-d", "backend"]


@dataclass(frozen=True)
class Operation:
    """Something an operator does, and what must come of it."""

    name: str
    argv: tuple[str, ...]
    succeeds: bool = True
    words: str = ""


@dataclass(frozen=True)
class Switch:
    """One confirmed change of the backend, from the ledger: before `begin` the old release served, after `end` the new one."""

    release: str
    slot: str
    kind: str
    begin: float
    end: float


@dataclass(frozen=True)
class Environment:
    """The first backend host of an inventory of containers, and its database."""

    inventory: str
    app: str
    address: str
    database: str

    @classmethod
    def find(cls, inventory: str) -> Environment:
        out = subprocess.check_output(
            ["ansible-inventory", "-i", inventory, "--list"], cwd=ROOT, env=environ(), text=True
        )
        found = json.loads(out)
        app = found["backend"]["hosts"][0]
        facts = found["_meta"]["hostvars"][app]
        return cls(inventory, app, facts["ansible_host"], facts["plano_database_host"])

    # -- what is asked ---------------------------------------------------------------------------------------------------

    def on(self, host: str, *argv: str, text: str = "", code: int = 0) -> str:
        """Run a command on a host as root, by way of the container engine, and return what it printed."""
        done = subprocess.run(
            [ROOT / "tools/podman", "exec", "--interactive", host, *argv],
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == code, f"{argv} on {host}: {done.stdout}{done.stderr}"
        return done.stdout

    def script(self, text: str) -> str:
        return self.on(self.app, "sh", "-eu", text=text)

    def sql(self, statement: str) -> list[list[str]]:
        return [row.split(" ") for row in self.on(self.database, *STATEMENT, text=statement).splitlines()]

    def counts(self, statement: str) -> dict[str, int]:
        return {run: int(count) for run, count in self.sql(statement)}

    def switches(self) -> list[Switch]:
        """Return every confirmed change of the backend in its order."""
        text = self.on(self.app, "cat", "/var/lib/plano/backend/ledger.jsonl")
        entries: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        begins = {entry["attempt"]: entry["time"] for entry in entries if entry["state"] == "switched"}
        return [
            Switch(
                entry["release"],
                entry["slot"],
                entry["kind"],
                seconds(begins[entry["attempt"]]),
                seconds(entry["time"]),
            )
            for entry in entries
            if entry["state"] == "confirmed" and entry.get("attempt") in begins
        ]

    def wait_until_it_serves(self) -> None:
        for _attempt in range(60):
            try:
                with urllib.request.urlopen(f"http://{self.address}:{PORT}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError(f"{self.app} does not come back")

    # -- what is done ----------------------------------------------------------------------------------------------------

    def playbook(self, name: str, *arguments: str, **variables: object) -> tuple[str, ...]:
        return (
            "ansible-playbook",
            *("--inventory", self.inventory, f"--limit={self.app}", f"plano.delivery.{name}", *arguments),
            *("--extra-vars", json.dumps({"plano_pin_file": str(ROOT / ".cache/load/pins.yml"), **variables})),
        )

    def deploy_all(self, version: str) -> Operation:
        """The database too, whose authority later runs of the backend alone take from the controller's copy."""
        argv = [word for word in self.deploy(version).argv if not word.startswith("--limit=")]
        return Operation("deploy everything", tuple(argv), words="failed=0")

    def deploy(self, version: str) -> Operation:
        argv = self.playbook("deploy", backend_version=version, release_allow_rejected=True)
        return Operation("deploy", argv, words=f"-> {version}-")

    def broken(self, version: str) -> Operation:
        argv = self.playbook("deploy", backend_version=version, release_allow_rejected=True, backend_start_timeout=10)
        return Operation("broken release", argv, succeeds=False, words="was never given traffic")

    def rollback(self, version: str) -> Operation:
        return Operation("rollback", self.playbook("rollback", reason="load test"), words=f"-> {version}-")

    def configure(self, version: str) -> Operation:
        """Another configuration of HAProxy, and the backend as it is."""
        sources = ["127.0.0.0/8", f"{self.address}/32"]
        argv = self.playbook(
            "deploy", backend_version=version, backend_metrics_sources=sources, release_allow_rejected=True
        )
        return Operation("HAProxy configuration", argv, words="haproxy ")

    def configure_back(self) -> Operation:
        argv = self.playbook("rollback", component="haproxy", rollback_hosts=self.app)
        return Operation("HAProxy configuration", argv, words="haproxy ")

    def shell(self, name: str, text: str, words: str = "") -> Operation:
        return Operation(
            name, (str(ROOT / "tools/podman"), "exec", self.app, "sh", "-euc", text + " </dev/null"), words=words
        )

    async def carry_out(self, operation: Operation, log: Path) -> str:
        """Run *operation* and return what is wrong with its outcome, or nothing."""
        process = await asyncio.create_subprocess_exec(
            *operation.argv,
            cwd=ROOT,
            env=environ(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_SECONDS):
            out = (await process.communicate())[0].decode(errors="replace")
        with log.open("a", encoding="utf-8") as file:
            file.write(f"==> {operation.name}: {' '.join(operation.argv)}\n{out}\n")
        if (process.returncode == 0) is operation.succeeds and operation.words in " ".join(out.split()):
            return ""
        wanted = f"{'success' if operation.succeeds else 'failure'} and the words {operation.words!r}"
        return f"{operation.name} ended with {process.returncode}, wanted {wanted}: {out[-2000:]}"


def environ() -> dict[str, str]:
    path = f"{ROOT / '.cache/venv/bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
