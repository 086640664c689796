"""The local environment, deployed once and used as an operator uses it."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "local"
APP = "10.89.20.12"
MONITOR = "10.89.20.13"
ROLES = ("prometheus", "alertmanager", "grafana", "cloudwatch_exporter", "exporter")
COMMAND_SECONDS = 900
HIDE = 'mount -t tmpfs none .cache/artifacts; exec "$@"'


class Done:
    """A finished command and what it said."""

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.output = output
        # ansible wraps long messages; a test looks for words, not for line ends.
        self.words = " ".join(output.split())


class Environment:
    """What a test does to the local environment, and asks of it."""

    hidden = False

    def shell(self, command: str) -> Done:
        argv = ["bash", "-euo", "pipefail", "-c", command]
        if self.hidden:
            # For this command alone: other tests read the artifacts at the same time.
            argv = ["unshare", "--map-root-user", "--mount", "sh", "-euc", HIDE, "sh", *argv]
        path = f"{ROOT / '.cache/venv/bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env={**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        print(f"$ {command}\n{done.stdout}")
        return Done(done.returncode, done.stdout)

    def playbook(self, name: str, *arguments: str, **extra: Any) -> Done:
        quoted = " ".join(f"'{argument}'" for argument in arguments)
        variables = f"-e '{json.dumps(extra)}'" if extra else ""
        return self.shell(f"ansible-playbook -i {INVENTORY} plano.delivery.{name} {quoted} {variables}")

    def watch(self, hosts: str = "local-mon", **extra: Any) -> Done:
        """Bring the monitoring of *hosts* to what the inventory and *extra* say, with the roles that *extra* is for."""
        tags = [role for role in ROLES if any(name.startswith(f"{role}_") for name in extra)]
        return self.playbook("monitoring", "--limit", hosts, "--tags", ",".join(tags), **extra)

    def on(self, host: str, script: str) -> str:
        done = subprocess.run(
            [ROOT / "tools" / "podman", "exec", "--interactive", host, "sh", "-euc", script],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script} on {host}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://{APP}:8080{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, {}

    @property
    def version(self) -> str:
        status, body = self.get("/version")
        assert status == 200
        return str(body["version"])

    def ledger(self, component: str = "backend") -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in self.on("local-app", f"cat /var/lib/plano/{component}/ledger.jsonl").splitlines()
        ]

    @contextmanager
    def sources_cut(self) -> Iterator[None]:
        """Take away every place an artifact could come from: the controller's files, and the host's way out."""
        route = self.on("local-app", "ip route show default").strip()
        self.on("local-app", "ip route del default")
        self.hidden = True
        try:
            yield
        finally:
            self.hidden = False
            self.on("local-app", f"ip route add {route}")

    def monitor(self, address: str, password: str | None = None, user: str = "plano") -> tuple[int, Any]:
        """Ask what runs on the monitoring host, as a person with the password does."""
        place = {"plano": "monitoring_web", "admin": "grafana_admin"}[user]
        secret = password or (ROOT / ".cache/secrets" / place).read_text(encoding="utf-8").split()[0]
        context = ssl.create_default_context(cafile=str(ROOT / ".cache/ssh/local-mon-tls.crt"))
        word = base64.b64encode(f"{user}:{secret}".encode()).decode()
        request = urllib.request.Request(f"https://{address}", headers={"Authorization": f"Basic {word}"})
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, {}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus answers to *expression* now."""
        status, body = self.monitor(f"{MONITOR}:9090/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        assert status == 200, expression
        found: list[dict[str, Any]] = body["data"]["result"]
        return found

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return the rules that Prometheus evaluates."""
        found: list[dict[str, Any]] = self.monitor(f"{MONITOR}:9090/api/v1/rules")[1]["data"]["groups"]
        return found

    def litter(self) -> str:
        """What an interrupted or refused change must not leave behind."""
        return self.on("local-app", "find /opt/plano -name '.staging-*' -o -name '*.tmp'")
