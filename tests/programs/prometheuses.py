"""Where Prometheus is, in the mirror's archives; and a running one, laid out and started as on a host."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import ssl
import subprocess
import tarfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from alertmanagers import free_port, until
from promtool import ARTIFACTS, version
from rule_files import ROOT

from ansible_collections.plano.delivery.plugins.filter.web_config import web_config

UNPACKED = ROOT / ".cache" / "prometheus"
FILES = ROOT / "roles" / "prometheus" / "files"
PROGRAMS = ("prometheus", "promtool")
USER, PASSWORD, SALT = "plano", "correct horse", "0123456789abcdef"


def artifacts() -> dict[str, Path]:
    """Return every version in the mirror with its folder, as the engine keeps it on a host."""
    found = {}
    for archive in sorted(ARTIFACTS.glob("*.tar.gz"), key=version):
        number = ".".join(map(str, version(archive)))
        found[number] = _unpacked(archive, UNPACKED / number)
    return found


def _unpacked(archive: Path, folder: Path) -> Path:
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    if all(_is_fresh(files / name, archive) for name in PROGRAMS):
        return folder
    with tarfile.open(archive) as contents:
        for member in contents:
            target = files / Path(member.name).name
            source = contents.extractfile(member) if target.name in PROGRAMS else None
            if source is None:
                continue
            fresh = target.with_name(f".{target.name}.{os.getpid()}")
            fresh.write_bytes(source.read())
            fresh.chmod(0o755)
            fresh.rename(target)
    return folder


def _is_fresh(target: Path, archive: Path) -> bool:
    return target.exists() and target.stat().st_mtime > archive.stat().st_mtime


class Staged:
    """A plan, laid out as a release on a host."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.config = folder / "config"
        self.lay(plan)

    def lay(self, plan: dict[str, Any]) -> None:
        """Put the files there, and take away what is not among them."""
        self.plan = plan
        for stale in self.config.glob("rules/*"):
            stale.unlink()
        for name, content in plan["files"].items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        for name, secret in plan["secrets"].items():
            (self.folder / "secrets").mkdir(exist_ok=True)
            (self.folder / "secrets" / name).write_text(secret, encoding="utf-8")

    def validate(self, artifact: Path) -> list[str]:
        """Run what must accept the release; return what those said that do not."""
        promtool = artifact / "files" / "promtool"
        rules = [self.folder / name for name in self.plan["rules"]]
        found = []
        for words in (["check", "config", "--syntax-only", self.config / "prometheus.yml"], ["check", "rules", *rules]):
            done = subprocess.run([promtool, *words], capture_output=True, text=True, check=False, timeout=60)
            if done.returncode != 0:
                found.append(done.stdout + done.stderr)
        return found


class Running:
    """A real Prometheus on loopback, behind TLS and a password."""

    def __init__(self, staged: Staged, artifact: Path, tls: Path, port: int = 0) -> None:
        self.staged = staged
        self.artifact = artifact
        self.tls = tls
        self.port = port or free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.log = staged.folder / "log"
        self.web = staged.folder / "web.yml"
        self.web.write_text(web_config(PASSWORD, USER, SALT), encoding="utf-8")
        for name in ("server.crt", "server.key"):
            (staged.folder / name).write_bytes((tls / name).read_bytes())
        (staged.folder / "password").write_text(PASSWORD, encoding="utf-8")
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [
                    artifact / "files" / "prometheus",
                    f"--config.file={staged.config / 'prometheus.yml'}",
                    f"--storage.tsdb.path={staged.folder / 'state'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--web.config.file={self.web}",
                    f"--web.external-url={self.url}/some/path",
                    "--web.route-prefix=/",
                    "--storage.remote.flush-deadline=10s",
                ],
                stdout=log,
                stderr=log,
            )
        until(lambda: "does not answer as" not in self.prove()[1], f"Prometheus answers; {self.log}", 30)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def reload(self) -> None:
        """Let it read its configuration, and wait until it has tried."""
        before = self._tries()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self._tries() > before, f"it read its configuration; {self.log}")

    def _tries(self) -> int:
        log = self.log.read_text(encoding="utf-8")
        return len(re.findall(r"Completed loading of configuration file|Error reloading config", log))

    def prove(self, targets: bool = True, **changed: str | Path) -> tuple[int, str]:
        """Run the proof as the engine does in a change, that this one runs as it should or as *changed*; return its code and what it said."""
        given: dict[str, str | Path] = {
            "url": self.url,
            "authority": self.tls / "ca.crt",
            "user": USER,
            "password-file": self.staged.folder / "password",
            "expected": self.staged.config / "expected.json",
            "version": self.artifact.name,
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        argv = [f"--{name}={value}" for name, value in given.items()]
        return run("prove.py", *argv, *(["--targets"] if targets else []))

    def proven(self) -> None:
        until(lambda: self.prove() == (0, "proven\n"), f"it is proven, but it says: {self.prove()[1]}", 20)

    def query(self, expression: str) -> list[Any]:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        query = urllib.parse.urlencode({"query": expression})
        request = urllib.request.Request(
            f"{self.url}/api/v1/query?{query}", headers={"Authorization": f"Basic {login}"}
        )
        context = ssl.create_default_context(cafile=str(self.tls / "ca.crt"))
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
        return found


def run(name: str, *argv: str | Path) -> tuple[int, str]:
    """Run one of the role's programs as the engine does; return its code and what it said."""
    command = ["/usr/bin/python3", "-I", FILES / name, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr
